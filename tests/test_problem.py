"""A problem refuses, in one line that says what to do, whatever has no Jacobian."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from jacbench.errors import JacbenchError
from jacbench.problem import Problem


def square(xp: Any, x: Any) -> Any:
    return xp.square(x)


def make(**parts: Any) -> Problem:
    return Problem(**{"name": "mine", "function": square, "x": np.ones(3)} | parts)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.arange(3), r"x is of dtype int64, which has no derivative: pass floats"),
        (np.array([True]), r"x is of dtype bool, which has no derivative"),
        (np.array([1.0, None]), r"x is of dtype object, not a real array: pass float64"),
        (np.array([1j]), r"x is of dtype complex128, not a real array"),
        (np.zeros((0, 3)), r"x is empty \(shape \(0, 3\)\): a Jacobian needs at least one input"),
        ([], r"x holds no arrays: a Jacobian needs an input"),
        ({"a": ()}, r"x holds no arrays"),
        (np.array([1.0, np.nan]), r"x is not finite: give a point without NaN or inf"),
        (np.array(np.inf), r"x is not finite"),
        ((np.ones(2), np.arange(2)), r"x is of dtype int64"),
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
