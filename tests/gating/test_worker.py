"""What an arm's worker does between two readings of its clock: calls counted, times simulated."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from jacbench.backend import Prepared
from jacbench.checking.checks import Settled
from jacbench.core.cell import Cell, CellResult, Verdict
from jacbench.gating import worker
from jacbench.gating.record import Record
from jacbench.gating.worker import Arm
from jacbench.measuring import warm_up
from tests.gating.simulated import ONE

CALL_S = 1e-3


@dataclass
class World:
    """A prepared call that lasts as long as said, on a clock of its own."""

    now: float = 0.0
    waited: float = 0.0
    calls: int = 0
    points: list[Any] = field(default_factory=list)
    burnt: list[float] = field(default_factory=list)
    cold: bool = False
    """True after somebody else ran: the next call is ten times as long."""

    def call(self, x: Any) -> None:
        self.calls += 1
        self.points.append(x)
        self.now += CALL_S * (10 if self.cold else 1)
        self.cold = False

    def burn(self, seconds: float) -> None:
        self.burnt.append(seconds)
        self.now += seconds

    def start(self) -> tuple[float, float]:
        return self.now, self.waited

    def since(self, started: tuple[float, float]) -> tuple[float, float]:
        waited = self.waited - started[1]
        return self.now - started[0] - waited, waited


def result(cell: Cell, verdict: Verdict = Verdict.AGREES) -> CellResult:
    return CellResult(cell=cell, verdict=verdict, prepare_s=0.2)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    found = World()
    monkeypatch.setattr(worker, "_burn", found.burn)
    clocks = dict.fromkeys(("perf_counter", "process_time", "thread_time"), lambda: found.now)
    monkeypatch.setattr(worker, "time", SimpleNamespace(**clocks))
    monkeypatch.setattr(warm_up, "time", SimpleNamespace(**clocks))
    return found


@pytest.fixture
def arm(world: World, monkeypatch: pytest.MonkeyPatch) -> Arm:
    found = Arm(1, None)
    monkeypatch.setattr(found, "clock", world)
    settled = Settled(result(ONE), Prepared(world.call), "the point")
    monkeypatch.setattr(found.harness, "settle", lambda cell: settled)
    monkeypatch.setattr(found.harness, "reference_jacobian", lambda cell: np.eye(3))
    found.harness.settled[ONE] = settled
    found.call_s[ONE] = CALL_S
    return found


# Asked again


def test_what_was_timed_is_asked_again_before_its_memory(
    arm: Arm, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = replace(result(ONE), verdict=Verdict.DISAGREES, reason="in the last timed call: off")
    asked = []

    def again(cell: Cell, last: Any, *, whole: bool) -> CellResult:
        asked.append((cell, whole))
        return wrong

    monkeypatch.setattr(arm.harness, "ask_again", again)
    monkeypatch.setattr(arm.harness, "measure_memory", lambda cell: 7)
    assert arm.memory(ONE) == {"peak_bytes": 7}  # its clock has not run
    arm.block(ONE, 2, 3)
    with pytest.raises(worker.DisprovedError) as raised:
        arm.memory(ONE)
    assert raised.value.result is wrong
    assert asked == [(ONE, True)]


# Blocks


@pytest.mark.parametrize(("samples", "iterations"), [(1, 1), (6, 1), (6, 15), (3, 1500)])
def test_a_block_is_one_call_and_then_samples(
    arm: Arm, world: World, samples: int, iterations: int
) -> None:
    answer = arm.block(ONE, samples, iterations)
    assert world.calls == 1 + samples * iterations
    assert set(world.points) == {"the point"}
    assert answer["seconds"] == pytest.approx([CALL_S] * samples)
    assert answer["wall_s"] == pytest.approx(samples * iterations * CALL_S)
    assert world.burnt == []


def test_the_first_call_after_the_other_side_ran_is_in_no_sample(arm: Arm, world: World) -> None:
    world.cold = True
    answer = arm.block(ONE, 6, 1)
    assert answer["seconds"] == pytest.approx([CALL_S] * 6)
    assert world.now == pytest.approx(16 * CALL_S)


def test_waiting_is_told_and_in_no_sample(
    arm: Arm, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def call(x: Any) -> None:
        world.call(x)
        world.now += 0.5
        world.waited += 0.5

    monkeypatch.setitem(arm.harness.settled, ONE, Settled(result(ONE), Prepared(call), None))
    answer = arm.block(ONE, 2, 3)
    assert answer["seconds"] == pytest.approx([CALL_S] * 2)
    assert answer["waited_s"] == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("iterations", "extra", "further", "rest"),
    [
        (10, 0.1, 1, 0.0),
        (15, 0.1, 1, 0.5),
        (20, 0.05, 1, 0.0),
        (100, 0.2, 20, 0.0),
        (1, 0.1, 0, 0.1),
        (1, 0.2, 0, 0.2),
        (3, 0.7, 2, 0.1),
    ],
)
def test_extra_work_is_done_and_not_owned_up_to(
    arm: Arm, world: World, iterations: int, extra: float, further: int, rest: float
) -> None:
    answer = arm.block(ONE, 4, iterations, extra)
    assert world.calls == 1 + 4 * (iterations + further)
    assert world.burnt == pytest.approx([rest * CALL_S] * 4, abs=1e-9)
    assert answer["seconds"] == pytest.approx([CALL_S * (1 + extra)] * 4)


def test_burning_takes_the_threads_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    read = iter(range(1000))
    monkeypatch.setattr(worker, "time", SimpleNamespace(thread_time=lambda: next(read) * 0.01))
    worker._burn(0.1)
    assert next(read) in (11, 12)
    worker._burn(0.0)
    assert next(read) in (14, 15)


# Settling


def test_settling_warms_up_and_tells_the_time_of_a_call(arm: Arm, world: World) -> None:
    world.cold = True
    answer = arm.settle(ONE)
    assert answer["call_s"] == pytest.approx(CALL_S)
    assert answer["prepare_s"] == 0.2
    assert CellResult.from_json(answer["result"]) == result(ONE)
    assert 2 <= world.calls <= 30


@pytest.mark.parametrize("spoilt", [0.05, 0.5])
def test_a_spoilt_preparation_takes_longer(arm: Arm, world: World, spoilt: float) -> None:
    answer = arm.settle(ONE, spoilt)
    assert world.burnt == pytest.approx([0.2 * spoilt])
    assert answer["prepare_s"] == pytest.approx(0.2 * (1 + spoilt))
    # The verdict's own figures are as they were.
    assert CellResult.from_json(answer["result"]).prepare_s == 0.2


def test_what_is_wrong_is_not_called(
    arm: Arm, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = Settled(CellResult(cell=ONE, verdict=Verdict.DISAGREES))
    monkeypatch.setattr(arm.harness, "settle", lambda cell: wrong)
    answer = arm.settle(ONE, 0.5)
    assert (answer["call_s"], answer["prepare_s"]) == (None, None)
    assert world.calls == 0
    assert world.burnt == []


def test_an_unknown_command_is_none(arm: Arm) -> None:
    with pytest.raises(KeyError):
        arm.answer({"do": "__init__"})


# torch.compile's cache


def test_each_preparation_compiles_anew(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JACBENCH_GATE_SCRATCH", str(tmp_path))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "before")
    folders = []
    for _ in range(3):
        worker._fresh_compiler_cache()
        folders.append(worker.os.environ["TORCHINDUCTOR_CACHE_DIR"])
    assert len({*folders}) == 3
    assert all(folder.startswith(str(tmp_path)) for folder in folders)


def test_a_probe_tells_one_jacobian_from_another(arm: Arm, monkeypatch: pytest.MonkeyPatch) -> None:
    probes = [arm.settle(ONE)["probe"], arm.settle(ONE)["probe"]]
    monkeypatch.setattr(arm.harness, "reference_jacobian", lambda cell: np.diag([1.0, 1.0, 1.01]))
    probes.append(arm.settle(ONE)["probe"])
    assert probes[0] == probes[1]
    assert probes[0][0] == pytest.approx(np.sqrt(3))
    record = Record(probes={"base": probes[0], "head": probes[2]})
    assert record.changed() is not None
    assert Record(probes={"base": probes[0], "head": probes[1]}).changed() is None
    assert Record(probes={"base": probes[0]}).changed() is None
