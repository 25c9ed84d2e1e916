"""A problem refuses, in one line that says what to do, whatever has no Jacobian."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from jacbench.core.errors import JacbenchError
from jacbench.problems.problem import Problem


def square(xp: Any, x: Any) -> Any:
    return xp.square(x)


def make(**parts: Any) -> Problem:
    return Problem(**{"name": "mine", "function": square, "x": np.ones(3)} | parts)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.array([1.0, None]), r"x is of dtype object, not a real array: pass float64"),
        (np.zeros((0, 3)), r"x is empty \(shape \(0, 3\)\): a Jacobian needs at least one input"),
        ([], r"x holds no arrays: a Jacobian needs an input"),
        ({"a": ()}, r"x holds no arrays"),
        (np.array([1.0, np.nan]), r"x is not finite: give a point without NaN or inf"),
        (np.array(np.inf), r"x is not finite"),
        (
            {"w": np.ones(2), "activation": "tanh"},
            r"x\['activation'\] is a str, not an array: pass",
        ),
        ([np.ones(2), None], r"x\[1\] is a NoneType, not an array: pass arrays alone"),
        ((np.ones(2), np.ones((0, 2))), r"x\[1\] is empty"),
    ],
)
def test_points_without_a_derivative(x: Any, message: str) -> None:
    with pytest.raises(JacbenchError, match=rf"^problem 'mine': {message}") as caught:
        make(x=x)
    assert "\n" not in str(caught.value)


def test_elsewhere_is_checked_as_x_is() -> None:
    with pytest.raises(JacbenchError, match="elsewhere is not finite"):
        make(elsewhere=np.array([1.0, np.nan, 2.0]))
    with pytest.raises(JacbenchError, match="elsewhere has leaves of other shapes than x"):
        make(elsewhere=np.ones(4))


def test_function_must_be_callable() -> None:
    with pytest.raises(JacbenchError, match=r"function is a str: give a callable"):
        make(function="square")


def test_constants_must_be_real() -> None:
    with pytest.raises(JacbenchError, match=r"constants\[1\] is of dtype object"):
        make(constants=(np.ones(2), np.array(["a", None])))


def test_integer_constants_stay_integers() -> None:
    problem = make(constants=(np.arange(3), {"w": np.ones(2, dtype=np.float32)}))
    assert problem.constants[0].dtype.kind == "i"
    assert problem.constants[1]["w"].dtype == np.float64


def test_point_becomes_float64_and_is_a_copy() -> None:
    x = np.ones(3, dtype=np.float64)
    problem = make(x=x)
    x[:] = 7
    assert np.array_equal(problem.x, np.ones(3))
    assert make(x=np.ones(3, dtype=np.float32)).x.dtype == np.float64


def test_second_point_is_seeded_and_near() -> None:
    first, same, other = make(), make(), make(seed=1)
    assert np.array_equal(first.elsewhere, same.elsewhere)
    assert not np.array_equal(first.elsewhere, other.elsewhere)
    assert 0 < np.abs(first.elsewhere - first.x).max() < 1


def test_sizes_of_a_tree() -> None:
    problem = make(x={"w": np.ones((2, 3)), "b": np.ones(3)})
    assert problem.leaf_shapes == [(3,), (2, 3)]
    assert problem.n == 9


@pytest.mark.parametrize(
    ("x", "reason"),
    [
        (np.arange(3), "x is of dtype int64, which has no derivative: pass floats"),
        (np.array([True]), "x is of dtype bool, which has no derivative"),
        (np.array([1j]), "x is of dtype complex128: a complex input has no real Jacobian"),
        ((np.ones(2), np.arange(2)), "x[1] is of dtype int64"),
    ],
)
def test_complex_and_integer_points_are_kept_and_told(x: Any, reason: str) -> None:
    told = make(x=x).undifferentiable
    assert told is not None
    assert told.startswith(reason)
    assert make().undifferentiable is None


# --- samples ---


def batched(**parts: Any) -> Problem:
    return make(x=np.ones((4, 3)), constants=(np.ones((2, 4)), np.ones(3)), **parts)


def test_a_batch_has_its_operator() -> None:
    assert "batch_jacobian" not in batched().operators
    assert "batch_jacobian" in batched(in_axes=(0, 1, None)).operators
    assert batched(in_axes=(0, -1, None)).in_axes == (0, -1, None)


@pytest.mark.parametrize(
    ("in_axes", "message"),
    [
        ((0,), r"in_axes has 1 entries for x and 2 constants: give one axis, or None, for each"),
        ((2, None, None), r"samples lie along axis 2 of x, which has shape \(4, 3\): name an axis"),
        ((0, None, 1), r"along axis 1 of constants\[1\], which has shape \(3,\)"),
        ((None, None, None), r"in_axes holds None alone: name the axis"),
        ((0, 0, None), r"axes of different lengths: 4 in x, 2 in constants\[0\] samples"),
    ],
)
def test_a_batch_axis_that_is_not_there(in_axes: Any, message: str) -> None:
    with pytest.raises(JacbenchError, match=message) as caught:
        batched(in_axes=in_axes)
    assert "\n" not in str(caught.value)


# --- native functions ---


def test_a_problem_needs_some_function() -> None:
    with pytest.raises(JacbenchError, match="it has no function: give function=") as caught:
        make(function=None)
    assert "\n" not in str(caught.value)


def test_a_native_function_takes_the_place_of_the_neutral_one() -> None:
    problem = make(native={"jax": "math:sqrt", "torch": abs})
    assert problem.native_function("jax") is math.sqrt
    assert problem.native_function("torch") is abs
    assert problem.native_function("autograd") is None
    assert problem.written_for("autograd") is None
    alone = make(function=None, native={"jax": "math:sqrt", "torch": abs})
    assert alone.written_for("torch") is None
    assert alone.written_for("autograd") == "problem 'mine' is written for jax, torch alone"


def test_columns_keep_the_names_of_the_leaves() -> None:
    problem = make(x={"w": np.ones((2, 3)), "b": (np.ones(2), np.array(1.0))})
    blocks = {"['b'][0]": slice(0, 2), "['b'][1]": slice(2, 3), "['w']": slice(3, 9)}
    assert problem.columns() == blocks
    assert make().columns() == {"": slice(0, 3)}
