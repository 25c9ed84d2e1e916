"""The driver's end of a bench in a process of its own, which may hang, crash or eat memory."""

from __future__ import annotations

import contextlib
import itertools
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jacbench.core.cell import Cell, CellResult, Verdict
from jacbench.core.errors import JacbenchError, NothingRightError
from jacbench.measuring import memory, process_memory
from jacbench.measuring import threads as environment
from jacbench.picking.bench import Entry, Evidence, Look, Offer
from jacbench.picking.candidate import Candidate
from jacbench.picking.loading.function_request import Asked
from jacbench.structure.samples import Samples
from jacbench.workers.channel import Downward
from jacbench.workers.lost import LostError
from jacbench.workers.memory_limit import MEMORY_SHARE

GRACE_S = 2.0
"""What an answer may take beyond the time there is, seconds: it was expected to come in time."""
POLL_S = 0.1
"""How often a silent worker's memory is looked at, seconds."""
IMPORTS_BYTES = 2 * 2**30
"""What libraries may hold once they are imported, which does not count later."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What bounds a worker.

    Attributes
    ----------
    threads
        For which it is pinned.
    memory_bytes
        What it may need beyond what it holds when it is ready; None: a share of what is free.
    start_s
        What starting, imports included, may take, seconds.
    answer_s
        What any one answer may take, seconds.
    """

    threads: int = 1
    memory_bytes: int | None = None
    start_s: float = 120.0
    answer_s: float = 60.0


class FileError(JacbenchError):
    """A user's file or function that failed, with its own traceback from the user's lines on."""

    def __init__(self, reason: str, told: str) -> None:
        super().__init__(reason)
        self.told = told


class RemoteBench:
    """A bench in a worker, which is replaced when it is lost.

    Parameters
    ----------
    asked
        What the user named.
    folder
        Scratch for this bench alone.
    limits
        What bounds it.

    Attributes
    ----------
    described
        What the worker says of the subject.
    """

    def __init__(self, asked: Asked, folder: Path, limits: Limits) -> None:
        self._asked, self._folder, self._limits = asked, folder, limits
        self._numbers = itertools.count()
        self._worker: Downward | None = None
        self._library: str | None = None
        self._steps: list[Callable[[], object]] = []
        self._entered: set[Candidate] = set()
        self._cpus: list[int] = []
        self._at_rest: int | None = None
        self._left_s: Callable[[], float] = lambda: math.inf
        self._codes: dict[Candidate, list[str]] = {}
        self._fingerprint: Mapping[str, Any] | None = None
        self.described: Mapping[str, Any] = {}

    # --- starting, and starting again ---

    def open(self) -> Mapping[str, Any]:
        """Start the worker and let it load what the user named."""
        self._at_rest = None
        self._worker = Downward(
            [sys.executable, "-m", "jacbench.picking.benches.worker"],
            self._folder / str(next(self._numbers)),
            environment.of_worker(self._limits.threads, self._folder),
        )
        limits = self._limits
        self._worker.send(threads=limits.threads, memory_bytes=limits.memory_bytes)
        self._receive(limits.start_s, f"it did not start within {limits.start_s:g} s")
        self.described = self._ask(
            "open", limits.start_s, folder=str(Path.cwd()), asked=self._asked.to_json()
        )
        return self.described

    def start(self, backend: str) -> None:
        """Let the worker make the bench of ``backend``."""
        self._library = backend
        self._ask("start", self._limits.start_s, backend=backend)
        self._at_rest = process_memory.resident_bytes(self._running.pid)

    @property
    def named(self) -> str:
        """What the user named."""
        return self._asked.named

    @property
    def backend(self) -> str:
        """The library's backend."""
        assert self._library is not None  # noqa: S101 - started
        return self._library

    @property
    def _running(self) -> Downward:
        self.revive()
        assert self._worker is not None  # noqa: S101 - just started
        return self._worker

    def _again(self) -> None:
        """Start another worker and bring it to where the last one was."""
        self._entered.clear()
        self.open()
        if self._library is not None:
            self.start(self._library)
        for step in self._steps:
            step()
        if self._cpus:
            self.bind(self._cpus)

    # --- what a bench does ---

    def hold(self, left_s: Callable[[], float]) -> None:
        """Let no answer take longer than there is time left, and a moment."""
        self._left_s = left_s

    @property
    def _answer_s(self) -> float:
        """What an answer may take now, seconds."""
        return min(self._limits.answer_s, max(GRACE_S, self._left_s() + GRACE_S))

    def examine(self, time_limit_s: float, part: float = 1.0) -> Look:
        """Say what kind of function it is."""

        def look() -> dict[str, Any]:
            return self._ask("examine", self._answer_s, time_limit_s=time_limit_s, part=part)

        found = look()
        self._steps.append(look)
        return Look(**{**found, "lines": tuple(found["lines"])})

    def samples(self) -> Samples:
        """Look for an axis over samples."""

        def find() -> dict[str, Any]:
            return self._ask("samples", self._answer_s)

        found = find()
        self._steps.append(find)
        return Samples(**found)

    def evidence(self) -> Evidence:
        """Say what answers are held against."""

        def gather() -> dict[str, Any]:
            return self._ask("evidence", self._answer_s)

        found = Evidence(**gather())
        self._steps.append(gather)
        return found

    def offers(self) -> list[Offer]:
        """Return every candidate."""
        found = self._ask("offers", self._limits.answer_s)["offers"]
        self.fingerprint()
        return [
            Offer(**{**offer, "candidate": Candidate.from_json(offer["candidate"])})
            for offer in found
        ]

    def enter(self, candidate: Candidate, time_limit_s: float | None = None) -> Entry:
        """Prepare and check a candidate; one that takes the worker with it has its verdict."""
        self._present()
        seconds = self._limits.answer_s if time_limit_s is None else time_limit_s
        try:
            found = self._ask("enter", seconds, candidate=candidate.to_json())
        except LostError as exc:
            return self._without(candidate, exc.verdict, exc.reason)
        self._entered.add(candidate)
        if found["call_s"] is not None:
            # kept, so that no other worker has to be started for it should this one be lost
            self._codes[candidate] = self._ask(
                "code", self._limits.answer_s, candidate=candidate.to_json()
            )["lines"]
        result = CellResult.from_json(found["result"])
        return Entry(
            candidate=candidate, result=result, call_s=found["call_s"], start_s=found["start_s"]
        )

    def _without(self, candidate: Candidate, verdict: Verdict, reason: str) -> Entry:
        cell = Cell(
            problem=self.described["name"],
            operator=candidate.operator,
            method=candidate.method,
            backend=self.backend,
            device=self.described["device"],
            dtype=self.described["dtype"],
            threads=self._limits.threads,
        )
        result = CellResult(
            cell=cell, verdict=verdict, reason=reason, chunk_size=candidate.chunk_size
        )
        return Entry(candidate=candidate, result=result)

    def _present(self, candidate: Candidate | None = None) -> None:
        """Make sure that there is a worker, and that it has prepared the candidate.

        Raises
        ------
        LostError
            Where another worker does not get as far as the last one.
        JacbenchError
            Where it refuses what the last one did.
        """
        self.revive()
        if candidate is None or candidate in self._entered:
            return
        entry = self.enter(candidate)
        if entry.call_s is None:
            result = entry.result
            told = f"prepared again in another process, it {result.verdict}: {result.reason}"
            raise LostError(result.verdict, told)

    def revive(self) -> None:
        """Start another worker, where the last one was lost."""
        if self._worker is None:
            self._again()

    def ready(self, candidate: Candidate) -> bool:
        """Say whether there is a worker that has prepared it."""
        return self._worker is not None and candidate in self._entered

    def block(self, candidate: Candidate, repeats: int, iterations: int) -> list[float]:
        """Time some calls."""
        self._present(candidate)
        seconds: list[float] = self._ask(
            "block",
            self._answer_s,
            candidate=candidate.to_json(),
            repeats=repeats,
            iterations=iterations,
        )["seconds"]
        return seconds

    def peak(self, candidate: Candidate) -> int | None:
        """Return the peak memory of a call."""
        self._present(candidate)
        answer = self._ask("peak", self._answer_s, candidate=candidate.to_json())
        peak: int | None = answer["peak_bytes"]
        return peak

    def changes(self, candidate: Candidate, *, again: bool = False) -> str | None:
        """Return how calls change the process."""
        self._present(candidate)
        told = candidate.to_json()
        answer = self._ask("changes", self._answer_s, candidate=told, again=again)
        reason: str | None = answer["reason"]
        return reason

    def code(self, candidate: Candidate) -> list[str]:
        """Return the lines to paste."""
        if candidate not in self._codes:
            self._present(candidate)
        return self._codes[candidate]

    def bind(self, cpus: Sequence[int]) -> None:
        """Bind the worker to processors, and any that follows it."""
        self._cpus = list(cpus)
        if self._worker is not None:
            with contextlib.suppress(LostError):  # who needs the next one will start it
                self._ask("bind", self._limits.answer_s, cpus=self._cpus)

    def fingerprint(self) -> Mapping[str, Any]:
        """Return machine, versions and settings."""
        if self._fingerprint is None or self._worker is not None:
            self._fingerprint = self._ask("fingerprint", self._limits.answer_s)["fingerprint"]
        return self._fingerprint

    def close(self) -> None:
        """End the worker and all that it started."""
        if self._worker is not None:
            self._worker.kill()
            self._worker = None

    # --- the channel ---

    def _ask(self, what: str, seconds: float, **fields: Any) -> dict[str, Any]:
        worker = self._running
        worker.forget()
        worker.send(do=what, **fields)
        answer = self._receive(seconds, f"it took longer than {seconds:g} s")
        if answer["event"] == "lost":
            raise LostError(Verdict(answer["verdict"]), answer["reason"])
        if answer["event"] in ("refused", "failed"):
            told = answer.get("traceback")
            if told:
                raise FileError(answer["reason"], told)
            nothing_right = answer.get("nothing_right", False)
            raise (NothingRightError if nothing_right else JacbenchError)(answer["reason"])
        found: dict[str, Any] = answer["answer"]
        return found

    def _receive(self, seconds: float, late: str) -> dict[str, Any]:
        worker = self._worker
        assert worker is not None  # noqa: S101 - asked of a running one
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            event = worker.receive(min(left, POLL_S))
            if event is not None:
                return event
            if worker.ended():
                worker.wait(5.0)
                raise self._gone(Verdict.CRASHED, worker.epitaph())
            if (too_much := self._too_much(worker)) is not None:
                raise self._gone(Verdict.TOO_LARGE, too_much)
        raise self._gone(Verdict.TIMED_OUT, late)

    def _gone(self, verdict: Verdict, reason: str) -> LostError:
        self.close()
        return LostError(verdict, reason)

    def _too_much(self, worker: Downward) -> str | None:
        """Return why the worker takes more memory than it may, or None."""
        held = process_memory.resident_bytes(worker.pid)
        if held is None:
            return None
        more = held - (self._at_rest or 0)
        allowed = self._limits.memory_bytes
        if allowed is not None and self._at_rest is None:
            allowed += IMPORTS_BYTES
        if allowed is None:
            free = memory.available()
            allowed = None if free is None else int(MEMORY_SHARE * (free + more))
        if allowed is None or more <= allowed:
            return None
        return (
            f"it took {memory.format_size(more)}, more than the {memory.format_size(allowed)} "
            "that it may"
        )
