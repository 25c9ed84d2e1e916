"""Errors are normwise, NaN never agrees, and the worst entry is named with its place."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jacbench import agreement

R = np.array([[3.0, 0.0, 0.0], [0.0, 4.0, 0.0]])


def spoiled(row: int, column: int, value: float) -> np.ndarray:
    J = R.copy()
    J[row, column] = value
    return J


def test_equal_matrices_have_no_error() -> None:
    found = agreement.compare(R.copy(), R)
    assert found.error == 0
    assert found.within(0)


def test_error_is_normwise() -> None:
    # ‖R‖ = 5; a relative error entry by entry would be infinite where R is zero
    assert agreement.compare(spoiled(0, 1, 0.5), R).error == pytest.approx(0.1)


def test_worst_entry_has_its_place_and_both_values() -> None:
    found = agreement.compare(spoiled(1, 1, 4.5), R)
    assert (found.row, found.column, found.value, found.expected) == (1, 1, 4.5, 4.0)


def test_error_of_a_zero_reference_is_absolute() -> None:
    found = agreement.compare(np.full((2, 2), 0.5), np.zeros((2, 2)))
    assert found.error == pytest.approx(1.0)
    assert agreement.compare(np.zeros((2, 2)), np.zeros((2, 2))).within(0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_never_agrees(value: float) -> None:
    found = agreement.compare(spoiled(1, 2, value), R)
    assert found.error == math.inf
    assert not found.within(1e300)
    assert (found.row, found.column, found.expected) == (1, 2, 0.0)
    assert str(found.value) == str(value)


def test_first_entry_that_is_not_finite_is_named() -> None:
    J = spoiled(1, 0, math.inf)
    J[0, 2] = math.nan
    J[0, 0] = 1e9  # larger an error than any, but a number
    found = agreement.compare(J, R)
    assert (found.row, found.column) == (0, 2)


def test_single_precision_is_compared_in_double() -> None:
    third = np.array([[1 / 3]])
    found = agreement.compare(third.astype(np.float32), third)
    assert 1e-9 < found.error < 1e-7


@pytest.mark.parametrize("shape", [(), (3,), (1, 4)])
def test_anything_up_to_a_matrix_can_be_compared(shape: tuple[int, ...]) -> None:
    assert agreement.compare(np.ones(shape), np.ones(shape)).error == 0


@given(st.floats(1e-150, 1e150), st.integers(0, 1), st.integers(0, 2))
def test_error_does_not_depend_on_the_scale(scale: float, row: int, column: int) -> None:
    J = spoiled(row, column, 7.0)
    expected = agreement.compare(J, R)
    found = agreement.compare(scale * J, scale * R)
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
    assert agreement.tolerance(dtype, device) == expected


def test_tolerances_tell_precisions_apart() -> None:
    # a float32 result in a float64 cell, and a TF32 product in a float32 cell, are faults
    assert agreement.tolerance("float64", "cpu") < float(np.finfo(np.float32).eps) / 1000
    assert agreement.tolerance("float32", "cuda:0") < 1e-3 / 10


@pytest.mark.parametrize("value", [1.5, math.nan, math.inf, -math.inf])
def test_worst_entry_is_json(value: float) -> None:
    found = agreement.worst_entry(agreement.compare(spoiled(0, 1, value), R), ["a", "[1]['b']"])
    read = json.loads(json.dumps(found, allow_nan=False))
    assert read["input"] == "[1]['b']"
    assert (read["row"], read["column"], read["expected"]) == (0, 1, 0.0)
    assert str(float(read["value"])) == str(value)


def test_worst_entry_without_names() -> None:
    assert agreement.worst_entry(agreement.compare(R, R), [])["input"] is None
