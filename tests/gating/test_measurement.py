"""Arms are equal, a drift of the machine is no regression, and a death costs one cell."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from jacbench.core.cell import Verdict
from jacbench.gating.gate import default_limits
from jacbench.gating.measurement import INTERRUPTED, StoppedError, Wanted
from jacbench.gating.outcome import Outcome
from jacbench.gating.record import SIDES, Record, Subject, each_pair
from jacbench.gating.stages import stage
from tests.gating.simulated import (
    ONE,
    THREE,
    TWO,
    Event,
    Machine,
    Version,
    found,
    measuring,
    outcomes,
    raising,
    slower,
)
from tests.samples import cell

CELLS = (ONE, TWO, THREE)


def launched(machine: Machine, cells: tuple = CELLS, **settings: int) -> dict[Subject, Record]:
    """Return what one launch measures."""
    records: dict[Subject, Record] = {}
    with measuring(machine, **settings) as here:
        here.launch({Subject(one): Wanted() for one in cells}, records)
    return records


# Equal arms


@pytest.mark.parametrize("seed", range(5))
def test_base_is_first_exactly_as_often_as_head(seed: int) -> None:
    for record in launched(Machine(), seed=seed, blocks=10).values():
        (pairs,) = record.blocks
        assert len(pairs) == 10
        assert sum(pair.base_first for pair in pairs) == 5


@pytest.mark.parametrize("threads", [1, 2])
def test_both_arms_of_a_pair_run_on_the_same_processors(
    monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    # Each on a core of its own, one would be slower for as long as its core has a neighbour.
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 3}, raising=False)
    machine = Machine()
    launched(machine, blocks=10, threads=threads)
    pairs = list(zip(machine.bound[::2], machine.bound[1::2], strict=True))
    assert len(pairs) > 3 * 10
    for (one, here), (other, there) in pairs:
        assert {one, other} == set(SIDES)
        assert here == there
        assert len(set(here)) == threads
    assert {cpu for _, cpus in machine.bound for cpu in cpus} == {0, 1, 3}


def test_without_enough_processors_nothing_is_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    machine = Machine()
    launched(machine, threads=2)
    assert machine.bound == []


@pytest.mark.parametrize("factor", [0.2, 1.0, 7.0])
def test_both_sides_get_the_same_samples_and_calls(factor: float) -> None:
    machine = Machine({("head", ONE): slower(factor), ("head", TWO): slower(1e3)})
    records = launched(machine)
    asked = {
        (name, one): Counter(
            (samples, iterations) for side, c, samples, iterations, _ in machine.blocks
            if (side, c) == (name, one)
        )
        for name in SIDES
        for one in CELLS
    }  # fmt: skip
    for one in CELLS:
        assert asked["base", one] == asked["head", one]
        assert sum(asked["base", one].values()) == 10
    for record in records.values():
        assert len(record.samples["base"]) == len(record.samples["head"])


def test_a_block_is_planned_by_the_slower_side() -> None:
    machine = Machine({("base", ONE): slower(5.0)})
    launched(machine, (ONE,))
    assert {(samples, iterations) for _, _, samples, iterations, _ in machine.blocks} == {(3, 3)}


def test_the_sides_take_turns_block_by_block() -> None:
    machine = Machine()
    launched(machine)
    for first, second in zip(machine.blocks[::2], machine.blocks[1::2], strict=True):
        assert first[1] == second[1]
        assert {first[0], second[0]} == set(SIDES)


def test_the_order_of_cells_changes_from_round_to_round() -> None:
    machine = Machine()
    launched(machine)
    rounds = [tuple(b[1] for b in machine.blocks[i : i + 6 : 2]) for i in range(0, 60, 6)]
    assert all(set(cells) == set(CELLS) for cells in rounds)
    assert len(set(rounds)) > 1


def test_the_same_seed_gives_the_same_order() -> None:
    orders = []
    for seed in (1, 1, 2):
        machine = Machine()
        launched(machine, seed=seed)
        orders.append(machine.blocks)
    assert orders[0] == orders[1]
    assert orders[0] != orders[2]


def test_every_launch_has_fresh_workers() -> None:
    machine = Machine()
    found(machine, launches=4, extensions=0)
    assert machine.arms == {"base": 4, "head": 4}
    assert Counter(e.what for e in machine.asked if e.side == "head") == {
        "start": 4,
        "settle": 4,
        "block": 40,
        "memory": 4,
        "about": 4,
    }


def test_memory_is_measured_after_all_times() -> None:
    machine = Machine()
    launched(machine)
    order = [event.what for event in machine.asked if event.side == "base"]
    assert order.index("memory") > max(i for i, what in enumerate(order) if what == "block")


def test_backends_are_measured_apart() -> None:
    other = cell("numpy.analytic", problem="a/one")
    machine = Machine()
    launched(machine, (ONE, other))
    assert machine.arms == {"base": 2, "head": 2}


# Preparations


@pytest.mark.parametrize(("prepare_s", "count"), [(1e-3, 1), (0.05, 3), (0.4, 3), (2.0, 1)])
def test_a_quick_preparation_is_repeated(prepare_s: float, count: int) -> None:
    machine = Machine({("head", ONE): Version(prepare_s=lambda _: prepare_s)})
    (record,) = launched(machine, (ONE,)).values()
    assert len(list(each_pair(record.preparations))) == count
    assert sum(e.what == "settle" for e in machine.asked) == 2 * count


# What a machine does


def test_a_machine_that_slows_down_gives_no_regression() -> None:
    probe = Machine()
    outcomes(probe, CELLS)
    for seed in range(5):
        machine = Machine(seed=seed, drift=lambda now: 1 + 0.3 * now / probe.now)
        for one in outcomes(machine, CELLS, seed=seed):
            assert one.outcome is Outcome.PASS
            assert one.time is not None
            assert one.time.ratio.estimate == pytest.approx(1, abs=0.02)
        assert machine.drift(machine.now) > 1.25


@pytest.mark.parametrize("second", [1.29, 0.7])
def test_being_second_is_no_regression(second: float) -> None:
    for seed in range(5):
        for one in outcomes(Machine(seed=seed, second=second), CELLS, extensions=0, seed=seed):
            assert not one.outcome.fails
            assert one.outcome is not Outcome.FASTER
            assert one.time is not None
            assert one.time.ratio.low < 1 < one.time.ratio.high


def test_a_cold_first_block_is_no_regression() -> None:
    for one in outcomes(Machine(first_block=3.0), CELLS):
        assert one.outcome is Outcome.PASS


# Deaths


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("what", ["settle", "block", "memory"])
@pytest.mark.parametrize("verdict", ["crashed", "timed out", "failed"])
def test_a_worker_that_does_not_answer_costs_one_cell(side: str, what: str, verdict: str) -> None:
    def trouble(event: Event) -> None:
        if (event.side, event.what, event.cell) == (side, what, TWO) and event.count == 0:
            raise raising(verdict, "as planted")

    records = launched(Machine(trouble=trouble))
    told = {one.cell: record.results for one, record in records.items()}
    assert told[TWO][side].verdict == verdict
    assert told[TWO][side].reason == "as planted"
    other = next(name for name in SIDES if name != side)
    assert told[TWO][other].verdict is Verdict.AGREES
    for one in (ONE, THREE):
        assert records[Subject(one)].timed
        peaks = records[Subject(one)].peaks
        assert len(peaks["base"]) == len(peaks["head"]) >= 1


def test_what_a_death_interrupts_is_finished_not_repeated() -> None:
    # Half way: what was timed of the others stays, the rest comes from fresh workers.
    def trouble(event: Event) -> None:
        if (event.side, event.what, event.cell, event.count) == ("head", "block", TWO, 5):
            raise raising("crashed")

    for seed in range(8):
        machine = Machine(trouble=trouble)
        records = launched(machine, seed=seed)
        for one in (ONE, THREE):
            (pairs,) = records[Subject(one)].blocks
            assert len(pairs) == 10
            assert sum(pair.base_first for pair in pairs) == 5
        assert machine.arms == {"base": 2, "head": 2}


def test_both_sides_die_of_it() -> None:
    def trouble(event: Event) -> None:
        if (event.what, event.cell) == ("settle", TWO):
            raise raising("crashed")

    records = launched(Machine(trouble=trouble))
    assert {r.verdict for r in records[Subject(TWO)].results.values()} == {Verdict.CRASHED}
    assert len(records[Subject(TWO)].results) == 2
    assert records[Subject(ONE)].timed


def test_every_cell_may_kill_its_worker() -> None:
    def trouble(event: Event) -> None:
        if event.side == "head" and event.what == "block":
            raise raising("crashed")

    records = launched(Machine(trouble=trouble))
    assert all(r.results["head"].verdict is Verdict.CRASHED for r in records.values())
    assert all(r.results["base"].verdict is Verdict.AGREES for r in records.values())


def test_a_death_while_asked_about_itself_costs_nothing() -> None:
    def trouble(event: Event) -> None:
        if event.what == "about":
            raise raising("crashed")

    records = launched(Machine(trouble=trouble))
    assert all(record.timed for record in records.values())


def test_a_verdict_that_was_ever_wrong_stays() -> None:
    machine = Machine(
        {("head", ONE): Version(verdict=lambda n: Verdict.DISAGREES if n == 1 else Verdict.AGREES)}
    )
    with measuring(machine, launches=4) as here:
        stages = stage(here, [Subject(ONE)], default_limits)
    assert stages[Subject(ONE)].record.results["head"].verdict is Verdict.DISAGREES


def test_the_other_side_of_a_wrong_cell_has_its_verdict_too() -> None:
    for seed in range(6):
        machine = Machine({("head", ONE): Version(verdict=lambda _: Verdict.DISAGREES)})
        records = launched(machine, (ONE, TWO), seed=seed)
        results = records[Subject(ONE)].results
        assert results["base"].verdict is Verdict.AGREES
        assert results["head"].verdict is Verdict.DISAGREES
        assert not records[Subject(ONE)].samples["head"]
        assert records[Subject(TWO)].timed


# Ends


def test_a_worker_that_does_not_start_stops_the_gate() -> None:
    def trouble(event: Event) -> None:
        if event.what == "start" and event.launch == 2:
            raise raising("crashed", "the worker exited with status 9")

    stages, here = found(Machine(trouble=trouble), CELLS)
    assert (
        here.stopped == "a worker did not start: head (the head): the worker exited with status 9"
    )
    for first, second in stages.values():
        assert second is None
        assert len(list(each_pair(first.record.blocks))) == 20
        assert first.time is not None


def test_the_time_limit_keeps_what_was_measured() -> None:
    probe = Machine()
    outcomes(probe, CELLS)
    machine = Machine()
    stages, here = found(machine, CELLS, seconds=0.6 * probe.now)
    assert here.stopped is not None
    assert "--time-limit" in here.stopped
    for first, second in stages.values():
        assert second is None
        assert 0 < len(list(each_pair(first.record.blocks))) < 40
        assert first.time is not None
        assert first.time.ratio.estimate == pytest.approx(1, abs=0.05)
    # Late by no more than what was under way.
    assert machine.now < 0.7 * probe.now


def test_no_time_at_all() -> None:
    (one,) = outcomes(Machine(), seconds=1e-9)
    assert one.outcome is Outcome.INCONCLUSIVE
    assert one.reason == "the time limit left it no turn"


@pytest.mark.parametrize("what", ["settle", "block", "memory", "start"])
def test_ctrl_c_keeps_what_was_measured(what: str) -> None:
    def trouble(event: Event) -> None:
        if event.launch == 2 and event.what == what and event.side == "head":
            raise KeyboardInterrupt

    stages, here = found(Machine(trouble=trouble), CELLS)
    assert here.stopped == INTERRUPTED
    for first, second in stages.values():
        assert second is None
        assert 20 <= len(list(each_pair(first.record.blocks))) <= 30
        # Half a pair is none, and adds nothing to either side.
        assert len(first.record.samples["base"]) == len(first.record.samples["head"])


def test_a_stop_is_told() -> None:
    def trouble(event: Event) -> None:
        raise KeyboardInterrupt

    with measuring(Machine(trouble=trouble)) as here, pytest.raises(StoppedError):
        here.launch({Subject(ONE): Wanted()}, {})
    assert here.stopped == INTERRUPTED
