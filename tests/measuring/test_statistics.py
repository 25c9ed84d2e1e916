"""Intervals hold what they say on data whose truth is known, and outliers are counted by class."""

from __future__ import annotations

import itertools
import math
import statistics as plain
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jacbench.measuring import statistics
from jacbench.measuring.statistics import (
    Interval,
    median_interval,
    outliers,
    paired_interval,
    proportion_interval,
    ratio_interval,
)

Visits = list[list[float]]
positive = st.floats(1e-6, 1e6)
groups = st.lists(st.lists(positive, min_size=1, max_size=12), min_size=1, max_size=5)
few = settings(max_examples=40)


def hierarchical(
    seed: int, *, visits: int, each: int, between: float, within: float = 0.05
) -> Visits:
    """Return samples around 1 in the median: each visit is moved, each sample in it again."""
    rng = np.random.default_rng(seed)
    return [
        np.exp(rng.normal(rng.normal(0, between), within, each)).tolist() for _ in range(visits)
    ]


def share_that_hold(
    interval: Callable[..., Interval], confidence: float, count: int, **shape: float
) -> float:
    """Return how often the interval of data around 1 holds 1."""
    found = [interval(hierarchical(seed, **shape), confidence=confidence) for seed in range(count)]
    return float(np.mean([one.low <= 1 <= one.high for one in found]))


def width(found: Interval) -> float:
    """Return the interval's width in units of its estimate."""
    return (found.high - found.low) / found.estimate


# Coverage, with bounds that a right interval leaves once in thousands of choices of the seeds


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resample less often: the ends then move by a few percent of the width."""
    monkeypatch.setattr(statistics, "RESAMPLES", 400)


@pytest.mark.parametrize("visits", [2, 3, 6, 20])
def test_a_median_is_held_as_often_as_said(visits: int) -> None:
    shape = {"visits": visits, "each": 9, "between": 0.05}
    assert 0.92 <= share_that_hold(median_interval, 0.95, 400, **shape) <= 0.98
    assert 0.73 <= share_that_hold(median_interval, 0.80, 400, **shape) <= 0.87


@pytest.mark.usefixtures("quick")
def test_a_ratio_is_held_as_often_as_said() -> None:
    shape = {"visits": 12, "each": 10, "between": 0.02}
    assert 0.92 <= share_that_hold(ratio_interval, 0.99, 120, **shape) <= 1
    assert 0.62 <= share_that_hold(ratio_interval, 0.80, 120, **shape) <= 0.92


@pytest.mark.usefixtures("quick")
def test_what_differs_between_launches_is_in_the_interval() -> None:
    # As many samples, as much noise in each launch; taking all ratios for one launch forgets it.
    data = [hierarchical(seed, visits=6, each=20, between=0.08) for seed in range(50)]
    kept = [ratio_interval(launches) for launches in data]
    flat = [ratio_interval([[r for launch in launches for r in launch]]) for launches in data]

    def holds(found: Sequence[Interval]) -> float:
        return float(np.mean([one.low <= 1 <= one.high for one in found]))

    assert holds(kept) > 0.8
    assert holds(flat) < 0.7


def test_neighbouring_rounds_that_move_together_widen_the_interval() -> None:
    rng = np.random.default_rng(3)
    independent = np.exp(rng.normal(0, 0.05, 400))
    together = np.repeat(independent[:20], 20)
    widths = [width(median_interval([v.tolist()])) for v in (independent, together)]
    assert widths[1] > 2 * widths[0]


# Edges


@pytest.mark.parametrize("interval", [median_interval, ratio_interval])
@pytest.mark.parametrize(
    ("visits", "value"),
    [
        ([[2.5], [2.5], []], 2.5),
        ([[0.25] * 100], 0.25),
        ([[0.25] * 7 for _ in range(9)], 0.25),
    ],
)
def test_what_never_differs_has_no_width(
    interval: Callable[..., Interval], visits: Visits, value: float
) -> None:
    assert interval(visits) == Interval(value, value, value)


@pytest.mark.parametrize("interval", [median_interval, ratio_interval])
def test_empty_visits_are_left_out(interval: Callable[..., Interval]) -> None:
    visits = hierarchical(5, visits=3, each=8, between=0.1)
    assert interval([visits[0], [], *visits[1:], []]) == interval(visits)


@pytest.mark.parametrize("interval", [median_interval, ratio_interval])
def test_many_visits(interval: Callable[..., Interval]) -> None:
    found = interval(hierarchical(7, visits=300, each=12, between=0.05))
    assert found.low <= found.estimate <= found.high
    assert width(found) < 0.05


def test_one_number_says_nothing_of_how_sure_it_is() -> None:
    for found in (median_interval([[2.5]]), paired_interval([2.5])):
        assert (found.estimate, found.low, found.high) == (pytest.approx(2.5), 0.0, math.inf)
        assert (found.known, found.ends) == (False, (None, None))
    assert median_interval([[2.5, 2.4]]).known


def test_a_clock_that_shows_nothing_gives_no_certainty() -> None:
    found = median_interval([[0.0, 0.0], [1e-9, 1e-9], [0.0, 0.0]])
    assert found.low == found.estimate == 0.0


def test_the_same_samples_give_the_same_interval() -> None:
    visits = hierarchical(11, visits=4, each=60, between=0.1)
    assert ratio_interval(visits) == ratio_interval(visits)
    # Another seed moves its ends a little, never the estimate.
    others = [ratio_interval(visits, seed=seed) for seed in range(1, 9)]
    assert {other.estimate for other in others} == {ratio_interval(visits).estimate}
    assert len({(other.low, other.high) for other in others}) > 1
    lows = [other.low for other in others]
    assert lows == pytest.approx([ratio_interval(visits).low] * 8, rel=0.1)


@few
@given(ratios=st.lists(st.floats(0.5, 2), min_size=2, max_size=9))
def test_exchanged_sides_of_pairs_give_the_reciprocal(ratios: list[float]) -> None:
    one, other = paired_interval(ratios), paired_interval([1 / ratio for ratio in ratios])
    assert one.low <= one.estimate <= one.high
    assert other.estimate == pytest.approx(1 / one.estimate)
    assert (other.low, other.high) == (pytest.approx(1 / one.high), pytest.approx(1 / one.low))


def test_more_confidence_is_wider() -> None:
    visits = hierarchical(13, visits=6, each=30, between=0.05)
    widths = [width(median_interval(visits, confidence=c)) for c in (0.5, 0.8, 0.95, 0.99)]
    assert widths == sorted(widths)
    assert widths[0] < widths[-1]


# Properties


@few
@given(visits=groups)
def test_the_interval_holds_its_estimate(visits: Visits) -> None:
    pooled = [sample for visit in visits for sample in visit]
    for found in (median_interval(visits), ratio_interval(visits)):
        assert found.estimate == pytest.approx(plain.median(pooled))
        assert found.low <= found.estimate <= found.high
    assert min(pooled) <= found.low <= found.high <= max(pooled)


@few
@given(visits=groups, exponent=st.integers(-8, 8))
def test_another_unit_changes_nothing_else(visits: Visits, exponent: int) -> None:
    # Powers of two: no rounding.
    unit = 2.0**exponent
    scaled = [[sample * unit for sample in visit] for visit in visits]
    for interval in (median_interval, ratio_interval):
        one, other = interval(visits), interval(scaled)
        assert other == Interval(one.estimate * unit, one.low * unit, one.high * unit)


@few
@given(seed=st.integers(0, 2**32 - 1), visits=st.integers(1, 6), each=st.integers(1, 12))
def test_exchanged_sides_give_the_reciprocal(seed: int, visits: int, each: int) -> None:
    # But for the middle of two neighbours, which is another one of reciprocals: of the order of
    # the square of what they differ by.
    launches = hierarchical(seed, visits=visits, each=each, between=1e-4, within=1e-4)
    one = ratio_interval(launches)
    other = ratio_interval([[1 / ratio for ratio in launch] for launch in launches])
    assert other.estimate == pytest.approx(1 / one.estimate, abs=1e-6)
    assert other.low == pytest.approx(1 / one.high, abs=1e-6)
    assert other.high == pytest.approx(1 / one.low, abs=1e-6)


@settings(max_examples=100)
@given(
    drawn=st.lists(st.tuples(positive, st.integers(0, 5)), min_size=1, max_size=20).filter(
        lambda rows: any(count for _, count in rows)
    )
)
def test_a_weighted_median_is_that_of_the_repeated_samples(
    drawn: list[tuple[float, int]],
) -> None:
    rows = sorted(drawn)
    values = np.array([value for value, _ in rows])
    weights = np.array([[count for _, count in rows]])
    (found,) = statistics._weighted_medians(values, weights)
    assert found == pytest.approx(np.median(np.repeat(values, weights[0])), rel=1e-15)


@few
@given(sizes=st.lists(st.integers(1, 6), min_size=1, max_size=5), seed=st.integers(0, 99))
def test_every_resample_draws_as_many_groups_and_blocks(sizes: list[int], seed: int) -> None:
    drawn = statistics._drawn_blocks(sizes, seed)
    assert drawn.shape == (statistics.RESAMPLES, sum(sizes))
    assert (drawn >= 0).all()
    ends = np.cumsum([0, *sizes])
    times = np.stack([drawn[:, a:b].sum(axis=1) for a, b in itertools.pairwise(ends)], 1)
    # A group that is drawn brings as many of its blocks as it has.
    assert (times % sizes == 0).all()
    assert ((times // sizes).sum(axis=1) == len(sizes)).all()


# Outliers


def planted(*more: float) -> list[float]:
    """Return samples with quartiles 1 and 2, and then ``more`` that move them hardly."""
    return [*np.linspace(0.5, 2.5, 4001).tolist(), *more]


@pytest.mark.parametrize(
    ("more", "counts"),
    [
        ((), {}),
        ((-0.4, 3.4), {}),
        ((3.6,), {"high_mild": 1}),
        ((4.9, 5.1), {"high_mild": 1, "high_severe": 1}),
        ((-0.6, -1.9), {"low_mild": 2}),
        ((-2.1, -9.0, 100.0), {"low_severe": 2, "high_severe": 1}),
    ],
)
def test_outliers_by_class(more: tuple[float, ...], counts: dict[str, int]) -> None:
    assert outliers(planted(*more)) == counts


def test_few_or_equal_samples_have_no_outliers() -> None:
    assert outliers([]) == {}
    assert outliers([1, 1, 1000]) == {}
    assert outliers([1.0] * 50) == {}
    # Where all others are equal, what differs lies infinitely many ranges off.
    assert outliers([*[1.0] * 50, 1.001]) == {"high_severe": 1}


@few
@given(samples=st.lists(positive, min_size=4, max_size=40))
def test_outliers_are_disjoint(samples: list[float]) -> None:
    found = outliers(samples)
    assert sum(found.values()) <= len(samples) // 2
    mirrored = outliers([-sample for sample in samples])
    swapped = {
        name.replace("low", "?").replace("high", "low").replace("?", "high"): count
        for name, count in found.items()
    }
    assert mirrored == swapped


# Proportions: Newcombe (1998), Statistics in Medicine 17, table I, method 3, and 0 of 416


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson(hits: int, trials: int, low: float, high: float) -> None:
    found = proportion_interval(hits, trials)
    assert found == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))
    mirrored = proportion_interval(trials - hits, trials)
    assert mirrored == (pytest.approx(1 - high, abs=5e-5), pytest.approx(1 - low, abs=5e-5))


def test_wilson_of_none_and_of_all() -> None:
    # z² / (n + z²)
    z2 = 1.959963985**2
    assert proportion_interval(0, 416) == (0.0, pytest.approx(z2 / (416 + z2)))
    assert proportion_interval(416, 416) == (pytest.approx(416 / (416 + z2)), pytest.approx(1.0))
    low, high = proportion_interval(0, 416, confidence=0.99)
    assert (low, high > proportion_interval(0, 416)[1]) == (0.0, True)


# Chances: of several


def test_a_chance_is_as_small_as_its_interval_is_far() -> None:
    base, same = (hierarchical(s, visits=6, each=9, between=0.02) for s in (1, 2))
    slower = [[2 * sample for sample in visit] for visit in same]
    assert statistics.chance(base, slower) < 1e-4
    assert statistics.chance(base, base) == pytest.approx(1.0)
    assert statistics.chance([[1.0]], [[2.0]]) == 1.0
    assert statistics.chance([[1.0, 1.0]], [[2.0, 2.0]]) == 0.0


def test_chances_of_the_same_are_spread_evenly() -> None:
    sides = [hierarchical(s, visits=6, each=9, between=0.05) for s in range(600)]
    pairs = zip(sides[::2], sides[1::2], strict=True)
    found = [statistics.chance(*pair) for pair in pairs]
    assert 0.01 <= np.mean([p < 0.05 for p in found]) <= 0.09
    assert 0.4 <= np.mean([p < 0.5 for p in found]) <= 0.6


@pytest.mark.parametrize(
    ("chances", "limit"),
    [
        ([], 0.0),
        ([0.04], 0.04),
        ([0.04] + [0.5] * 9, 0.0),
        ([0.004, 0.009, 0.04] + [0.5] * 7, 0.009),
        # the fourth of ten may be 0.02, and carries those before it
        ([0.019, 0.019, 0.019, 0.02] + [0.5] * 6, 0.02),
    ],
)
def test_of_several_chances_those_are_believed_of_which_few_are_false(
    chances: list[float], limit: float
) -> None:
    assert statistics.believed(chances) == limit
