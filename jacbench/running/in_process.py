"""Problems given as objects: checked, or timed by the same suite, in this very process."""

from __future__ import annotations

import io
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path

import pytest

from jacbench.backend import registry
from jacbench.checking import process_state
from jacbench.core.cell import Cell, CellResult, Verdict
from jacbench.core.errors import JacbenchError
from jacbench.problems.problem import Problem
from jacbench.results import run
from jacbench.results.run import Run
from jacbench.running import prepared_cells
from jacbench.running.pytest_session import Given, Session, session_of
from jacbench.running.settings import Settings
from jacbench.running.worker_process import write_cells


def measure(cells: Sequence[Cell], given: Mapping[str, Problem], settings: Settings) -> Run:
    """Check ``cells`` of the ``given`` problems, and time them if ``settings`` say so.

    The process is left as it was, also where that is interrupted: float64 in JAX, threads, default
    dtypes, precision, random generators. All cells have the same number of threads: a process has
    its pools once.

    Threads are those that the libraries already have where they are imported; what a matrix
    product really uses is in the fingerprint.
    """
    with _left_as_it_was(cells):
        return (_timed if settings.timed else _checked)(cells, given, settings)


@contextmanager
def _left_as_it_was(cells: Sequence[Cell]) -> Iterator[None]:
    """Put back what belongs to the whole process, as far as the libraries of ``cells`` know it."""
    names = [cell.backend for cell in cells]
    installed = [n for n in dict.fromkeys(names) if registry.descriptors()[n].absent() is None]
    states = []
    for name in installed:
        with suppress(Exception):  # what cannot be loaded is told, cell by cell
            states.append(process_state.take(registry.load(name)))
    try:
        yield
    finally:
        for state in states:
            process_state.put_back(state, first_use=True)


def _checked(cells: Sequence[Cell], given: Mapping[str, Problem], settings: Settings) -> Run:
    began = time.monotonic()
    limits = prepared_cells.Limits(
        settings.chunk_size, settings.memory_bytes, settings.rtol, settings.atol
    )
    own = prepared_cells.Harness(cells[0].threads, limits, given, verify_pins=False)
    found = [own.settle(cell).result for cell in cells]
    wall = time.monotonic() - began
    return Run(
        found,
        run.describe(own.settings),
        registry.absent(),
        seconds=run.accounted(wall, {"settling": wall}),
        options=settings.to_json(),
    )


def _timed(cells: Sequence[Cell], given: Mapping[str, Problem], settings: Settings) -> Run:
    began = time.monotonic()
    keep = _Keep()
    said = io.StringIO()
    with tempfile.TemporaryDirectory(prefix="jacbench-", ignore_cleanup_errors=True) as folder:
        scratch = Path(folder).resolve()
        asked = write_cells(
            scratch / "cells.json", {cell: range(settings.visits) for cell in cells}
        )
        words = settings.pytest_words(asked, scratch, cells[0].threads)
        with _no_other_plugins(), redirect_stdout(said), redirect_stderr(said):
            code = pytest.main(words, plugins=[Given(given), keep])
    interrupted = code == pytest.ExitCode.INTERRUPTED
    if keep.session is None:
        if interrupted:
            raise KeyboardInterrupt
        last = said.getvalue().strip().splitlines() or ["it said nothing"]
        raise JacbenchError(f"the benchmark session ended with status {int(code)}: {last[-1]}")
    done = keep.session.results
    found = [
        done.get(cell, CellResult(cell=cell, verdict=Verdict.NOT_RUN, reason="interrupted"))
        for cell in cells
    ]
    described = run.describe(keep.session.harness.settings)
    visits = {
        cell: [list(stretch.samples) for stretch in stretches]
        for cell, stretches in keep.session.stretches.items()
    }
    return Run(
        found,
        described,
        registry.absent(),
        visits,
        interrupted,
        run.accounted(time.monotonic() - began, keep.session.seconds),
        settings.to_json(),
    )


@contextmanager
def _no_other_plugins() -> Iterator[None]:
    """Keep what PYTEST_ADDOPTS and other installed plugins would change out of the session."""
    before = {key: value for key, value in os.environ.items() if key.startswith("PYTEST_")}
    for key in before:
        del os.environ[key]
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    try:
        yield
    finally:
        del os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"]
        os.environ.update(before)


class _Keep:
    """Keeps the plugin's session, which pytest lets go of."""

    def __init__(self) -> None:
        self.session: Session | None = None

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Take it before it goes."""
        self.session = session_of(session.config)
