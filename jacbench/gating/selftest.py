"""``jacbench gate --self-test``: what the gate can resolve on this machine.

Identical pairs count its false alarms, injected slow-downs its power; whole pytest-benchmark
sessions beside them say what ``--benchmark-compare-fail=median:5%`` makes of the same cells.
"""

from __future__ import annotations

import contextlib
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jacbench.core.cell import Cell
from jacbench.core.errors import JacbenchError
from jacbench.core.progress import Progress
from jacbench.gating import pytest_benchmark_rule
from jacbench.gating.busy_neighbour import neighbours
from jacbench.gating.decision import Decision, State
from jacbench.gating.gate import Asked, cells_of, default_limits
from jacbench.gating.measurement import (
    INTERRUPTED,
    Measurement,
    StoppedError,
    Wanted,
)
from jacbench.gating.record import Pair, Record, Subject
from jacbench.gating.settings import PREPARATION_FLOOR_S, QUICK_PREPARATION_S, GateSettings
from jacbench.gating.side import interpreter
from jacbench.gating.stages import Finding, judge
from jacbench.measuring.deadline import Deadline
from jacbench.measuring.statistics import Interval, proportion_interval, ratio_interval
from jacbench.results.run import json_safe

LEVELS = (0.05, 0.10, 0.20)
"""Injected slow-downs, as shares of the work."""
CALL_S = 5e-3
"""Cells whose call takes longer are left to the gate itself: the self-test would take hours."""
PREPARED = 6
"""Cells whose preparation is judged and spoilt; the others' preparation is too short."""


@dataclass(frozen=True)
class Trial:
    """One decision of the gate about a pair whose truth is known.

    Attributes
    ----------
    cell
        Its key.
    quantity
        ``time`` or ``preparation``.
    injected
        The share of work that head had more than base.
    flagged
        Called a regression, and again by fresh workers.
    undecided
        Neither that nor passed.
    ratio
        What was measured, head over base.
    pairs
        How many pairs of blocks or preparations it took, confirmation included.
    """

    cell: str
    quantity: str
    injected: float
    flagged: bool
    undecided: bool
    ratio: float
    pairs: int


@dataclass
class SelfTest:
    """Everything the self-test found so far."""

    neighbours: int
    settings: GateSettings
    about: Mapping[str, Any] = field(default_factory=dict)
    trials: list[Trial] = field(default_factory=list)
    second_over_first: list[list[float]] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)
    plain: dict[float, list[bool]] = field(default_factory=dict)
    stopped: str | None = None
    seconds: float = 0.0
    plain_seconds: float = 0.0

    def rates(self) -> list[dict[str, Any]]:
        """Return for each quantity and injected slow-down how often the gate flags it."""
        groups: dict[tuple[str, float], list[Trial]] = {}
        for trial in self.trials:
            groups.setdefault((trial.quantity, trial.injected), []).append(trial)
        return [
            {
                "rule": "gate",
                "quantity": quantity,
                "injected": injected,
                **_rate([trial.flagged for trial in found]),
                "undecided": sum(trial.undecided for trial in found),
                "median_ratio": statistics.median(trial.ratio for trial in found),
            }
            for (quantity, injected), found in sorted(
                groups.items(), key=lambda item: (item[0][0] != "time", item[0][1])
            )
        ] + [
            {
                "rule": f"--benchmark-compare-fail=median:{pytest_benchmark_rule.THRESHOLD:g}%",
                "quantity": "time",
                "injected": injected,
                **_rate(found),
                "undecided": 0,
                "median_ratio": None,
            }
            for injected, found in sorted(self.plain.items())
        ]

    def order_effect(self) -> Interval | None:
        """Return the second of a pair over the first, where both are the same: 1 without one."""
        found = [launch for launch in self.second_over_first if launch]
        return ratio_interval(found, confidence=0.95) if found else None

    def to_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints."""
        order = self.order_effect()
        found: dict[str, Any] = json_safe(
            {
                "schema": 1,
                "neighbours": self.neighbours,
                "rates": self.rates(),
                "order_effect": None if order is None else vars(order),
                "waiting_for_a_core": statistics.median(self.waited) if self.waited else None,
                "stopped": self.stopped,
                "seconds": self.seconds,
                "seconds_of_pytest_benchmark": self.plain_seconds,
                "settings": vars(self.settings),
                "trials": [vars(trial) for trial in self.trials],
                **self.about,
            }
        )
        return found


def _rate(flags: Sequence[bool]) -> dict[str, Any]:
    low, high = proportion_interval(sum(flags), len(flags))
    return {"pairs": len(flags), "flagged": sum(flags), "low": low, "high": high}


Save = Callable[[SelfTest], None]


def self_test(
    asked: Asked,
    settings: GateSettings,
    progress: Progress,
    *,
    pairs: int = 200,
    cells: int = 72,
    busy: int = 0,
    save: Save = lambda _: None,
) -> SelfTest:
    """Run the gate again and again on this environment against itself.

    Parameters
    ----------
    asked
        Where to take cells from; quick ones are chosen, equally many of each backend.
    settings
        Those of the gate; ``time_limit_s`` bounds the whole self-test.
    progress
        Is told what goes on.
    pairs
        Identical pairs, at least; each repetition of the gate gives one for each cell.
    cells
        Cells, at most.
    busy
        Busy neighbours to have beside it.
    save
        Is given what is known after each repetition.
    """
    for name, value, least in (("pairs", pairs, 1), ("cells", cells, 1), ("neighbours", busy, 0)):
        if value < least:
            raise JacbenchError(f"--{name} {value}: give a whole number of at least {least}")
    sides = {name: interpreter(name, None) for name in ("base", "head")}
    deadline = Deadline(settings.time_limit_s)
    done = SelfTest(busy, settings)
    with (
        tempfile.TemporaryDirectory(prefix="jacbench-gate-", ignore_cleanup_errors=True) as folder,
        neighbours(busy),
    ):
        measurement = Measurement(sides, settings, deadline, progress, Path(folder))
        chosen, prepared = _choose(measurement, asked, cells)
        try:
            before = _plain(chosen, measurement, Path(folder) / "plain-0", done)
            for repetition in range(-(-pairs // len(chosen))):
                subjects = _subjects(chosen, prepared, repetition)
                found = judge(measurement, subjects, default_limits)
                if measurement.stopped is not None:
                    break  # only whole repetitions count: what is cut off is not undecided
                _count(found, done, repetition)
                done.about = measurement.about.get("head", {})
                after = _plain(chosen, measurement, Path(folder) / f"plain-{repetition + 1}", done)
                for change in (0.0, *LEVELS):
                    flags = pytest_benchmark_rule.flagged(before, after, change)
                    done.plain.setdefault(change, []).extend(flags)
                before = after
                done.seconds = deadline.spent()
                save(done)
        except KeyboardInterrupt:
            measurement.stopped = INTERRUPTED
        done.stopped = measurement.stopped
    return done


def _choose(measurement: Measurement, asked: Asked, limit: int) -> tuple[list[Cell], set[Cell]]:
    """Return quick cells that agree, of each backend as many, and those that take preparing."""
    records: dict[Subject, Record] = {}
    # A compiler's seconds a cell are spent for nothing: such cells are never quick enough.
    every = [c for c in cells_of(measurement, asked).cells["head"] if "compile" not in c.method]
    only_settle = Wanted(time=False, preparation=False, memory=False)
    with contextlib.suppress(StoppedError):
        measurement.launch({Subject(cell): only_settle for cell in every}, records)
    quick: dict[str, list[Cell]] = {}
    prepared = set()
    for subject, record in records.items():
        seconds = [pair.head_s for launch in record.preparations for pair in launch]
        if not record.timed or not seconds or (record.call_s or 1.0) > CALL_S:
            continue
        if seconds[0] < QUICK_PREPARATION_S:
            quick.setdefault(subject.cell.backend, []).append(subject.cell)
            if seconds[0] > 2 * PREPARATION_FLOOR_S:
                prepared.add(subject.cell)
    if not quick:
        raise JacbenchError(
            "the self-test found no cell whose call takes less than 5 ms: select others"
        )
    each = max(1, limit // len(quick))
    chosen = [cell for found in quick.values() for cell in _spread(found, each)]
    return chosen, set(_spread([cell for cell in chosen if cell in prepared], PREPARED))


def _spread(cells: Sequence[Cell], count: int) -> list[Cell]:
    """Return ``count`` of ``cells``, evenly over the list."""
    if len(cells) <= count:
        return list(cells)
    return [cells[i * len(cells) // count] for i in range(count)]


def _subjects(chosen: Sequence[Cell], prepared: set[Cell], repetition: int) -> list[Subject]:
    """Return each cell as it is, and with one slow-down, another one each repetition."""
    subjects = [Subject(cell) for cell in chosen]
    for index, cell in enumerate(chosen):
        level = LEVELS[(index + repetition) % len(LEVELS)]
        subjects.append(Subject(cell, extra=level))
        if cell in prepared:
            subjects.append(Subject(cell, spoilt=level))
    return subjects


def _count(
    found: Mapping[Subject, tuple[Finding, Finding | None]], done: SelfTest, repetition: int
) -> None:
    while len(done.second_over_first) <= repetition:
        done.second_over_first.append([])
    for subject, (first, second) in found.items():
        if first.time is not None:
            again = None if second is None else second.time
            done.trials.append(_trial(subject, "time", subject.extra, first.time, again))
        if first.preparation is not None:
            again = None if second is None else second.preparation
            done.trials.append(
                _trial(subject, "preparation", subject.spoilt, first.preparation, again)
            )
        done.waited.append(first.record.waited())
        if not subject.extra and first.record.blocks:
            order = [_second_over_first(p) for launch in first.record.blocks for p in launch]
            if order:
                done.second_over_first[repetition].append(statistics.median(order))


def _second_over_first(pair: Pair) -> float:
    return pair.ratio if pair.base_first else 1 / pair.ratio


def _trial(
    subject: Subject, quantity: str, injected: float, first: Decision, second: Decision | None
) -> Trial:
    suspected = first.state is State.REGRESSION
    confirmed = second is not None and second.state is State.REGRESSION
    return Trial(
        subject.cell.key,
        quantity,
        injected,
        flagged=suspected and confirmed,
        undecided=first.state is State.INCONCLUSIVE or (suspected and not confirmed),
        ratio=first.ratio.estimate,
        pairs=first.pairs + (0 if second is None else second.pairs),
    )


def _plain(
    chosen: Sequence[Cell], measurement: Measurement, folder: Path, done: SelfTest
) -> dict[str, float]:
    started = measurement.deadline.spent()
    medians = pytest_benchmark_rule.session(chosen, measurement.sides["head"], folder)
    done.plain_seconds += measurement.deadline.spent() - started
    return medians
