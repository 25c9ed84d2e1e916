"""Errors of the whole and of single entries; NaN never agrees; the worst entry has its place."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jacbench.checking import matrix_error

R = np.array([[3.0, 0.0, 0.0], [0.0, 4.0, 0.0]])


def spoiled(row: int, column: int, value: float) -> np.ndarray:
    J = R.copy()
    J[row, column] = value
    return J


def test_equal_matrices_have_no_error() -> None:
    found = matrix_error.compare(R.copy(), R)
    assert found.error == 0
    assert found.within(0)


def test_error_is_normwise() -> None:
    # ‖R‖ = 5; a relative error entry by entry would be infinite where R is zero
    assert matrix_error.compare(spoiled(0, 1, 0.5), R).error == pytest.approx(0.1)


def test_worst_entry_has_its_place_and_both_values() -> None:
    found = matrix_error.compare(spoiled(1, 1, 4.5), R)
    assert (found.row, found.column, found.value, found.expected) == (1, 1, 4.5, 4.0)


def test_error_of_a_zero_reference_is_absolute() -> None:
    found = matrix_error.compare(np.full((2, 2), 0.5), np.zeros((2, 2)))
    assert found.error == pytest.approx(1.0)
    assert matrix_error.compare(np.zeros((2, 2)), np.zeros((2, 2))).within(0)


@given(st.floats(1e-10, 1e-3))
def test_just_beyond_the_tolerance_is_beyond_it(tolerance: float) -> None:
    assert matrix_error.compare((1 + 0.99 * tolerance) * R, R).within(tolerance)
    assert not matrix_error.compare((1 + 1.01 * tolerance) * R, R).within(tolerance)


@given(st.floats(0.0, 20.0))
def test_a_scale_counts_where_it_is_larger_than_the_norm(scale: float) -> None:
    found = matrix_error.compare(spoiled(0, 1, 0.5), R, scale)
    assert found.error == pytest.approx(0.5 / max(5.0, scale))


def test_the_worst_entry_may_be_too_small() -> None:
    J = spoiled(1, 1, 3.0)
    J[0, 0] += 0.5
    found = matrix_error.compare(J, R)
    assert (found.row, found.column, found.value, found.expected) == (1, 1, 3.0, 4.0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_never_agrees(value: float) -> None:
    found = matrix_error.compare(spoiled(1, 2, value), R)
    assert found.error == math.inf
    assert not found.within(1e300)
    assert (found.row, found.column, found.expected) == (1, 2, 0.0)
    assert str(found.value) == str(value)


def test_first_entry_that_is_not_finite_is_named() -> None:
    J = spoiled(1, 0, math.inf)
    J[0, 2] = math.nan
    J[0, 0] = 1e9  # larger an error than any, but a number
    found = matrix_error.compare(J, R)
    assert (found.row, found.column) == (0, 2)


def test_single_precision_is_compared_in_double() -> None:
    third = np.array([[1 / 3]])
    found = matrix_error.compare(third.astype(np.float32), third)
    assert 1e-9 < found.error < 1e-7


@pytest.mark.parametrize("shape", [(), (3,), (1, 4)])
def test_anything_up_to_a_matrix_can_be_compared(shape: tuple[int, ...]) -> None:
    assert matrix_error.compare(np.ones(shape), np.ones(shape)).error == 0


@given(st.floats(1e-290, 1e290), st.integers(0, 1), st.integers(0, 2))
def test_error_does_not_depend_on_the_scale(scale: float, row: int, column: int) -> None:
    J = spoiled(row, column, 7.0)
    expected = matrix_error.compare(J, R)
    found = matrix_error.compare(scale * J, scale * R)
    assert found.error == pytest.approx(expected.error)
    assert (found.row, found.column) == (expected.row, expected.column)


@pytest.mark.parametrize(
    ("dtype", "device", "expected"),
    [
        ("float64", "cpu", 1e-12),
        ("float32", "cpu", 2e-5),
        ("float64", "cuda:0", 1e-12),
        ("float32", "cuda:3", 2e-5),
    ],
)
def test_tolerance(dtype: str, device: str, expected: float) -> None:
    assert matrix_error.tolerance(dtype, device) == expected


def test_tolerances_tell_precisions_apart() -> None:
    # a float32 result in a float64 cell, and a TF32 product in a float32 cell, are faults
    assert matrix_error.tolerance("float64", "cpu") < float(np.finfo(np.float32).eps) / 1000
    assert matrix_error.tolerance("float32", "cuda:0") < 1e-3 / 10


@pytest.mark.parametrize("value", [1.5, math.nan, math.inf, -math.inf])
def test_worst_entry_is_json(value: float) -> None:
    found = matrix_error.worst_entry(
        matrix_error.compare(spoiled(0, 1, value), R), ["a", "[1]['b']"]
    )
    read = json.loads(json.dumps(found, allow_nan=False))
    assert read["input"] == "[1]['b']"
    assert (read["row"], read["column"], read["expected"]) == (0, 1, 0.0)
    assert str(float(read["value"])) == str(value)


def test_worst_entry_without_names() -> None:
    assert matrix_error.worst_entry(matrix_error.compare(R, R), [])["input"] is None


# --- entry by entry ---

LARGE_AND_SMALL = np.outer([1.0, 1e-6], [1.0, -2.0, 0.5])
LIMIT = 1e-12


def held(J: np.ndarray, R: np.ndarray, **how: Any) -> tuple[bool, bool]:
    """Return whether J is near R as a whole, and whether they agree."""
    found = matrix_error.compare(J, R, **how)
    return found.error <= LIMIT, found.within(LIMIT)


def test_an_entry_that_is_off_by_less_than_the_whole_may_be() -> None:
    R = np.random.default_rng(0).standard_normal((20, 47))
    J = R.copy()
    J[3, 5] += 9e-13 * np.linalg.norm(R)
    assert held(J, R) == (True, False)
    found = matrix_error.compare(J, R)
    assert (found.row, found.column) == (3, 5)
    assert found.excess(LIMIT).startswith("|J-R| of one entry over its row's or column's size = ")


@pytest.mark.parametrize("transposed", [False, True])
def test_a_small_row_or_column_is_held_to_its_own_size(transposed: bool) -> None:
    J = LARGE_AND_SMALL.copy()
    J[1] *= 1 + 5e-7
    pair = (J.T, LARGE_AND_SMALL.T) if transposed else (J, LARGE_AND_SMALL)
    assert held(*pair) == (True, False)


def test_the_worst_entry_is_the_worst_for_its_scale() -> None:
    J = LARGE_AND_SMALL.copy()
    J[0, 0] += 1e-13
    J[1, 2] += 2e-14
    found = matrix_error.compare(J, LARGE_AND_SMALL, floor=0.0)
    assert (found.row, found.column) == (1, 2)


def test_ten_times_the_tolerance_does_not_agree() -> None:
    for off in (0.9, 1.1, 2, 10):
        agrees = matrix_error.compare(R * (1 + off * 1e-12), R).within(1e-12)
        assert agrees == (off < 1)
        one_row = matrix_error.compare(R[:1] * (1 + off * 1e-12), R[:1]).within(1e-12)
        assert one_row == (off < 1)


def test_a_scale_replaces_the_norm_and_is_not_added_to_it() -> None:
    J = R * (1 + 1.5e-12)
    norm = float(np.linalg.norm(R))
    assert matrix_error.compare(J, R, norm).error == pytest.approx(1.5e-12, rel=1e-3)
    assert matrix_error.compare(J, R, 0.1 * norm).error == pytest.approx(1.5e-12, rel=1e-3)
    assert matrix_error.compare(J, R, 3 * norm).error == pytest.approx(0.5e-12, rel=1e-3)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@given(seed=st.integers(0, 2**16))
def test_products_in_floating_point_agree(dtype: str, seed: int) -> None:
    """Rows and columns of very different size, and entries that cancel.

    Not all of the matrix does: its error is at most 9 eps ‖|A||B|‖, and its norm at least a third
    of that norm; a tenth of it is the floor.
    """
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((6, 9)) * 10.0 ** rng.uniform(-6, 6, (6, 1))
    B = rng.standard_normal((9, 5)) * 10.0 ** rng.uniform(-6, 6, (1, 5))
    A[0] = 0.1 * A[1:].max(axis=0)
    B[0] = (
        -(A[0, 1:] @ B[1:]) / A[0, 0]
    )  # a row that cancels whole, of terms that are not the least
    A, B = A.astype(dtype), B.astype(dtype)
    wide = A.astype(np.longdouble), B.astype(np.longdouble)
    right = (wide[0] @ wide[1]).astype(np.float64)
    terms = (abs(wide[0]) @ abs(wide[1])).astype(np.float64)
    assume(np.linalg.norm(right) >= np.linalg.norm(terms) / 3)
    found = matrix_error.compare(A @ B, right)
    assert found.within(matrix_error.tolerance(dtype, "cpu"))


def test_where_terms_cancel_their_size_counts() -> None:
    J, v = np.array([[1.0, -1.0], [1e-6, 1e-6]]), np.array([1.0, 1.0 - 1e-9])
    expected, terms = (J @ v)[:, None], (np.abs(J) @ np.abs(v))[:, None]
    off = expected + np.array([[1e-16], [0.0]])
    assert held(off, expected, terms=terms, scale=1.0) == (True, True)
    wrong = expected + np.array([[0.0], [4e-13]])
    assert held(wrong, expected, terms=terms, scale=1.0) == (True, False)


def test_entries_are_not_held_one_by_one_where_the_reference_is_not_exact() -> None:
    J = R.copy()
    J[0, 1] += 0.9e-12 * np.linalg.norm(R)
    assert held(J, R, floor=matrix_error.NORMWISE) == (True, True)
    assert held(J, R) == (True, False)
