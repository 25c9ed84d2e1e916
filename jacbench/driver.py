"""Runs cells in workers, one backend after the other; a worker that dies costs one cell."""

from __future__ import annotations

import itertools
import signal
import tempfile
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from jacbench import fingerprint, results, selection
from jacbench.cell import Cell, CellResult, Verdict
from jacbench.results import Run
from jacbench.settings import Settings
from jacbench.worker import Worker

POLL_S = 0.05
START_S = 120.0
"""Time that a worker may take until its first cell, seconds: imports on a slow disk."""
SAVE_S = 15.0
"""A results file under way is written again after this time, seconds."""


class Progress(Protocol):
    """What is told while cells run."""

    def start(self, cell: Cell, what: str) -> None:
        """Say that ``cell`` is worked on: ``check``, ``time`` or ``memory``."""

    def advance(self, done: int, total: int) -> None:
        """Say how many visits are done, of how many."""


@dataclass
class _Tally:
    """What has been learnt so far."""

    cells: Sequence[Cell]
    results: dict[Cell, CellResult] = field(default_factory=dict)
    samples: dict[Cell, list[float]] = field(default_factory=dict)
    iterations: dict[Cell, int] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    load_before: list[float] | None = None
    done: int = 0
    total: int = 0

    def run(self, *, interrupted: bool) -> Run:
        """Return everything as a run; what has had no turn is ``not run``."""
        why = "interrupted" if interrupted else "still under way"
        finished = []
        for cell in self.cells:
            result = self.results.get(cell)
            if result is None:
                result = CellResult(cell=cell, verdict=Verdict.NOT_RUN, reason=why)
            elif result.verdict is Verdict.AGREES:
                result = results.pooled(
                    result, self.samples.get(cell, []), self.iterations.get(cell)
                )
            finished.append(result)
        agreed = {result.cell for result in finished if result.verdict is Verdict.AGREES}
        described = results.describe(self.settings) | {"load_before": self.load_before}
        return Run(
            finished,
            described,
            selection.absent(),
            {cell: samples for cell, samples in self.samples.items() if cell in agreed},
            interrupted,
        )


class Save(Protocol):
    """What keeps a run while it goes on, and at its end."""

    def __call__(self, run: Run, *, final: bool) -> None:
        """Keep ``run``; ``final`` where nothing more will come."""


def keep_nothing(run: Run, *, final: bool) -> None:
    """Save nothing."""
    del run, final


def drive(
    cells: Sequence[Cell],
    settings: Settings,
    progress: Progress,
    save: Save = keep_nothing,
) -> Run:
    """Run ``cells`` and return what became of each.

    ``save`` is called with the run so far now and then and at the end, also when the run is
    interrupted (Ctrl-C, SIGTERM): nothing measured is lost.
    """
    tally = _Tally(cells, total=len(cells) * (settings.visits if settings.timed else 1))
    tally.load_before = fingerprint.load()
    interrupted = False
    with tempfile.TemporaryDirectory(prefix="jacbench-", ignore_cleanup_errors=True) as scratch:
        numbers = itertools.count()
        try:
            with _sigterm_as_interrupt():
                backends = [
                    _Backend(mine, settings, tally, progress, save, Path(scratch), numbers)
                    for mine in _by_backend(cells)
                ]
                _drive(backends, 1 if settings.timed else _side_by_side(settings.threads))
        except KeyboardInterrupt:
            interrupted = True
    run = tally.run(interrupted=interrupted)
    save(run, final=True)
    return run


def _by_backend(cells: Sequence[Cell]) -> list[list[Cell]]:
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(cell.backend, []).append(cell)
    return list(groups.values())


def _side_by_side(threads: int) -> int:
    """Return how many workers fit beside each other where nothing is timed."""
    return max(1, (fingerprint.usable_cores() or 1) // threads)


def _drive(backends: Sequence[_Backend], at_once: int) -> None:
    """Run the backends, ``at_once`` of them at a time: 1 wherever a clock runs."""
    waiting = [backend.run() for backend in reversed(backends)]
    running: list[Generator[None]] = []
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                running.append(waiting.pop())
            running = [steps for steps in running if next(steps, _DONE) is not _DONE]
    finally:
        # An interrupt ends one of them; the others' workers must go too.
        for steps in running:
            steps.close()


_DONE = object()


class _Backend:
    """The workers of one backend, one at a time."""

    def __init__(
        self,
        cells: Sequence[Cell],
        settings: Settings,
        tally: _Tally,
        progress: Progress,
        save: Save,
        scratch: Path,
        numbers: Iterator[int],
    ) -> None:
        visits = range(settings.visits if settings.timed else 1)
        self.pending = {cell: list(visits) for cell in cells}
        self.by_key = {cell.key: cell for cell in cells}
        self.settings = settings
        self.tally = tally
        self.progress = progress
        self.save = save
        self.scratch = scratch
        self.numbers = numbers
        self.saved = time.monotonic()
        self.current: Cell | None = None
        self.ready = False
        self.measuring_memory = False
        self.since = 0.0

    def run(self) -> Generator[None]:
        """Launch workers until no cell is pending; yield whenever there is only to wait."""
        while self.pending:
            before = self.tally.done
            folder = self.scratch / f"worker-{next(self.numbers)}"
            worker = Worker(self.pending, self.settings, folder)
            try:
                late = yield from self._follow(worker)
            finally:
                worker.kill()
                for event in worker.events():
                    self._take(event)
            self._bury(worker, late=late, progressed=self.tally.done > before)

    def _follow(self, worker: Worker) -> Generator[None, None, bool]:
        """Take the worker's events until it ends; say whether it outran its time."""
        self.current, self.ready, self.measuring_memory = None, False, False
        self.since = time.monotonic()
        while True:
            running = worker.running()
            for event in worker.events():
                self._take(event)
            if not running:
                return False
            limit = self.settings.timeout_s if self.ready else START_S
            if time.monotonic() - self.since > limit:
                return True
            self._save_now_and_then()
            worker.wait(POLL_S)
            yield

    def _take(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        cell = self.by_key.get(event.get("cell", ""))
        self.since = time.monotonic()
        if kind == "ready":
            self.ready = True
        elif cell is None:
            return
        elif kind in ("start", "memory-start"):
            self.current = cell
            self.measuring_memory = kind == "memory-start"
            what = "memory" if self.measuring_memory else "time" if event["visit"] else "check"
            self.progress.start(cell, what)
        elif kind == "settled":
            self._settle(cell, CellResult.from_json(event["result"]))
        elif kind == "timed":
            self.tally.samples.setdefault(cell, []).extend(event["samples"])
            self.tally.iterations[cell] = event["iterations"]
        elif kind == "memory":
            peak = event["peak_bytes"]
            self.tally.results[cell] = replace(self.tally.results[cell], peak_bytes=peak)
            self.current = None
        elif kind == "done":
            self._done(cell, event)

    def _settle(self, cell: Cell, result: CellResult) -> None:
        known = self.tally.results.get(cell)
        # A relaunched worker settles again what it still has to time: the first figures stand,
        # unless the verdict is no longer the same.
        if known is None or known.verdict is not result.verdict:
            self.tally.results[cell] = result

    def _done(self, cell: Cell, event: dict[str, Any]) -> None:
        self.tally.settings.update(event["settings"])
        if cell not in self.tally.results:
            return  # the session itself failed on it: it has its turn again, alone if need be
        self.current = None
        left = [visit for visit in self.pending.get(cell, []) if visit != event["visit"]]
        if self.tally.results[cell].verdict is not Verdict.AGREES:
            self._drop(cell)
        elif left:
            self.pending[cell] = left
            self._advance(1)
        else:
            self.pending.pop(cell, None)
            self._advance(1)

    def _drop(self, cell: Cell) -> None:
        """Count the visits that a cell will not have."""
        self._advance(len(self.pending.pop(cell, [])))

    def _advance(self, visits: int) -> None:
        self.tally.done += visits
        self.progress.advance(self.tally.done, self.tally.total)

    def _bury(self, worker: Worker, *, late: bool, progressed: bool) -> None:
        """Give the cell that a worker died on its verdict."""
        culprit = self.current
        if culprit is not None and not self.measuring_memory:
            self._condemn(culprit, worker, late=late)
        elif not self.pending or progressed:
            return
        else:
            for cell in list(self.pending):
                self._condemn(cell, worker, late=late)

    def _condemn(self, cell: Cell, worker: Worker, *, late: bool) -> None:
        if late and self.ready:
            verdict = Verdict.TIMED_OUT
            reason = f"took longer than {self.settings.timeout_s:g} s: allow more with --timeout"
        elif late:
            verdict = Verdict.CRASHED
            reason = f"the worker did not start within {START_S:g} s"
        else:
            verdict, reason = Verdict.CRASHED, worker.epitaph()
        known = self.tally.results.get(cell, CellResult(cell=cell, verdict=verdict))
        self.tally.results[cell] = replace(known, verdict=verdict, reason=reason)
        self._drop(cell)

    def _save_now_and_then(self) -> None:
        if time.monotonic() - self.saved > SAVE_S:
            self.save(self.tally.run(interrupted=False), final=False)
            self.saved = time.monotonic()


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """Let SIGTERM end a run as Ctrl-C does, with what was measured written."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
