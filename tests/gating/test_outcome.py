"""The small decisions behind an outcome, each on data made by hand."""

from __future__ import annotations

import pytest

from jacbench.core.cell import CellResult, Verdict
from jacbench.gating.decision import Decision, State
from jacbench.gating.outcome import (
    Judged,
    Outcome,
    counted,
    flat,
    memory_regression,
    preparation_decision,
    state_of,
    time_decision,
    verdict_outcome,
)
from jacbench.gating.record import SIDES, Pair, Record
from jacbench.gating.settings import LIMITS
from jacbench.measuring.statistics import Interval
from tests.gating.simulated import ONE


def record(*, verdict: Verdict = Verdict.AGREES) -> Record:
    found = Record()
    for name in SIDES:
        found.keep(name, CellResult(cell=ONE, verdict=verdict, reason="r"))
    return found


def pairs(base_s: float, head_s: float) -> list[list[Pair]]:
    return [[Pair(base_s, head_s, base_first=True)] * 5] * 4


def decision(state: State) -> Decision:
    return Decision(state, Interval(1.0, 1.0, 1.0), 1)


def test_only_what_became_wrong_or_slower_fails() -> None:
    assert [o for o in Outcome if o.fails] == [Outcome.WRONG, Outcome.REGRESSION]


@pytest.mark.parametrize(
    ("base_s", "head_s", "state"),
    [
        (0.02, 0.02, State.PASS),
        (0.02, 0.03, State.REGRESSION),
        (0.002, 0.011, State.REGRESSION),  # the longer one counts
        (0.011, 0.002, State.PASS),
        (0.002, 0.0099, None),
    ],
)
def test_preparations_from_ten_milliseconds_on(
    base_s: float, head_s: float, state: State | None
) -> None:
    found = record()
    found.preparations = pairs(base_s, head_s)
    judged = preparation_decision(found, LIMITS, 0)
    assert (judged.state if judged else None) is state


def test_what_is_wrong_or_empty_is_not_decided() -> None:
    for found in (record(), record(verdict=Verdict.DISAGREES), Record()):
        assert time_decision(found, LIMITS, 0) is None
        assert preparation_decision(found, LIMITS, 0) is None
    wrong = record(verdict=Verdict.DISAGREES)
    wrong.blocks = wrong.preparations = pairs(1.0, 2.0)
    assert time_decision(wrong, LIMITS, 0) is None
    assert preparation_decision(wrong, LIMITS, 0) is None


@pytest.mark.parametrize(
    ("base", "head", "told"),
    [
        ([2**24] * 3, [2**25] * 3, "needs 32 MiB of memory where base needs 16 MiB"),
        ([2**24] * 3, [2**25, 2**25, 2**24], None),
        ([2**24] * 3, [2**23] * 3, None),
        ([0] * 3, [2**20] * 3, None),
        ([0] * 3, [2**21] * 3, "needs 2 MiB of memory where base needs 0 B"),
        ([], [], None),
        ([2**24], [], None),
    ],
)
def test_memory(base: list[int], head: list[int], told: str | None) -> None:
    found = record()
    found.peaks = {"base": base, "head": head}
    assert memory_regression(found, LIMITS) == told


def test_verdicts_that_are_missing() -> None:
    half = Record()
    half.keep("base", CellResult(cell=ONE, verdict=Verdict.AGREES))
    for found in (Record(), half):
        told = verdict_outcome(found)
        assert told == (Outcome.INCONCLUSIVE, "the time limit left it no turn")
    assert verdict_outcome(record()) is None


def test_the_worst_of_several_decisions() -> None:
    regression, undecided, fine = map(decision, (State.REGRESSION, State.INCONCLUSIVE, State.PASS))
    assert state_of((fine, None, regression, undecided)) is State.REGRESSION
    assert state_of((fine, undecided)) is State.INCONCLUSIVE
    assert state_of((fine, None)) is State.PASS
    assert state_of(()) is State.PASS


def test_counts_are_in_the_order_of_what_matters() -> None:
    judged = [Judged(ONE, outcome) for outcome in (Outcome.PASS, Outcome.WRONG, Outcome.PASS)]
    assert list(counted(judged).items()) == [(Outcome.WRONG, 1), (Outcome.PASS, 2)]


def test_a_ratio_as_text() -> None:
    assert flat(Interval(1.0834, 1.0711, 1.0942)) == "1.083 (1.071 to 1.094)"
