"""Arms without processes: their times come from a simulated machine, and they die when told to."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from jacbench.core.cell import Cell, CellResult, Verdict
from jacbench.core.progress import Quiet
from jacbench.gating import measurement
from jacbench.gating.cell_outcome import judged
from jacbench.gating.gate import GateRun, default_limits
from jacbench.gating.measurement import Measurement
from jacbench.gating.outcome import Judged
from jacbench.gating.record import SIDES, Subject
from jacbench.gating.settings import GateSettings
from jacbench.gating.side import Side
from jacbench.gating.side_worker import ArmError
from jacbench.gating.stages import Finding, LimitsOf, judge
from jacbench.measuring import statistics
from jacbench.measuring.deadline import Deadline
from tests.samples import FINGERPRINT, cell

ONE = cell("tiny.right", problem="a/one")
TWO = cell("tiny.right", problem="a/two")
THREE = cell("tiny.right", problem="a/three")


@dataclass(frozen=True)
class Event:
    """What an arm was asked: which one of its side's, and the how-manieth such question."""

    side: str
    launch: int
    what: str
    cell: Cell | None
    count: int


@dataclass
class Version:
    """What one side makes of a cell; all but the verdict by the number of the side's worker."""

    call_s: Callable[[int], float] = lambda _: 1e-4
    prepare_s: Callable[[int], float] = lambda _: 1e-3
    peak: Callable[[int], int | None] = lambda _: 2**24
    verdict: Callable[[int], Verdict] = lambda _: Verdict.AGREES
    probe: Sequence[float] = (2.0, 0.5, -1.0)


def raising(verdict: str, reason: str = "the worker exited with status 3") -> ArmError:
    """Return what an arm raises whose worker does not answer."""
    return ArmError("head (the head)", verdict, reason)


@dataclass
class Machine:
    """A machine on which times are as a test says, noise apart.

    Attributes
    ----------
    versions
        By side and cell; the others are all alike.
    noise, launch_noise
        Relative, of each sample, and of all that a worker measures.
    drift
        By seconds since the beginning, what every time is multiplied with.
    second
        What the second block of a pair is multiplied with.
    trouble
        Is shown every question before it is answered, and may raise.
    cells
        By side, the cells that it has.
    """

    versions: dict[tuple[str, Cell], Version] = field(default_factory=dict)
    noise: float = 0.02
    launch_noise: float = 0.003
    seed: int = 0
    drift: Callable[[float], float] = lambda _: 1.0
    second: float = 1.0
    first_block: float = 1.0
    trouble: Callable[[Event], None] = lambda _: None
    cells: dict[str, Sequence[Cell]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Start the clock."""
        self.rng = np.random.default_rng(self.seed)
        self.now = 0.0
        self.asked: list[Event] = []
        self.blocks: list[tuple[str, Cell, int, int, float]] = []
        self.arms = dict.fromkeys(SIDES, 0)
        self.open = 0
        self.bound: list[tuple[str, tuple[int, ...]]] = []

    def version(self, side: str, cell: Cell) -> Version:
        """Return what ``side`` makes of ``cell``."""
        return self.versions.get((side, cell), _SAME)


_SAME = Version()


class FakeArm:
    """An arm whose answers come from a machine."""

    def __init__(self, machine: Machine, side: Side) -> None:
        self.side = side
        self.machine = machine
        self.launch = machine.arms[side.name]
        machine.arms[side.name] += 1
        machine.open += 1
        self.factor = math.exp(machine.rng.normal(0, machine.launch_noise))
        self.counts: dict[tuple[str, Cell | None], int] = {}
        self.dead = False
        self.cpus: list[int] = []

    def bind(self, cpus: Sequence[int]) -> None:
        assert not self.dead, "a dead worker is asked"
        self.cpus = list(cpus)
        self.machine.bound.append((self.side.name, tuple(cpus)))

    def _asked(self, what: str, cell: Cell | None = None) -> None:
        assert not self.dead, "a dead worker is asked"
        count = self.counts.get((what, cell), 0)
        self.counts[what, cell] = count + 1
        event = Event(self.side.name, self.launch, what, cell, count)
        self.machine.asked.append(event)
        try:
            self.machine.trouble(event)
        except ArmError:
            self.dead = True
            raise

    def _last(self, seconds: float) -> float:
        self.machine.now += seconds
        return seconds

    def start(self, files: list[str]) -> None:
        self._asked("start")

    def cells(self, selection: dict[str, Any], files: list[str]) -> dict[str, Any]:
        self._asked("cells")
        mine = self.machine.cells.get(self.side.name, ())
        return {"cells": [asdict(one) for one in mine], "absent": {"jax": "jax is absent"}}

    def settle(self, cell: Cell, spoilt: float = 0.0) -> dict[str, Any]:
        self._asked("settle", cell)
        version = self.machine.version(self.side.name, cell)
        verdict = version.verdict(self.launch)
        agrees = verdict is Verdict.AGREES
        noise = float(np.exp(self.machine.rng.normal(0, self.machine.noise)))
        prepare_s = version.prepare_s(self.launch) * self.factor * noise * (1 + spoilt)
        self._last(prepare_s)
        result = CellResult(
            cell=cell,
            verdict=verdict,
            reason=None if agrees else "as planted",
            error=1e-16 if agrees else None,
            prepare_s=prepare_s if agrees else None,
        )
        call_s = version.call_s(self.launch) if agrees else None
        return {
            "result": result.to_json(),
            "prepare_s": prepare_s if agrees else None,
            "call_s": call_s,
            "probe": list(version.probe) if agrees else None,
            "settings": {},
        }

    def block(self, cell: Cell, samples: int, iterations: int, extra: float) -> dict[str, Any]:
        self._asked("block", cell)
        machine = self.machine
        place = sum(1 for block in machine.blocks if block[1] == cell) % 2
        machine.blocks.append((self.side.name, cell, samples, iterations, extra))
        call_s = machine.version(self.side.name, cell).call_s(self.launch) * (1 + extra)
        call_s *= self.factor * machine.drift(machine.now) * (machine.second if place else 1.0)
        if self.counts["block", cell] == 1:
            call_s *= machine.first_block
        noise = np.exp(machine.rng.normal(0, machine.noise, samples))
        seconds = (call_s * noise).tolist()
        wall = self._last(sum(seconds) * iterations)
        return {"seconds": seconds, "cpu_s": wall, "wall_s": wall, "waited_s": 0.0}

    def memory(self, cell: Cell) -> int | None:
        self._asked("memory", cell)
        return self.machine.version(self.side.name, cell).peak(self.launch)

    def about(self) -> dict[str, Any]:
        self._asked("about")
        return {
            "fingerprint": {**FINGERPRINT, "settings": {"tiny": {"threads": 1}}},
            "discounts_waiting": True,
        }

    def kill(self) -> None:
        self.dead = True
        self.machine.open -= 1


class Limit(Deadline):
    """A time limit by the machine's clock."""

    def __init__(self, machine: Machine, seconds: float | None) -> None:
        super().__init__(seconds)
        self._machine = machine

    def spent(self) -> float:
        return self._machine.now


SIDES_HERE = {name: Side(name, f"the {name}", "python", Path()) for name in SIDES}


@contextmanager
def measuring(
    machine: Machine, seconds: float | None = None, **settings: Any
) -> Iterator[Measurement]:
    """Have a measurement on ``machine``; no worker is open in the end."""

    def arm(side: Side, settings: GateSettings, folder: Path) -> FakeArm:
        return FakeArm(machine, side)

    # Fewer resamples: the ends of an interval move by some percent of its width.
    with (
        mock.patch.object(measurement, "Arm", arm),
        mock.patch.object(statistics, "RESAMPLES", 400),
    ):
        yield Measurement(
            SIDES_HERE,
            GateSettings(**settings),
            Limit(machine, seconds),
            Quiet(),
            Path("/nowhere"),
        )
    assert machine.open == 0, "a worker is left behind"


Found = dict[Subject, tuple[Finding, Finding | None]]


def found(
    machine: Machine,
    cells: Sequence[Cell] = (ONE,),
    *,
    limits: LimitsOf = default_limits,
    seconds: float | None = None,
    **settings: Any,
) -> tuple[Found, Measurement]:
    """Return what both stages find of ``cells``."""
    with measuring(machine, seconds, **settings) as here:
        return judge(here, [Subject(cell) for cell in cells], limits), here


def outcomes(machine: Machine, cells: Sequence[Cell] = (ONE,), **parts: Any) -> list[Judged]:
    """Return what the gate says of each cell."""
    return gate_run(machine, cells, **parts).judged


def gate_run(
    machine: Machine,
    cells: Sequence[Cell] = (ONE,),
    *,
    limits: LimitsOf = default_limits,
    **parts: Any,
) -> GateRun:
    """Return a whole run of the gate."""
    stages, here = found(machine, cells, limits=limits, **parts)
    done = [judged(s, first, second, limits(s.cell)) for s, (first, second) in stages.items()]
    return GateRun(done, SIDES_HERE, here.about, {}, machine.now, here.settings, here.stopped)


def slower(factor: float, **parts: Any) -> Version:
    """Return a version whose calls take ``factor`` times as long."""
    return Version(call_s=lambda _: 1e-4 * factor, **parts)
