"""Whole Jacobians and differences: none that is right is denied, none that is wrong confirmed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jacbench.checking.evidence import whole_differences
from jacbench.checking.evidence.claims import Confirmation
from jacbench.checking.evidence.differences import Differences
from jacbench.core.arrays import Array
from jacbench.core.errors import JacbenchError

EPS = float(np.finfo(np.float64).eps)
Function = Callable[[Any], Any]


def around(f: Function, x: Any, **parts: Any) -> Differences:
    point = np.asarray(x, dtype=np.float64)
    return Differences(lambda at: np.asarray(f(at)), point, np.asarray(f(point)), **parts)


def told(f: Function, x: Any, jacobian: Any, **parts: Any) -> Confirmation:
    return whole_differences.confirm(around(f, x, **parts), np.asarray(jacobian))


def planted(right: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Return wrong answers: an entry off by 1e-4 of its row, half of it all, another sign."""
    off = right.copy()
    row, column = rng.integers(right.shape[0]), rng.integers(right.shape[1])
    off[row, column] += 1e-4 * np.linalg.norm(right[row])
    return [off, right / 2, -right]


# --- smooth functions of many scales ---


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


SHAPES: dict[str, tuple[Function, Function]] = {
    "sine": (np.sin, np.cos),
    "tanh": (np.tanh, lambda z: (1 - np.tanh(z)) * (1 + np.tanh(z))),
    "reciprocal": (lambda z: 1 / (3 + z**2), lambda z: -2 * z / (3 + z**2) ** 2),
    "exponential": (lambda z: np.exp(np.sin(z)), lambda z: np.cos(z) * np.exp(np.sin(z))),
    "cubic": (lambda z: z**3 + z, lambda z: 3 * z**2 + 1),
}


@settings(max_examples=25, deadline=None)
@given(
    shape=st.sampled_from(sorted(SHAPES)),
    decades=st.lists(st.integers(-8, 8), min_size=2, max_size=5),
    steep=st.sampled_from([1.0, 30.0, 1000.0, 1e5]),
    m=st.integers(1, 4),
    seed=st.integers(0, 2**32 - 1),
)
def test_no_right_jacobian_is_denied_and_no_wrong_one_confirmed(
    shape: str, decades: list[int], steep: float, m: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    value, slope = SHAPES[shape]
    units = 10.0 ** np.array(decades)
    x = units * rng.uniform(0.2, 1.0, units.size) * rng.choice([-1, 1], units.size)
    W = rng.standard_normal((m, units.size)) * steep ** rng.uniform(0, 1, (m, 1)) / units

    def f(x: Any) -> Any:
        return value(W @ x)

    right = slope(W @ x)[:, None] * W
    of = around(f, x)
    assert not whole_differences.confirm(of, right).denied
    for wrong in planted(right, rng):
        if np.any(np.abs(wrong - right) > 1e-5 * np.linalg.norm(right, axis=1)[:, None]):
            assert not whole_differences.confirm(of, wrong).holds


@pytest.mark.parametrize(
    ("f", "slope", "x"),
    [
        (lambda x: 1 / x, lambda x: -1 / x**2, [1e-3, 2.0]),
        (lambda x: np.sin(1000 * x), lambda x: 1000 * np.cos(1000 * x), [1.0, 2.0]),
        (lambda x: np.sin(1e6 * x), lambda x: 1e6 * np.cos(1e6 * x), [1.0, 2.0]),
        (
            lambda x: sigmoid(1e3 * x),
            lambda x: 1e3 * sigmoid(1e3 * x) * (1 - sigmoid(1e3 * x)),
            [5e-4, 1.0],
        ),
        (np.exp, np.exp, [300.0, -300.0]),
        (np.sqrt, lambda x: 0.5 / np.sqrt(x), [1e-8, 1e8]),
        (lambda x: np.abs(x - 1e-5), lambda x: np.sign(x - 1e-5), [2e-5, 1.0]),
        (
            lambda x: np.exp(-((x - 1) ** 2) * 1e8),
            lambda x: -2e8 * (x - 1) * np.exp(-((x - 1) ** 2) * 1e8),
            [1.00001, 1.0003],
        ),
        (lambda x: 0 * x + 1.0, lambda x: 0 * x, [0.3, 0.7]),
    ],
    ids=["reciprocal", "fast", "faster", "steep", "exp", "sqrt", "near-kink", "narrow", "constant"],
)
def test_steep_and_oscillating_functions_are_confirmed(
    f: Function, slope: Function, x: list[float]
) -> None:
    right = np.diag(slope(np.array(x)))
    assert told(f, x, right).holds
    if right.any():
        assert told(f, x, right / 2).denied
        assert told(f, x, -right).denied


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_what_is_no_number_is_denied(number: float) -> None:
    x = np.array([0.3, 0.7])
    claimed = np.diag(np.cos(x))
    claimed[1, 0] = number
    assert told(np.sin, x, claimed).denied


def test_what_oscillates_faster_than_any_step_is_not_denied() -> None:
    x = np.array([1.0, 2.0])
    right = np.diag(1e8 * np.cos(1e8 * x))
    assert not told(lambda x: np.sin(1e8 * x), x, right).denied


def test_a_zero_jacobian_is_confirmed_and_not_held_against_noise() -> None:
    def f(v: Any) -> Any:
        return np.stack([v[0] * v[1], v[0] ** 2, v[1] ** 3])

    assert told(f, np.zeros(2), np.zeros((3, 2))).holds
    wrong = np.zeros((3, 2))
    wrong[0, 1] = 1e-6
    assert told(f, np.zeros(2), wrong).denied


def test_one_call_a_side_confirms_what_is_smooth() -> None:
    count = 0

    def f(x: Any) -> Any:
        nonlocal count
        count += 1
        return np.tanh(x)

    x = np.array([0.3, -0.4, 0.9])
    of = around(f, x)
    count = 0
    assert whole_differences.confirm(of, np.diag(1 / np.cosh(x) ** 2)).holds
    assert count == 2 * 3


# --- what differences cannot tell ---


def in_single(x: Any) -> Any:
    return np.sin(x).astype(np.float32).astype(np.float64)


def from_half(x: Any) -> Any:
    return np.sin(x.astype(np.float16)).astype(np.float64)


@pytest.mark.parametrize("f", [in_single, from_half])
def test_what_is_rounded_inside_is_neither_denied_nor_confirmed(f: Function) -> None:
    x = np.array([0.3, 0.7])
    found = told(f, x, np.diag(np.cos(x)))
    assert not found.settled
    assert found.resolution > 1e-5


def test_a_wrong_jacobian_beyond_the_noise_is_denied() -> None:
    x = np.array([0.3, 0.7])
    assert told(in_single, x, np.diag(-np.cos(x))).denied
    assert told(in_single, x, np.diag(1.02 * np.cos(x))).denied


def test_between_the_slopes_of_a_kink_nothing_is_denied() -> None:
    x = np.array([0.0, 1.0, -1.0])

    def relu(x: Any) -> Any:
        return np.maximum(x, 0)

    for at_the_kink in (0.0, 0.5, 1.0):
        found = told(relu, x, np.diag([at_the_kink, 1.0, 0.0]))
        assert not found.settled
        assert found.kink
    for wrong in ([-0.2, 1.0, 0.0], [1.2, 1.0, 0.0], [0.0, 0.5, 0.0]):
        assert told(relu, x, np.diag(wrong)).denied


def test_an_offset_leaves_little_to_see() -> None:
    x = np.array([0.3, 0.7])
    found = told(lambda x: 1e9 + 1e-6 * np.sin(x), x, np.diag(1e-6 * np.cos(x)))
    assert not found.denied
    assert not found.holds


def test_what_has_no_value_on_one_side_says_nothing() -> None:
    def edge(x: Any) -> Any:
        if np.any(x < 0.25):
            raise JacbenchError("no value")
        return np.sqrt(x - 0.25)

    found = told(edge, [0.25], np.ones((1, 1)))
    assert not found.settled
    assert told(edge, [1.25], np.full((1, 1), 0.5)).holds


def test_another_number_of_outputs_is_no_value() -> None:
    found = told(lambda x: x[x >= 1.0], [1.0, 2.0], np.eye(2))
    assert not found.settled


# --- scales ---


def test_metres_beside_radians() -> None:
    x = np.array([6.378e6, 0.7])

    def polar(x: Any) -> Any:
        return x[0] * np.array([np.sin(x[1]), np.cos(x[1])])

    s, c = np.sin(x[1]), np.cos(x[1])
    right = np.array([[s, x[0] * c], [c, -x[0] * s]])
    assert told(polar, x, right).holds
    for row, column in np.ndindex(2, 2):
        wrong = right.copy()
        wrong[row, column] *= 1 + 1e-4
        assert told(polar, x, wrong).denied


@pytest.mark.parametrize("n", [24, 60])
def test_what_moves_little_is_not_lost_beside_what_moves_much(n: int) -> None:
    rng = np.random.default_rng(3)
    x = 10.0 ** np.repeat([-6, 0, 6], n // 3) * rng.uniform(0.5, 1, n)
    W = rng.standard_normal((4, n)) / x

    def f(x: Any) -> Any:
        return np.sin(W @ x)

    right = np.cos(W @ x)[:, None] * W
    assert told(f, x, right).holds
    for column in (0, n // 2, n - 1):
        wrong = right.copy()
        wrong[2, column] *= 1.01
        assert told(f, x, wrong).denied


def test_small_inputs_of_a_sum_are_not_confirmed_by_large_ones() -> None:
    x = 10.0 ** np.repeat([-6, 0, 6], 10)
    wrong = np.ones((1, 30))
    wrong[0, :10] = 2.0
    assert not told(lambda x: np.sum(x, keepdims=True), x, wrong).holds


def test_a_kink_near_by_is_not_stepped_over() -> None:
    x = np.array([1.0, 2.0])
    of = around(np.abs, x, kink_distance=1e-7)
    seen: list[float] = []

    def watched(at: Any) -> Any:
        seen.append(float(np.max(np.abs(at - x))))
        return np.abs(at)

    of = Differences(watched, x, x, kink_distance=1e-7)
    assert whole_differences.confirm(of, np.eye(2)).holds
    assert max(seen) <= 1e-7


# --- a Jacobian made of differences ---


@pytest.mark.parametrize("factor", [1.0, 1e-6, 1e5])
def test_a_jacobian_by_differences_is_off_by_no_more_than_it_says(factor: float) -> None:
    x = np.array([0.3, -0.4, 0.9]) * factor
    A = np.array([[1.0, -2.0, 0.5], [0.3, 0.7, -1.1]]) / factor
    J, error = whole_differences.jacobian(around(lambda x: np.tanh(A @ x), x))
    right = (1 - np.tanh(A @ x) ** 2)[:, None] * A
    assert np.linalg.norm(J - right) <= 10 * np.linalg.norm(error)
    assert np.linalg.norm(error) < 1e-9 * np.linalg.norm(right)


def test_what_is_not_told_from_zero_is_zero() -> None:
    J, _ = whole_differences.jacobian(
        around(lambda v: np.stack([v[0] * v[1], v[0] ** 2, v[1] ** 3]), np.zeros(2))
    )
    assert not J.any()


@pytest.mark.parametrize("factor", [7, 10, 13])
def test_what_rounding_makes_of_zero_is_zero(factor: int) -> None:
    x = np.array([0.3, 0.7])
    J, _ = whole_differences.jacobian(
        around(lambda v: (factor * v[:1] + v[1:]) - factor * v[:1], x)
    )
    assert J[0, 0] == 0
    assert J[0, 1] == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize("offset", [1e8, 1e10, 1e11, 1e12, 1e13, 1e14, 1e16])
def test_a_zero_under_a_large_offset_is_denied_or_cannot_be_told(offset: float) -> None:
    # over the shortest steps values this coarse do not move at all
    x = np.linspace(0.3, 2.1, 5)
    f: Function = lambda v: offset + np.sin(v)  # noqa: E731
    zero = told(f, x, np.zeros((5, 5)))
    assert zero.denied if offset <= 1e11 else not zero.holds
    assert not told(f, x, np.diag(np.cos(x))).denied


def test_a_zero_is_confirmed_where_values_do_not_move_or_move_by_their_square() -> None:
    for constant in (1e-30, 1.0, 1e6):
        assert told(lambda x: 0 * x + constant, [0.3, 0.7], np.zeros((2, 2))).holds  # noqa: B023
    assert told(lambda x: np.sin(x) ** 2 + np.cos(x) ** 2, [0.3, 0.7], np.zeros((2, 2))).holds
    assert told(lambda x: 1e3 + x**2, [0.0, 0.0], np.zeros((2, 2))).holds
    coarse = told(lambda x: 1e12 + x**2, [0.0, 0.0], np.zeros((2, 2)))
    assert not coarse.settled


def test_an_entry_that_is_off_by_a_hundred_millionth_is_denied() -> None:
    x = np.array([0.3, -0.4, 0.9])
    A = np.array([[1.0, -2.0, 0.5], [0.3, 0.7, -1.1]])
    right = (1 - np.tanh(A @ x) ** 2)[:, None] * A
    assert told(lambda x: np.tanh(A @ x), x, right).holds
    for row, column in np.ndindex(2, 3):
        off = right.copy()
        off[row, column] += 1e-8 * np.linalg.norm(right[row])
        assert told(lambda x: np.tanh(A @ x), x, off).denied


def test_a_zero_is_held_against_long_steps_in_whatever_units_y_is() -> None:
    x = np.array([0.7, 1.0])
    assert not told(lambda v: 1e-12 * (1e13 + np.sin(v)), x, np.zeros((2, 2))).holds


def test_a_slope_that_hides_below_float32_is_not_denied() -> None:
    # tanh is 1 to the bit there, in float32; in float64 its slope is 4e-8
    x = np.array([9.2, 9.4])
    right = np.diag(1 / np.cosh(x) ** 2)
    f: Function = lambda v: np.tanh(v.astype(np.float32)).astype(float)  # noqa: E731
    assert not told(f, x, right).denied
    assert told(f, x, np.diag([1e-3, 0.0])).denied
    assert told(np.tanh, x, 2 * right).denied


@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_what_stands_still_over_short_steps_alone_is_rounded_and_has_a_slope(offset: float) -> None:
    x = np.array([5.38e-2, 6.13e-5, 512.0])
    W = np.array([[10.0, 5500.0, 0.0]])

    def value(at: Array) -> Array:
        z = (W @ at).astype(np.float32)
        return np.asarray(np.float32(offset) + np.sin(z), np.float64)

    steps = Differences(value, x, value(x))
    steps.noise = np.finfo(float).eps * np.abs(value(x))  # as where it was missed
    told = whole_differences.confirm(steps, np.cos(W @ x)[:, None] * W)
    assert not told.denied
