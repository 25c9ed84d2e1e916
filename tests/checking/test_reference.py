"""What every method is held against: analytic, or numerical and confirmed; or one clear line."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from jacbench import problems
from jacbench.checking.evidence import whole_differences
from jacbench.checking.evidence.differences import Differences
from jacbench.checking.reference import outputs, reference
from jacbench.core.errors import JacbenchError
from jacbench.problems.counted_function import Calls
from jacbench.problems.problem import Problem

A = np.array([[1.0, -2.0, 0.5], [0.3, 0.7, -1.1]])
X = np.array([0.3, -0.4, 0.9])


def make(function: Callable[..., Any], **parts: Any) -> Problem:
    return Problem(**{"name": "mine", "function": function, "x": X, "constants": (A,)} | parts)


def smooth(xp: Any, x: Any, A: Any) -> Any:
    return xp.tanh(A @ x)


def exact(x: Any, A: Any) -> np.ndarray:
    return (1 - np.tanh(A @ x) ** 2)[:, None] * A


def distance(J: np.ndarray, R: np.ndarray) -> float:
    return float(np.linalg.norm(J - R) / np.linalg.norm(R))


# --- where it comes from ---


def test_analytic_jacobian_is_the_reference() -> None:
    found = reference(make(smooth, jacobian=exact), "float64")
    assert (found.kind, found.error, found.m) == ("analytic", 0.0, 2)
    assert np.array_equal(found.here.jacobian, exact(X, A))
    assert np.array_equal(found.elsewhere.jacobian, exact(found.elsewhere.x, A))
    assert not np.array_equal(found.elsewhere.x, found.here.x)


def test_without_one_the_complex_step_is() -> None:
    found = reference(make(smooth), "float64")
    assert (found.kind, found.error) == ("complex-step", 0.0)
    for point in (found.here, found.elsewhere):
        assert distance(point.jacobian, exact(point.x, A)) < 1e-14


@pytest.mark.parametrize("name", ["basics/mlp-weights", "basics/logistic-loss", "shape/small"])
def test_complex_step_gives_what_was_written_by_hand(name: str) -> None:
    problem = problems.get(name)
    bare = Problem(name="bare", function=problem.function, x=problem.x, constants=problem.constants)
    found, hand = reference(bare, "float64"), reference(problem, "float64")
    assert found.kind == "complex-step"
    assert distance(found.here.jacobian, hand.here.jacobian) < 1e-13


def real_part_by_asarray(xp: Any, x: Any, A: Any) -> Any:
    return xp.tanh(A @ xp.asarray(x.real))


def real_part_of_some(xp: Any, x: Any, A: Any) -> Any:
    # half of the derivative survives, so that no test for zeros would see it
    return xp.tanh(A @ x) + A @ xp.asarray(x.real)


def numpy_abs(xp: Any, x: Any, A: Any) -> Any:
    return np.abs(xp.tanh(A @ x))


def refuses_complex(xp: Any, x: Any, A: Any) -> Any:
    if x.dtype.kind == "c":
        raise TypeError("no complex numbers here")
    return xp.tanh(A @ x)


def to_float(xp: Any, x: Any, A: Any) -> Any:
    return xp.tanh(A @ x.astype(np.float64))


@pytest.mark.filterwarnings("ignore:Casting complex values:numpy.exceptions.ComplexWarning")
@pytest.mark.parametrize(
    ("function", "jacobian"),
    [
        (real_part_by_asarray, exact),
        (real_part_of_some, lambda x, A: exact(x, A) + A),
        (numpy_abs, lambda x, A: np.sign(np.tanh(A @ x))[:, None] * exact(x, A)),
        (refuses_complex, exact),
        (to_float, exact),
    ],
)
def test_central_differences_where_the_complex_step_is_silently_wrong(
    function: Callable[..., Any], jacobian: Callable[..., Any]
) -> None:
    found = reference(make(function), "float64")
    assert found.kind == "central-difference"
    assert 0 < found.error < 1e-8
    for point in (found.here, found.elsewhere):
        error = distance(point.jacobian, jacobian(point.x, A))
        assert 0 < error < found.error


def test_a_direction_in_which_the_product_nearly_cancels_confirms_all_the_same() -> None:
    # along one of the random directions the only output hardly moves
    first = np.random.default_rng(0).standard_normal(3)
    row = np.cross(first, [1.0, -2.0, 0.5]) + 1e-4 * first
    problem = make(lambda xp, x, A: xp.sin(A @ x), constants=(row[None, :],))
    found = reference(problem, "float64")
    assert found.kind == "complex-step"
    assert distance(found.here.jacobian, np.cos(row @ X) * row[None, :]) < 1e-14


def test_what_is_wrong_in_one_entry_is_not_confirmed() -> None:
    calls = Calls(make(smooth), "numpy")
    right = exact(X, A)
    wrong = right.copy()
    wrong[1, 2] += 1e-6
    around = Differences(lambda x: calls.value(x, (A,)), X, np.tanh(A @ X))
    assert whole_differences.confirm(around, right).holds
    for J in (wrong, 0 * right, 2 * right, right[::-1], right * np.nan):
        told = whole_differences.confirm(around, J)
        assert told.denied
        assert not told.holds


def test_the_second_point_is_confirmed_too() -> None:
    def branches(xp: Any, x: Any, A: Any) -> Any:
        # wrong under the complex step, and only where x is small
        return xp.tanh(A @ x) if xp.sum(xp.square(x)) > 1 else np.abs(A @ x)

    small = np.array([0.1, -0.3, 0.2])
    found = reference(make(branches, elsewhere=small), "float64")
    assert found.kind == "central-difference"
    for point, right in (
        (found.here, exact(X, A)),
        (found.elsewhere, np.sign(A @ small)[:, None] * A),
    ):
        assert distance(point.jacobian, right) < found.error


def test_leaves_without_effect_are_named() -> None:
    def function(xp: Any, x: Any, A: Any) -> Any:
        a, (b, c), _ = x
        return xp.sin(a) * xp.sum(b) ** 2 + 0 * c

    x = (np.ones(2), (np.array([1.0, -1.0]), np.ones(2)), np.ones(()))
    # by b it is zero at the first point alone
    found = reference(make(function, x=x), "float64")
    assert found.unused == ["[1][1]", "[2]"]
    assert reference(make(smooth), "float64").unused == []


def test_what_stands_beside_the_value_is_kept() -> None:
    def function(xp: Any, x: Any, A: Any) -> Any:
        z = A @ x
        return xp.tanh(z), {"z": z, "above": xp.sum(z > 0)}

    found = reference(make(function, has_aux=True), "float64")
    assert found.kind == "complex-step"
    for point in (found.here, found.elsewhere):
        assert distance(point.jacobian, exact(point.x, A)) < 1e-14
        assert np.array_equal(point.aux["z"], A @ point.x)
        assert point.aux["above"] == np.sum(A @ point.x > 0)
    assert reference(make(smooth), "float64").here.aux is None


def test_a_tree_is_confirmed_leaf_by_leaf() -> None:
    def function(xp: Any, x: Any) -> Any:
        return xp.tanh(x["b"]) * x["a"][0] + xp.asarray(x["a"][1].real)

    x = {"b": np.array([0.2, 0.5]), "a": (np.array(1.5), np.array([0.1, 0.7]))}
    found = reference(Problem(name="tree", function=function, x=x), "float64")
    assert found.kind == "central-difference"
    b = np.tanh(x["b"])
    expected = np.column_stack([b, np.eye(2), np.diag(1.5 * (1 - b**2))])
    assert distance(found.here.jacobian, expected) < found.error


def test_single_precision_points_are_representable() -> None:
    problem = make(smooth, jacobian=exact, x=np.full(3, 1 / 3))
    found = reference(problem, "float32")
    for value in (found.here.x, found.elsewhere.x, *found.here.constants):
        assert value.dtype == np.float64
        assert np.array_equal(value, value.astype(np.float32))
    # rounding the point moves the answer; the reference is that of the rounded point
    assert np.array_equal(found.here.jacobian, exact(found.here.x, found.here.constants[0]))
    assert not np.array_equal(found.here.jacobian, exact(problem.x, A))


def test_outputs_is_the_shape_of_the_value() -> None:
    assert outputs(make(lambda xp, x, A: xp.sum(x))) == ()
    assert outputs(make(lambda xp, x, A: A * x)) == (2, 3)


def test_a_function_that_writes_to_x_spoils_no_point_and_is_told() -> None:
    def writes(xp: Any, x: Any, A: Any) -> Any:
        y = A @ x
        x[:] = 0
        return y

    problem, before = make(writes, jacobian=lambda x, A: A), X.copy()
    with pytest.raises(JacbenchError, match="its function writes into its argument: x is another"):
        reference(problem, "float64")
    assert np.array_equal(X, before)
    assert np.array_equal(problem.x, before)


# --- what is refused, in one line each ---


def refused(problem: Problem) -> str:
    with pytest.raises(JacbenchError) as caught:
        reference(problem, "float64")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("problem 'mine': ")
    return message


@pytest.mark.parametrize(
    ("jacobian", "shape"),
    [
        (lambda x, A: exact(x, A).T, r"\(3, 2\)"),
        (lambda x, A: exact(x, A)[:1], r"\(1, 3\)"),
        (lambda x, A: exact(x, A).ravel(), r"\(6,\)"),
        (lambda x, A: exact(x, A)[None], r"\(1, 2, 3\)"),
    ],
)
def test_analytic_jacobian_of_another_shape(jacobian: Callable[..., Any], shape: str) -> None:
    message = refused(make(smooth, jacobian=jacobian))
    assert re.search(
        rf"its reference Jacobian has shape {shape}, not \(2, 3\): return one", message
    )


def test_analytic_jacobian_that_is_not_finite() -> None:
    message = refused(make(smooth, jacobian=lambda x, A: np.full((2, 3), np.nan)))
    assert "its reference Jacobian is not finite: choose a point where" in message


def test_a_cut_needs_a_hand_written_jacobian() -> None:
    def cut(xp: Any, x: Any, A: Any) -> Any:
        return xp.tanh(A @ xp.stop_gradient(x)) * x[0]

    assert refused(make(cut, stops_gradient=True)) == (
        "problem 'mine': it stops gradients, which no difference quotient sees: give its Jacobian "
        "as jacobian="
    )
    problem = Problem(
        name="mine", native={"numpy": lambda x: x * x}, x=np.ones(2), stops_gradient=True
    )
    assert "it stops gradients" in refused(problem)

    def by_hand(x: Any, A: Any) -> np.ndarray:
        return np.tanh(A @ x)[:, None] * [1, 0, 0]

    found = reference(make(cut, stops_gradient=True, jacobian=by_hand), "float64")
    assert np.array_equal(found.here.jacobian, by_hand(X, A))


def test_a_function_with_aux_must_return_a_pair() -> None:
    for returned, name in ((lambda y: y, "ndarray"), (lambda y: (y, y, y), "tuple")):
        message = refused(make(lambda xp, x, A, r=returned: r(A @ x), has_aux=True))
        assert message == (
            f"problem 'mine': has_aux is True and its function returned a {name}: return (y, aux)"
        )


def raises(xp: Any, x: Any, A: Any) -> Any:
    raise KeyError("a key\nover two lines")


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
@pytest.mark.parametrize(
    ("function", "message"),
    [
        (raises, r"its function raised KeyError: .*a key.*: call it at this point yourself"),
        (lambda xp, x: x, r"its function raised TypeError: .* positional argument"),
        (lambda xp, x, A: None, r"its function returned None, not an array: return one array"),
        (lambda xp, x, A: [x, x], r"its function returned a list, not an array: return one array"),
        (lambda xp, x, A: {"y": x}, r"its function returned a dict, not an array"),
        (lambda xp, x, A: 1.5, r"returned the Python float 1\.5, not an array: return a 0-d"),
        (lambda xp, x, A: True, r"returned the Python bool True, not an array"),
        (lambda xp, x, A: xp.asarray([1, 2]), r"an array of dtype int64, which has no derivative"),
        (lambda xp, x, A: x > 0, r"an array of dtype bool, which has no derivative"),
        (lambda xp, x, A: x * 1j, r"returned complex numbers \(complex128\): return real ones"),
        (lambda xp, x, A: xp.log(-(x**2)), r"returned nan at y\[0\]: choose a point where it is"),
        (lambda xp, x, A: 1 / (x - X[2]), r"returned inf at y\[2\]: choose a point where it is"),
        (lambda xp, x, A: x[:0], r"returned an empty array \(shape \(0,\)\): a Jacobian needs at"),
    ],
)
def test_function_without_a_jacobian(function: Callable[..., Any], message: str) -> None:
    assert re.search(message, refused(make(function)))


def test_what_the_function_raised_is_kept() -> None:
    with pytest.raises(JacbenchError) as caught:
        reference(make(raises), "float64")
    assert isinstance(caught.value.__cause__, KeyError)


def test_other_outputs_at_the_second_point() -> None:
    def positive(xp: Any, x: Any, A: Any) -> Any:
        return x[x > 0]

    message = refused(make(positive, elsewhere=np.array([0.3, -0.4, -0.9])))
    assert re.search(r"returned 2 outputs \(shape \(2,\)\) at x and 1 \(shape \(1,\)\) at", message)
    assert message.endswith("a Jacobian needs a fixed number")


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_not_finite_at_the_second_point_only() -> None:
    problem = make(lambda xp, x, A: xp.log(x), x=np.ones(2), elsewhere=np.array([1.0, -1.0]))
    assert "its function returned nan at y[1]" in refused(problem)


@pytest.mark.filterwarnings("ignore:Casting complex values:numpy.exceptions.ComplexWarning")
@pytest.mark.parametrize("index", range(3))
def test_one_direction_that_confirms_is_not_enough(index: int) -> None:
    # the complex step loses a part of the slope, which one of the random directions does not see
    rng = np.random.default_rng(0)
    seen = [rng.standard_normal(3) for _ in range(3)][index]
    w = np.cross(seen, [1.0, -2.0, 0.5])

    def loses_a_part(xp: Any, x: Any, A: Any) -> Any:
        return A @ x + np.asarray(x.real) @ w

    found = reference(make(loses_a_part), "float64")
    for point in (found.here, found.elsewhere):
        assert distance(point.jacobian, A + w) < 1e-6
