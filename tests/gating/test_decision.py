"""The rule on ratios whose truth is known: states, limits, false alarms and power."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jacbench.gating.decision import Decision, State, decide
from jacbench.measuring import statistics
from jacbench.measuring.statistics import Interval


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resample less often: the ends then move by a few percent of the width."""
    monkeypatch.setattr(statistics, "RESAMPLES", 400)


def noisy(
    seed: int, ratio: float = 1.0, *, launches: int = 4, pairs: int = 10, within: float = 0.03
) -> list[list[float]]:
    """Return ratios around ``ratio``; a launch moves all of its own by about half a percent."""
    rng = np.random.default_rng(seed)
    return [
        (ratio * np.exp(rng.normal(rng.normal(0, 0.005), within, pairs))).tolist()
        for _ in range(launches)
    ]


@pytest.mark.parametrize(
    ("ratio", "spread", "state"),
    [
        (1.0, 0.005, State.PASS),
        (0.7, 0.005, State.PASS),
        (1.02, 0.005, State.PASS),  # surely slower, but by less than is worth telling
        (1.06, 0.005, State.REGRESSION),
        (2.0, 0.3, State.REGRESSION),
        (1.06, 0.2, State.INCONCLUSIVE),
        (1.0, 0.3, State.INCONCLUSIVE),
        (0.97, 0.3, State.INCONCLUSIVE),
    ],
)
def test_states(ratio: float, spread: float, state: State) -> None:
    launch = np.linspace(ratio - spread, ratio + spread, 11).tolist()
    found = decide([launch] * 4, 1.05)
    assert found.state is state
    assert found.ratio.estimate == pytest.approx(ratio)
    assert found.pairs == 44


@pytest.mark.parametrize(
    ("ratio", "state"),
    [
        (1.029, State.PASS),
        (1.031, State.REGRESSION),
        (1.049, State.REGRESSION),
    ],
)
def test_without_noise_three_percent_divide(ratio: float, state: State) -> None:
    assert decide([[ratio] * 10] * 4, 1.05).state is state


@pytest.mark.parametrize("limit", [1.05, 1.15, 1.5, 3.0])
def test_limits_keep_the_proportions(limit: float) -> None:
    def at(share: float) -> State:
        return decide([[1 + share * (limit - 1)] * 10] * 4, limit).state

    assert at(0.59) is State.PASS
    assert at(0.61) is State.REGRESSION

    def around(middle: float, spread: float) -> State:
        scaled = 1 + (limit - 1) * np.linspace(middle - spread, middle + spread, 11)
        return decide([scaled.tolist()] * 4, limit).state

    # The interval has to lie above a fifth of the excess, or below the whole of it.
    assert around(0.7, 0.2) is State.REGRESSION
    assert around(0.7, 3.0) is State.INCONCLUSIVE
    assert around(0.0, 0.2) is State.PASS


@pytest.mark.usefixtures("quick")
def test_identical_versions_are_never_a_regression() -> None:
    found = [decide(noisy(seed), 1.05).state for seed in range(150)]
    assert State.REGRESSION not in found
    assert found.count(State.PASS) > 130


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("ratio", "least"), [(1.1, 0.98), (1.2, 1.0)])
def test_what_is_planted_is_found(ratio: float, least: float) -> None:
    found = [decide(noisy(seed, ratio), 1.05) for seed in range(60)]
    share = np.mean([one.state is State.REGRESSION for one in found])
    assert share >= least
    assert np.median([one.ratio.estimate for one in found]) == pytest.approx(ratio, rel=0.01)


@pytest.mark.usefixtures("quick")
@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    ratio=st.floats(0.5, 2.0),
    noise=st.floats(0, 0.5),
    limit=st.floats(1.01, 2.0),
)
def test_states_are_what_the_interval_says(
    seed: int, ratio: float, noise: float, limit: float
) -> None:
    launches = noisy(seed, ratio, within=noise)
    found = decide(launches, limit, seed=seed % 7)
    assert found == decide(launches, limit, seed=seed % 7)
    assert found.pairs == 40
    above = found.ratio.low > 1 + (limit - 1) / 5
    assert (found.state is State.REGRESSION) <= above
    assert (found.state is State.PASS) <= (found.ratio.high < limit)
    if found.state is State.INCONCLUSIVE:
        assert found.ratio.high >= limit


def test_faster_is_the_mirror_image() -> None:
    def of(estimate: float, low: float, high: float) -> bool:
        return Decision(State.PASS, Interval(estimate, low, high), 40).faster

    assert of(0.9, 0.88, 0.92)
    assert not of(0.9, 0.80, 1.0)
    assert not of(0.98, 0.975, 0.985)
    assert decide([[0.9] * 10] * 4, 1.05).faster
    assert not decide([[1.0] * 10] * 4, 1.05).faster
