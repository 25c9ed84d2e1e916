"""Settings of every test."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import hypothesis
import pytest

from jacbench.measuring import threads
from tests import compiling, memory

# before any test imports NumPy: on a small or busy machine two threads per product cost far more
# than they give (66 s against 2.4 s for one cell)
threads.pin(1)

# what JAX compiles here runs once or twice; processes that a test starts compile as a user's do
compiling.make_quick()

# a busy machine is no failure: nothing here is a test of time
hypothesis.settings.register_profile("jacbench", deadline=None)
hypothesis.settings.load_profile("jacbench")

ACCOUNT = memory.Account()
OF_WORKERS: list[str] = []
"""What the processes of pytest-xdist told, in the one that started them."""


@pytest.fixture(scope="module", autouse=True)
def _compiled_code_is_let_go() -> Iterator[None]:
    """Forget what was compiled for one file: a process that runs many would grow to gigabytes."""
    yield
    # after a small file, to look through all that is imported would cost more than the file
    ACCOUNT.let_go_beyond(memory.KEPT // 4)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Keep account of memory, in the process that runs the test."""
    try:
        return (yield)
    finally:
        ACCOUNT.after(item.location[0])


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand what is to be told to the process that tells it."""
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["memory"] = ACCOUNT.told()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take what a process of pytest-xdist tells; one that died tells nothing."""
    told = getattr(node, "workeroutput", {}).get("memory")
    if told is not None:
        OF_WORKERS.append(told)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Tell which processes held too much, and where they grew."""
    for line in filter(None, [ACCOUNT.told(), *OF_WORKERS]):
        terminalreporter.write_line(line, red=True)
