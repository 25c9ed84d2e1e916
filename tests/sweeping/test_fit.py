"""Exponents are those that were put in, with intervals that hold them as often as they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jacbench.measuring import statistics
from jacbench.sweeping.fit import Fit, power_law, upper_half

XS = [16.0 * 2**i for i in range(9)]


def fitted(logs: list[float], xs: list[float] = XS) -> Fit:
    found = power_law(xs, logs)
    assert found is not None
    return found


@given(exponent=st.floats(-4, 4), start=st.floats(-20, 20), count=st.integers(3, 12))
@settings(max_examples=30)
def test_a_power_law_is_found_exactly(exponent: float, start: float, count: int) -> None:
    xs = [16.0 * 2**i for i in range(count)]
    found = fitted([start + exponent * float(np.log(x)) for x in xs], xs)
    for value in vars(found.exponent).values():
        assert value == pytest.approx(exponent, abs=1e-9)
    assert found.last == xs[-1]
    assert found.sizes == max(3, -(-count // 2))


@pytest.mark.parametrize(("count", "first"), [(3, 0), (4, 1), (5, 2), (6, 3), (7, 3), (9, 4)])
def test_the_larger_half(count: int, first: int) -> None:
    xs = list(range(1, count + 1))
    assert xs[upper_half(xs)] == xs[first:]


def test_what_a_call_costs_anyway_is_left_out() -> None:
    # A constant beside a square: over all sizes the exponent would be about 1.
    found = fitted([float(np.log(1e-5 + 1e-10 * x**2)) for x in XS])
    assert found.first == 256
    assert 1.4 < found.exponent.estimate < 2
    assert found.exponent.low < found.exponent.estimate < found.exponent.high


@pytest.mark.parametrize("count", [0, 1, 2])
def test_two_sizes_have_no_exponent(count: int) -> None:
    assert power_law(XS[:count], [1.0] * count) is None


@pytest.mark.parametrize("count", [3, 5, 9, 16])
def test_points_off_the_line_are_in_the_interval(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "RESAMPLES", 400)
    xs = [2.0**i for i in range(count)]
    rng = np.random.default_rng(count)
    held = []
    for _ in range(200):
        logs = 1.5 * np.log(xs) + rng.normal(0, 0.1, count)
        found = fitted(logs.tolist(), xs).exponent
        held.append(found.low <= 1.5 <= found.high)
    assert np.mean(held) >= 0.88  # of 95 %


def test_visits_that_differ_are_in_the_interval() -> None:
    # The points lie on a line by chance; their visits say how sure each is.
    logs = [2 * float(np.log(x)) for x in XS]
    rng = np.random.default_rng(0)
    offs = [rng.normal(0, 0.1, statistics.RESAMPLES) for _ in XS]
    found = power_law(XS, logs, offs)
    assert found is not None
    x = np.log(XS[4:])
    expected = 1.96 * 0.1 / np.sqrt(np.sum((x - x.mean()) ** 2))
    assert found.exponent.high - 2 == pytest.approx(expected, rel=0.1)
    assert 2 - found.exponent.low == pytest.approx(expected, rel=0.1)


def test_the_same_points_give_the_same_interval() -> None:
    logs = [float(np.log(x) + np.sin(x)) for x in XS]
    assert fitted(logs) == fitted(logs)


def test_another_unit_changes_no_exponent() -> None:
    logs = np.log(XS) + np.sin(XS)
    one, other = fitted(logs.tolist()), fitted((logs + 5).tolist())
    assert one.exponent.estimate == pytest.approx(other.exponent.estimate)
    assert one.exponent.low == pytest.approx(other.exponent.low)


def test_a_size_far_off_the_others() -> None:
    found = fitted([0.0, 0.1, 20.0], [16.0, 17.0, 1e9])
    assert np.isfinite(list(vars(found.exponent).values())).all()
