"""What differences confirm: within rounding, at every point asked, and never what is half wrong."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jacbench.picking.examining import differences
from jacbench.picking.examining.differences import Claim, Confirmation

EPS = float(np.finfo(np.float64).eps)
X = np.array([0.3, -0.4, 0.9])
A = np.array([[1.0, -2.0, 0.5], [0.3, 0.7, -1.1]])
ALONG = differences.directions(X, 0, 3)


class Called:
    """A function in float64, as differences call it."""

    dtype = "float64"

    def __init__(self, f: Any) -> None:
        self.f = f

    def __call__(self, x: Any) -> np.ndarray:
        return np.asarray(self.f(x))


def said(f: Any, product: np.ndarray, *, noise: float = EPS, size: float = 1.0) -> Confirmation:
    h = differences.step("float64", ALONG, None)
    (found,) = differences.confirm(
        Called(f), X, ALONG, [Claim(product)], noise=noise, size=size, h=h
    )
    return found


def slope(x: np.ndarray) -> np.ndarray:
    return (1 - np.tanh(A @ x) ** 2)[:, None] * A @ ALONG


def test_what_is_right_holds_and_what_is_a_thousandth_off_does_not() -> None:
    right = said(lambda x: np.tanh(A @ x), slope(X))
    assert right.holds
    assert right.error < 1e-8
    wrong = said(lambda x: np.tanh(A @ x), 1.001 * slope(X))
    assert not wrong.holds
    assert wrong.error == pytest.approx(1e-3, rel=0.01)


errors = st.floats(0.0, 1.0)


@given(errors, st.booleans(), errors, st.booleans())
def test_two_points_hold_where_both_do(one: float, holds: bool, other: float, too: bool) -> None:
    found = Confirmation(one, holds).worse(Confirmation(other, too))
    assert found == Confirmation(max(one, other), holds and too)
    assert found == Confirmation(other, too).worse(Confirmation(one, holds))


def test_what_lies_within_rounding_holds_only_where_it_is_near() -> None:
    # so large a value that its rounding hides the slope, at each of the steps
    flat, size = (lambda x: 1e9 + np.tanh(A @ x)), 1e9
    assert said(flat, slope(X), noise=1e-9, size=size).holds
    half = said(flat, 0.5 * slope(X), noise=1e-9, size=size)
    assert half.error > differences.WEAK
    assert not half.holds


def test_no_finite_value_near_says_nothing() -> None:
    found = said(lambda x: np.full(2, math.nan), slope(X))
    assert found == differences.NOTHING
