"""Ratios taken round after round: their intervals hold, also where rounds hang together."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks import noise
from jacbench.picking.racing import apart


def wronged(kind: str, rounds: int, trials: int = 400) -> float:
    """Return how often the lower end of one of five rivals as fast lies above 1."""
    rng = np.random.default_rng(2)
    made = noise.KINDS[kind](rng, (trials * 5, 1, rounds)).reshape(trials, 5, rounds)
    found = [apart.intervals(np.exp(one).tolist(), 0.05) for one in made]
    return float(np.mean([any(ratio.low > 1 for ratio in one) for one in found]))


@pytest.mark.parametrize("rounds", [5, 12, 24])
@pytest.mark.parametrize("kind", ["normal", "heavy-tailed", "autocorrelated"])
def test_one_of_several_is_wronged_as_seldom_as_said(kind, rounds):
    assert wronged(kind, rounds) <= 0.08


def test_rounds_that_hang_together_tell_less():
    rng = np.random.default_rng(0)
    alone = np.exp(rng.normal(0, 0.05, 24))
    together = np.exp(np.cumsum(rng.normal(0, 0.05, 24)) / 3)
    (one,), (other,) = (apart.intervals([s.tolist()], 0.05) for s in (alone, together))
    assert math.log(other.high / other.low) > 4 * math.log(one.high / one.low)


def test_what_is_twice_as_slow_is_told_so():
    rng = np.random.default_rng(0)
    (found,) = apart.intervals([(2 * np.exp(rng.normal(0, 0.05, 24))).tolist()], 0.005)
    assert 1.8 < found.low < found.estimate < found.high < 2.2


def test_few_rounds_say_nothing_and_nobody_has_no_interval():
    (found,) = apart.intervals([[1.5] * 4], 0.005)
    assert found.estimate == 1.5
    assert math.isnan(found.low)
    assert apart.intervals([], 0.005) == []
    (same,) = apart.intervals([[1.25] * 5], 0.005)
    assert (same.low, same.high) == (pytest.approx(1.25), pytest.approx(1.25))
