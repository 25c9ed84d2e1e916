"""The stages: what is undecided is extended, what is suspected is asked of fresh workers again."""

from __future__ import annotations

from collections import Counter

import pytest

from jacbench.core.cell import Cell, Verdict
from jacbench.gating.decision import State
from jacbench.gating.gate import default_limits
from jacbench.gating.measurement import Wanted
from jacbench.gating.record import SIDES, Subject, each_pair
from jacbench.gating.stages import Finding, first_wanted, judge, stage
from jacbench.results.policy import Limits
from tests.gating.simulated import (
    ONE,
    THREE,
    TWO,
    Event,
    Machine,
    Version,
    found,
    measuring,
    slower,
)


def pairs_of(finding: Finding) -> int:
    return len(list(each_pair(finding.record.blocks)))


def test_what_is_decided_is_not_measured_again() -> None:
    machine = Machine()
    stages, _ = found(machine, (ONE, TWO))
    for first, second in stages.values():
        assert second is None
        assert first.time is not None
        assert first.time.state is State.PASS
        assert pairs_of(first) == 40
    assert machine.arms == {"base": 4, "head": 4}


def test_only_what_is_undecided_is_extended() -> None:
    # Over the limit, and not by enough to be sure of: it passes only by more pairs.
    machine = Machine({("head", TWO): slower(1.045)}, noise=0.25)
    stages, _ = found(machine, (ONE, TWO), extensions=2, limits=limit_of)
    assert pairs_of(stages[Subject(ONE)][0]) == 40
    assert pairs_of(stages[Subject(TWO)][0]) == 120
    assert machine.arms["head"] == 12


def limit_of(cell: Cell) -> Limits:
    """Return limits that only TWO may break."""
    return Limits(time=1.05 if cell == TWO else 3.0)


def test_an_extension_ends_once_all_is_decided() -> None:
    machine = Machine(noise=0.15)
    stages, _ = found(machine, launches=2, blocks=4, extensions=20)
    (first, _), *_ = stages.values()
    assert first.time is not None
    assert first.time.state is State.PASS
    assert 8 < pairs_of(first) < 8 * 21


@pytest.mark.parametrize("extensions", [0, 2])
def test_what_stays_undecided_ends(extensions: int) -> None:
    machine = Machine(noise=3.0)
    stages, here = found(machine, extensions=extensions)
    (first, second), *_ = stages.values()
    assert here.stopped is None
    assert second is None
    assert first.time is not None
    assert first.time.state is State.INCONCLUSIVE
    assert machine.arms["head"] == 4 * (1 + extensions)


def test_only_suspects_are_asked_again_all_in_fresh_workers() -> None:
    machine = Machine({("head", TWO): slower(1.1)})
    stages, _ = found(machine, (ONE, TWO, THREE))
    assert stages[Subject(ONE)][1] is None
    assert stages[Subject(THREE)][1] is None
    first, second = stages[Subject(TWO)]
    assert second is not None
    assert first.time is not None
    assert second.time is not None
    assert first.time.state is second.time.state is State.REGRESSION
    # Nothing of the first stage is in the second.
    assert pairs_of(first) == pairs_of(second) == 40
    assert second.record is not first.record
    again = {e.cell for e in machine.asked if e.launch >= 4 and e.what == "block"}
    assert again == {TWO}


@pytest.mark.parametrize(
    "head",
    [
        slower(1.1),
        Version(verdict=lambda _: Verdict.DISAGREES),
        Version(peak=lambda _: 2**26),
        Version(prepare_s=lambda _: 0.2),
    ],
)
def test_suspicions(head: Version) -> None:
    machine = Machine(
        {("head", ONE): head, ("base", ONE): Version(prepare_s=lambda _: 0.1)}
        if head.prepare_s(0) > 0.1
        else {("head", ONE): head}
    )
    stages, _ = found(machine)
    ((first, second),) = stages.values()
    assert first.suspect
    assert second is not None
    assert second.suspect


@pytest.mark.parametrize(
    "head",
    [
        slower(0.5),
        Version(verdict=lambda _: Verdict.UNSUPPORTED),
        Version(peak=lambda _: 2**20),
        Version(peak=lambda _: None),
        Version(prepare_s=lambda _: 9e-3),  # nine times as long, and nobody waits for it
    ],
)
def test_no_suspicion(head: Version) -> None:
    stages, _ = found(Machine({("head", ONE): head}))
    ((first, second),) = stages.values()
    assert not first.suspect
    assert second is None


def test_a_wrong_side_is_not_timed_and_not_extended() -> None:
    machine = Machine({("head", ONE): Version(verdict=lambda _: Verdict.DISAGREES)})
    stages, _ = found(machine, extensions=3)
    ((first, second),) = stages.values()
    assert first.wrong
    assert second is not None
    assert Counter(event.what for event in machine.asked)["block"] == 0
    assert machine.arms == dict.fromkeys(SIDES, 8)


def test_the_second_stage_may_extend_too() -> None:
    # Slower by a little more than three percent: the interval takes its time to leave 1.01.
    machine = Machine({("head", ONE): slower(1.06)}, noise=0.2, seed=3)
    stages, _ = found(machine, extensions=6)
    ((first, second),) = stages.values()
    assert first.time is not None
    if second is not None:
        assert pairs_of(second) % 40 == 0
    assert machine.arms["head"] * 10 == pairs_of(first) + (pairs_of(second) if second else 0)


def test_what_was_stopped_is_not_asked_again() -> None:
    def trouble(event: Event) -> None:
        if event.launch == 3:
            raise KeyboardInterrupt

    machine = Machine({("head", ONE): slower(2.0)}, trouble=trouble)
    stages, here = found(machine)
    ((first, second),) = stages.values()
    assert here.stopped is not None
    assert first.suspect
    assert second is None
    assert max(event.launch for event in machine.asked) == 3


# What the self-test asks for


def test_injected_work_is_measured_where_it_was_put() -> None:
    subjects = [Subject(ONE), Subject(ONE, extra=0.2), Subject(ONE, spoilt=0.5)]
    assert [first_wanted(subject) for subject in subjects] == [
        Wanted(time=True, preparation=True, memory=True),
        Wanted(time=True, preparation=False, memory=False),
        Wanted(time=False, preparation=True, memory=False),
    ]
    machine = Machine(
        {(name, ONE): Version(prepare_s=lambda _: 0.1) for name in SIDES}, noise=0.005
    )
    with measuring(machine) as here:
        stages = judge(here, subjects, default_limits)
    plain, extra, spoilt = (stages[subject][0] for subject in subjects)
    assert plain.time is not None
    assert plain.preparation is not None
    assert plain.time.state is plain.preparation.state is State.PASS
    assert extra.time is not None
    assert extra.time.ratio.estimate == pytest.approx(1.2, rel=0.01)
    assert extra.preparation is None
    assert spoilt.preparation is not None
    assert spoilt.preparation.ratio.estimate == pytest.approx(1.5, rel=0.02)
    assert spoilt.time is None
    # Only head has it.
    assert {extra for side, *_, extra in machine.blocks if side == "base"} == {0.0}
    assert {extra for side, *_, extra in machine.blocks if side == "head"} == {0.0, 0.2}


def test_an_extension_measures_nothing_that_was_not_asked_for() -> None:
    subject = Subject(ONE, spoilt=0.1)
    machine = Machine({(name, ONE): Version(prepare_s=lambda _: 0.1) for name in SIDES}, noise=0.4)
    with measuring(machine, extensions=2) as here:
        stages = stage(here, [subject], default_limits)
    preparation = stages[subject].preparation
    assert preparation is not None
    assert preparation.pairs > 12
    assert machine.blocks == []
