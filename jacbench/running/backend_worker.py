"""The workers of one backend and number of threads, one at a time; one that dies costs a cell."""

from __future__ import annotations

import itertools
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from jacbench.core.cell import Cell, Verdict
from jacbench.core.progress import Progress
from jacbench.results import run
from jacbench.results.run import Stretch
from jacbench.running.account import Account
from jacbench.running.ledger import Tally
from jacbench.running.settings import Settings
from jacbench.running.time_budget import Budget
from jacbench.running.worker_process import Worker
from jacbench.workers.memory_limit import MemoryLimit

POLL_S = 0.05
"""How often a worker's time and memory are looked at, seconds."""


@dataclass
class Shop:
    """What all crews of a run share."""

    settings: Settings
    tally: Tally
    account: Account
    budget: Budget
    progress: Progress
    scratch: Path
    numbers: Iterator[int] = field(default_factory=itertools.count)


@dataclass(frozen=True)
class _End:
    """Why a worker is no more, before it has done what it was told."""

    verdict: Verdict
    reason: str
    begun: bool = True


class Crew:
    """Has a worker when one is needed, tells it what to do, and takes what it says.

    Attributes
    ----------
    cells
        All of one backend and one number of threads.
    poll_s
        How long to wait for a word before others are looked after, seconds.
    """

    def __init__(self, cells: Sequence[Cell], shop: Shop) -> None:
        self.cells = list(cells)
        self.poll_s = POLL_S
        self.given_up = False
        self._shop = shop
        self._by_key = {cell.key: cell for cell in cells}
        self._worker: Worker | None = None
        self._settled: set[Cell] = set()

    @property
    def threads(self) -> int:
        """Threads that each library may use."""
        return self.cells[0].threads

    @property
    def started(self) -> bool:
        """Say whether a worker waits for a command."""
        return self._worker is not None

    def has_settled(self, cell: Cell) -> bool:
        """Say whether the present worker has ``cell`` prepared."""
        return cell in self._settled

    def visit(self, cell: Cell, number: int) -> Generator[None]:
        """Settle ``cell``, and time it if it agrees; yield whenever there is only to wait."""
        what = "time" if self._shop.tally.agrees(cell) else "check"
        end = yield from self._do(cell, what, {"do": "visit", "visit": number})
        if end is not None and end.verdict is not Verdict.NOT_RUN:
            self._shop.tally.condemn(cell, end.verdict, end.reason)

    def measure_memory(self, cell: Cell) -> Generator[None]:
        """Measure the peak memory of ``cell``; where that fails, its times stand."""
        yield from self._do(cell, "memory", {"do": "memory"})

    def check(self) -> Generator[None]:
        """Visit every cell once, in the order asked for."""
        for cell in self.cells:
            if self._shop.tally.open(cell):
                yield from self.visit(cell, 0)
            self._advance()
        self.kill()

    def _advance(self) -> None:
        tally = self._shop.tally
        tally.done += 1
        self._shop.progress.advance(tally.done, tally.total)

    def kill(self) -> None:
        """End the worker with all that it started."""
        worker, self._worker = self._worker, None
        self._settled.clear()
        self._shop.account.now(self, None)
        if worker is not None:
            worker.kill()

    def _do(
        self, cell: Cell, what: str, command: dict[str, Any]
    ) -> Generator[None, None, _End | None]:
        """Have a worker do ``command``; one that dies before it begins is replaced once."""
        end: _End | None = None
        for _ in range(2):
            if not (yield from self._have_worker()):
                return None
            self._shop.progress.start(cell, what)
            end = yield from self._follow(cell, command)
            if end is None or end.begun:
                return end
        return end

    # Starting

    def _have_worker(self) -> Generator[None, None, bool]:
        """Start a worker where none is; say whether there is one."""
        if self._worker is not None and self._worker.wait(0):
            self.kill()  # it died while it waited, by no cell's fault
        if self._worker is not None or self.given_up:
            return not self.given_up
        shop = self._shop
        shop.progress.begin(f"starting {self.cells[0].backend}")
        shop.account.now(self, "workers")
        begun = time.monotonic()
        left = [cell for cell in self.cells if shop.tally.open(cell)]
        folder = shop.scratch / f"worker-{next(shop.numbers)}"
        end: _End | None
        try:
            self._worker = Worker(left, shop.settings, folder)
        except OSError as exc:  # a full disk, or no more processes
            why = (
                f"no worker could be started: {exc.strerror or exc}: free some room, or set TMPDIR"
            )
            end = _End(Verdict.CRASHED, why)
        else:
            end = yield from self._until_ready(self._worker, begun)
        if end is not None:
            shop.account.now(self, None)
            self._give_up(end)
            return False
        shop.account.now(self, None)
        shop.budget.learn("start", self.cells[0], time.monotonic() - begun)
        return True

    def _until_ready(self, worker: Worker, begun: float) -> Generator[None, None, _End | None]:
        limit, late = self._limit(
            self._shop.settings.start_timeout_s,
            Verdict.CRASHED,
            "the worker did not start within {:g} s: allow more with --start-timeout",
        )
        while True:
            event = worker.receive(self.poll_s)
            if event is not None and event["event"] == "ready":
                return None
            if event is not None:
                continue
            if worker.ended() or worker.wait(0):
                self.kill()
                return _End(Verdict.CRASHED, worker.epitaph())
            if time.monotonic() - begun > limit:
                self.kill()
                return late
            yield

    def _limit(self, seconds: float, verdict: Verdict, reason: str) -> tuple[float, _End]:
        """Return the seconds that something may take, and what is said where it takes longer."""
        held = self._shop.budget.hold()
        if held < seconds:
            return held, _End(Verdict.NOT_RUN, self._shop.budget.reason)
        return seconds, _End(verdict, reason.format(seconds))

    def _give_up(self, end: _End) -> None:
        """Say of all cells that there is no worker for them: told once, not tried for each."""
        self.given_up = True
        if end.verdict is Verdict.NOT_RUN:
            return
        tally = self._shop.tally
        for cell in self.cells:
            if tally.open(cell) and not tally.stretches.get(cell):
                tally.condemn(cell, end.verdict, end.reason)

    # Working

    def _follow(self, cell: Cell, command: dict[str, Any]) -> Generator[None, None, _End | None]:
        """Give ``command`` and take events until it is done; say how the worker ended if it did."""
        worker, shop = self._worker, self._shop
        assert worker is not None  # noqa: S101 - there was one a moment ago
        limit, late = self._limit(
            shop.settings.timeout_s,
            Verdict.TIMED_OUT,
            "took longer than {:g} s: allow more with --timeout",
        )
        guard = MemoryLimit(worker.pid, shop.settings.memory_bytes)
        turn = _Turn(cell, time.monotonic())
        shop.account.now(self, "memory" if command["do"] == "memory" else "settling")
        worker.forget()
        worker.send(**command, cell=cell.key)
        while True:
            event = worker.receive(self.poll_s)
            if event is not None:
                if self._take(event, turn):
                    return None
                continue
            end = None
            if worker.ended() or worker.wait(0):
                self._drain(worker, turn)
                end = _End(Verdict.CRASHED, "", turn.begun)
            elif time.monotonic() - turn.since > limit:
                end = late
            elif (told := guard.broken()) is not None:
                end = _End(Verdict.TOO_LARGE, told)
            if end is not None:
                self.kill()
                self._drain(worker, turn)
                return end if end.reason else replace(end, reason=worker.epitaph())
            yield

    def _drain(self, worker: Worker, turn: _Turn) -> None:
        """Take what a worker said before it died."""
        while (event := worker.receive(0.2)) is not None:
            self._take(event, turn)

    def _take(self, event: dict[str, Any], turn: _Turn) -> bool:
        """Take one event; say whether the command is done."""
        kind, shop = event["event"], self._shop
        cell = self._by_key.get(event.get("cell", ""))
        if cell is None:
            return False
        if kind in ("start", "memory-start"):
            turn.begun = True
        elif kind == "settled":
            self._settled.add(cell)
            shop.tally.settle(cell, run.from_json(event["result"]))
            shop.budget.learn("settling", cell, turn.lap())
            shop.account.now(self, None)
        elif kind == "timing":
            turn.lap()
            shop.account.now(self, "timing")
        elif kind == "asking-again":
            shop.account.now(self, "settling")
        elif kind == "asked-again":
            shop.tally.learn(cell, run.from_json(event["result"]))
        elif kind == "timed":
            stretch = {name: event[name] for name in _STRETCH}
            shop.tally.stretches.setdefault(cell, []).append(Stretch(**stretch))
            shop.account.now(self, None)
        elif kind == "memory":
            shop.tally.remember(cell, event["peak_bytes"], event["cautions"])
            shop.account.now(self, None)
            return True
        elif kind == "done":
            self._done(cell, event, turn)
            return True
        return False

    def _done(self, cell: Cell, event: dict[str, Any], turn: _Turn) -> None:
        shop = self._shop
        shop.account.now(self, None)
        shop.tally.processes.update(self._named(event["settings"]))
        shop.budget.learn("visit", cell, turn.lap())
        if cell not in shop.tally.results:
            why = event["failure"] or "pytest ran it, and it told no verdict"
            shop.tally.condemn(cell, Verdict.CRASHED, why)

    def _named(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Return a process' settings by backend, told apart where threads differ."""
        threads = {cell.threads for cell in self._shop.tally.cells}
        mark = f", {self.threads} thread{'s' * (self.threads > 1)}" if len(threads) > 1 else ""
        cpus = self._shop.settings.cpus
        bound = {} if cpus is None else {"cpus": list(cpus)}
        return {f"{name}{mark}": {**of, **bound} for name, of in settings.items()}


_STRETCH = ("samples", "iterations", "cpu_s", "device_s")


@dataclass
class _Turn:
    """What has come of a command so far."""

    cell: Cell
    since: float
    begun: bool = False
    last: float | None = None

    def lap(self) -> float:
        """Return the seconds since the last lap."""
        now = time.monotonic()
        before, self.last = self.last or self.since, now
        return now - before
