"""Launches: fresh pairs of workers, agreement first, then interleaved blocks in random order."""

from __future__ import annotations

import itertools
import os
import random
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jacbench.core.cell import Cell, CellResult, Verdict
from jacbench.core.progress import Progress
from jacbench.gating.record import SIDES, Pair, Record, Subject
from jacbench.gating.settings import PREPARATIONS, QUICK_PREPARATION_S, GateSettings
from jacbench.gating.side import Side
from jacbench.gating.side_worker import Arm, ArmError
from jacbench.measuring.deadline import Deadline

INTERRUPTED = "interrupted"


class StoppedError(Exception):
    """No more can be measured, by the time limit or a worker that does not start.

    What is measured is kept; :attr:`Measurement.stopped` says why.
    """


@dataclass(frozen=True)
class Wanted:
    """What a launch is to measure of a subject."""

    time: bool = True
    preparation: bool = True
    memory: bool = True


class Measurement:
    """Measures subjects in fresh pairs of workers.

    Parameters
    ----------
    sides
        ``base`` and ``head``.
    settings
        How to measure.
    deadline, progress
        When to stop, and who is told.
    scratch
        A private folder.
    """

    def __init__(
        self,
        sides: Mapping[str, Side],
        settings: GateSettings,
        deadline: Deadline,
        progress: Progress,
        scratch: Path,
    ) -> None:
        self.sides = dict(sides)
        self.settings = settings
        self.files: list[str] = []
        """Files of the user's, ``FILE.py:NAME``, that are there on both sides."""
        self.deadline = deadline
        self.progress = progress
        self.stopped: str | None = None
        self.about: dict[str, dict[str, Any]] = {}
        self._scratch = scratch
        can_bind = hasattr(os, "sched_getaffinity")
        self._cpus = sorted(os.sched_getaffinity(0)) if can_bind else []
        self._numbers = itertools.count()
        # An order of measurement, not a secret.
        self.order = random.Random(settings.seed)  # noqa: S311

    @contextmanager
    def arms(self) -> Iterator[dict[str, Arm]]:
        """Start a fresh worker for each side, in random order; kill both in the end."""
        started: dict[str, Arm] = {}
        try:
            names = list(SIDES)
            self.order.shuffle(names)
            for name in names:
                folder = self._scratch / f"{next(self._numbers)}-{name}"
                started[name] = Arm(self.sides[name], self.settings, folder)
            for arm in started.values():
                arm.start(self.files)
            yield {name: started[name] for name in SIDES}
        finally:
            for arm in started.values():
                arm.kill()

    def _check_time(self) -> None:
        """Raise :class:`StoppedError` once the time limit is reached."""
        if self.deadline.left() <= 0:
            raise StoppedError(f"the {self.deadline.limit_s:g} s of --time-limit were spent")

    @contextmanager
    def _started(self) -> Iterator[dict[str, Arm]]:
        """Start both workers, or stop where they do not start."""
        with ExitStack() as stack:
            try:
                arms = stack.enter_context(self.arms())
            except (ArmError, OSError) as exc:
                raise StoppedError(f"a worker did not start: {exc}") from None
            yield arms

    def launch(self, subjects: Mapping[Subject, Wanted], records: dict[Subject, Record]) -> None:
        """Measure every subject once more in fresh workers, and add it to ``records``.

        Raises
        ------
        StoppedError
            Where no more can be measured; what was until then is in ``records``.
        """
        groups: dict[str, dict[Subject, Wanted]] = {}
        for subject, wanted in subjects.items():
            groups.setdefault(subject.cell.backend, {})[subject] = wanted
        names = list(groups)
        self.order.shuffle(names)
        for subject in subjects:
            record = records.setdefault(subject, Record())
            record.blocks.append([])
            record.preparations.append([])
        try:
            for name in names:
                self._group(groups[name], records)
        except StoppedError as exc:
            self.stopped = str(exc)
            raise
        except KeyboardInterrupt:
            self.stopped = INTERRUPTED
            raise StoppedError(INTERRUPTED) from None

    def _group(self, subjects: dict[Subject, Wanted], records: dict[Subject, Record]) -> None:
        """Measure the subjects of one backend; a worker that dies costs one cell."""
        left = dict(subjects)
        while left:
            self._check_time()
            with self._started() as arms:
                blame = _Blame()
                try:
                    self._settle(arms, left, records, blame)
                    self._blocks(arms, left, records, blame)
                    self._memory(arms, left, records, blame)
                except ArmError as exc:
                    self._condemn(blame, exc, left, records)
                else:
                    for name, arm in arms.items():
                        with suppress(ArmError):  # what it measured stands
                            self._describe(name, arm)
                    return

    def _condemn(
        self,
        blame: _Blame,
        exc: ArmError,
        left: dict[Subject, Wanted],
        records: dict[Subject, Record],
    ) -> None:
        """Give the cell that a worker died of its verdict, and take it out of the launch."""
        cell, side = blame.cell, blame.side
        assert cell is not None  # noqa: S101 - the caller has looked
        mine = [subject for subject in left if subject.cell == cell]
        known = records[mine[0]].results
        verdicts = {side: _died(cell, known.get(side), exc)}
        other = next(name for name in SIDES if name != side)
        if other not in known:
            verdicts[other] = self._alone(cell, other)
        for subject in mine:
            for name, result in verdicts.items():
                records[subject].keep(name, result)
            del left[subject]

    def _alone(self, cell: Cell, name: str) -> CellResult:
        """Return what a fresh worker of one side says of a cell that killed the other side's."""
        arm = Arm(self.sides[name], self.settings, self._scratch / f"{next(self._numbers)}-{name}")
        try:
            arm.start(self.files)
            return CellResult.from_json(arm.settle(cell)["result"])
        except ArmError as exc:
            return _died(cell, None, exc)
        finally:
            arm.kill()

    def _describe(self, name: str, arm: Arm) -> None:
        known = self.about.setdefault(name, {})
        found = arm.about()
        settings = known.get("fingerprint", {}).get("settings", {})
        found["fingerprint"]["settings"] = {**settings, **found["fingerprint"]["settings"]}
        known.update(found)

    def _settle(
        self,
        arms: Mapping[str, Arm],
        left: dict[Subject, Wanted],
        records: dict[Subject, Record],
        blame: _Blame,
    ) -> None:
        """Check each cell on both sides, and time its preparation on the way."""
        for cell in dict.fromkeys(subject.cell for subject in left):
            mine = [subject for subject in left if subject.cell == cell]
            self.progress.start(cell, "check")
            wrong = False
            for subject in mine:
                wanted = left[subject].preparation or subject is mine[0]
                if wanted and not wrong:
                    wrong = not self._prepare(arms, subject, mine, left, records, blame)
            if wrong:
                for subject in mine:
                    del left[subject]

    def _prepare(
        self,
        arms: Mapping[str, Arm],
        subject: Subject,
        mine: Sequence[Subject],
        left: Mapping[Subject, Wanted],
        records: dict[Subject, Record],
        blame: _Blame,
    ) -> bool:
        """Prepare a subject on both sides, a few times if it is quick; say whether both agree."""
        record = records[subject]
        again = 1
        for done in itertools.count(1):
            self._check_time()
            names = list(SIDES)
            self.order.shuffle(names)
            self._bind(arms, subject.cell, blame)
            seconds: dict[str, float] = {}
            calls = []
            for name in names:
                blame.on(subject.cell, name)
                spoilt = subject.spoilt if name == "head" else 0.0
                answer = arms[name].settle(subject.cell, spoilt)
                result = CellResult.from_json(answer["result"])
                for other in mine:
                    records[other].keep(name, result)
                    if answer["probe"] is not None:
                        records[other].probes[name] = answer["probe"]
                if result.verdict is not Verdict.AGREES:
                    return self._see_the_other(arms, subject, name, mine, records, blame)
                seconds[name] = answer["prepare_s"]
                calls.append(answer["call_s"])
            record.preparations[-1].append(
                Pair(seconds["base"], seconds["head"], names[0] == "base")
            )
            for other in mine:
                records[other].call_s = records[other].call_s or max(calls)
            if done == 1 and left[subject].preparation and max(seconds.values()) > 5e-3:
                again = PREPARATIONS if max(seconds.values()) < QUICK_PREPARATION_S else 1
            if done >= again:
                return True
        raise AssertionError  # the loop has no other end

    def _see_the_other(
        self,
        arms: Mapping[str, Arm],
        subject: Subject,
        name: str,
        mine: Sequence[Subject],
        records: dict[Subject, Record],
        blame: _Blame,
    ) -> bool:
        """Where one side is wrong, ask the other too, so that both have their verdict."""
        other = next(side for side in SIDES if side != name)
        if other not in records[subject].results:
            blame.on(subject.cell, other)
            result = CellResult.from_json(arms[other].settle(subject.cell)["result"])
            for one in mine:
                records[one].keep(other, result)
        return False

    def _blocks(
        self,
        arms: Mapping[str, Arm],
        left: Mapping[Subject, Wanted],
        records: dict[Subject, Record],
        blame: _Blame,
    ) -> None:
        """Time pairs of blocks, cell after cell in a new random order each round."""
        timed = [subject for subject, wanted in left.items() if wanted.time]
        base_first = {}
        for subject in timed:
            # What a worker that died left behind is not measured again.
            done = [pair.base_first for pair in records[subject].blocks[-1]]
            half = self.settings.blocks // 2
            base_first[subject] = [
                first for first in (True, False) for _ in range(half - done.count(first))
            ]
            self.order.shuffle(base_first[subject])
        while any(base_first.values()):
            self._check_time()
            self.order.shuffle(timed)
            for subject in timed:
                if base_first[subject]:
                    self.progress.start(subject.cell, "time")
                    self._pair(arms, subject, records[subject], base_first[subject].pop(), blame)

    def _bind(self, arms: Mapping[str, Arm], cell: Cell, blame: _Blame) -> None:
        """Bind both workers to the same processors, drawn anew for each pair.

        Left alone, each process stays on a core of its own for seconds, and one core may be half as
        fast as the other while a neighbour of the machine's uses the rest of it.
        """
        if len(self._cpus) < self.settings.threads:
            return
        cpus = self.order.sample(self._cpus, self.settings.threads)
        for name, arm in arms.items():
            blame.on(cell, name)
            arm.bind(cpus)

    def _pair(
        self,
        arms: Mapping[str, Arm],
        subject: Subject,
        record: Record,
        base_first: bool,
        blame: _Blame,
    ) -> None:
        samples, iterations = record.plan()
        self._bind(arms, subject.cell, blame)
        answers = {}
        for name in SIDES if base_first else reversed(SIDES):
            blame.on(subject.cell, name)
            extra = subject.extra if name == "head" else 0.0
            answers[name] = arms[name].block(subject.cell, samples, iterations, extra)
        # Only now: half a pair adds to neither side.
        medians = {}
        for name, answer in answers.items():
            medians[name] = statistics.median(answer["seconds"])
            record.samples[name].extend(answer["seconds"])
            for index, key in enumerate(("cpu_s", "wall_s", "waited_s")):
                record.busy[name][index] += answer[key]
        record.blocks[-1].append(Pair(medians["base"], medians["head"], base_first))

    def _memory(
        self,
        arms: Mapping[str, Arm],
        left: Mapping[Subject, Wanted],
        records: dict[Subject, Record],
        blame: _Blame,
    ) -> None:
        """Measure peak memory once everything is timed: it changes how the allocator works."""
        for subject, wanted in left.items():
            if not wanted.memory:
                continue
            self._check_time()
            self.progress.start(subject.cell, "memory")
            for name in SIDES:
                blame.on(subject.cell, name)
                peak = arms[name].memory(subject.cell)
                if peak is not None:
                    records[subject].peaks[name].append(peak)


class _Blame:
    """Which cell a side is busy with, for the case that it dies of it."""

    def __init__(self) -> None:
        self.cell: Cell | None = None
        self.side = ""

    def on(self, cell: Cell, side: str) -> None:
        """Note what is asked of whom."""
        self.cell, self.side = cell, side


def _died(cell: Cell, known: CellResult | None, exc: ArmError) -> CellResult:
    known = known or CellResult(cell=cell, verdict=Verdict.CRASHED)
    return replace(known, verdict=Verdict(exc.verdict), reason=exc.reason)
