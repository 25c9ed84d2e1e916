"""A call that ends its process costs neither the caller nor the calls after it."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from benchmarks.functions.apart import Apart, EndedError, Hold, outlived
from tests.runs import ROOT, environment
from tests.runs import run as run_command

GOOD, BAD, WORSE = "good", "bad", "worse"
KILLED = """
from benchmarks.functions.apart import Apart
from tests.benchmarks.test_apart import nothing, orphaned

Apart(nothing).call(orphaned)
"""


def nothing() -> None:
    """Set nothing up."""


def added(a: int, b: int, *, hold: Hold) -> int:
    hold([GOOD])
    return a + b


def orphaned(*, hold: Hold) -> None:
    """Kill whoever started this process, which has much to do."""
    del hold
    print(os.getpid(), flush=True)
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(300)


def faulty(*, hold: Hold) -> None:
    del hold
    raise ValueError("its own")


def ended(without: frozenset[str], *, hold: Hold) -> list[str]:
    """End as a segmentation fault does, at two of the names."""
    done = []
    for name in (GOOD, BAD, WORSE):
        hold([name])
        if name in without:
            continue
        if name != GOOD:
            os.kill(os.getpid(), signal.SIGKILL)
        done.append(name)
    return done


def test_a_call_returns_what_it_returns() -> None:
    with Apart(nothing) as process:
        assert process.call(added, 1, 2) == 3
        with pytest.raises(ValueError, match="its own"):
            process.call(faulty)
        assert process.call(added, 2, 2) == 4


def test_who_was_in_hand_is_known_and_the_next_call_has_a_process() -> None:
    with Apart(nothing) as process:
        with pytest.raises(EndedError, match="with bad in hand") as raised:
            process.call(ended, frozenset())
        assert raised.value.in_hand == {BAD}
        assert process.call(added, 1, 2) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such signal")
def test_it_ends_with_whoever_started_it() -> None:
    done = run_command([sys.executable, "-c", KILLED], ROOT, env=environment(), timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr
    started, deadline = Path(f"/proc/{int(done.stdout)}"), time.monotonic() + 20
    while started.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_whoever_ends_it_is_left_out() -> None:
    with Apart(nothing) as process:
        found = outlived(lambda without: process.call(ended, without), lambda name: name != GOOD)
    assert found == [GOOD]


def test_one_who_is_no_suspect_is_an_error() -> None:
    asked = []

    def call(without: frozenset[str]) -> None:
        asked.append(without)
        raise EndedError(frozenset({GOOD, BAD}))

    with pytest.raises(EndedError):
        outlived(call, lambda name: name == BAD, {WORSE})
    assert asked == [{WORSE}, {WORSE, BAD}]
