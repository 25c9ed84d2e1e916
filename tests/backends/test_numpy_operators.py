"""The oracles in plain NumPy for every operator: right, and declined where they cannot be."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from jacbench_numpy import descriptor, xp

from jacbench.backend import Prepared, Target, registry
from jacbench.core import tree
from jacbench.problems.problem import Problem
from tests.backends import answers

# with the Jacobian "by hand" computed by the complex step, so that the operators alone are tested
PLAIN = {
    name: dataclasses.replace(
        problem, jacobian=lambda x, *constants, problem=problem: answers.jacobian(problem, x)
    )
    for name, problem in answers.PLAIN.items()
}
BATCHES = {
    name: dataclasses.replace(
        problem, jacobian=lambda x, *constants, problem=problem: answers.jacobian(problem, x)
    )
    for name, problem in answers.BATCHES.items()
}
JVPS = ("numpy.analytic-jvp", "numpy.central-difference-jvp", "numpy.complex-step-jvp")
DIFFERENCES = ("numpy.central-difference", "numpy.central-difference-jvp")
DTYPES = ("float64", "float32")


def limit(method: str, dtype: str) -> float:
    exact = {"float64": 1e-14, "float32": 1e-6}[dtype]
    return registry.method(method).tolerance(dtype) or exact


def single(value: Any, dtype: str) -> Any:
    return tree.map_leaves(lambda leaf: np.asarray(leaf, dtype), value)


def target(problem: Problem, vector: Any = None, dtype: str = "float64") -> Target:
    return Target(
        function=problem.bound("numpy", xp),
        x=single(problem.x, dtype),
        constants=tuple(single(constant, dtype) for constant in problem.constants),
        y_shape=answers.value(problem, problem.x).shape,
        device="cpu",
        dtype=dtype,
        analytic=problem.jacobian,
        vector=vector,
        in_axes=problem.in_axes or (),
        has_aux=problem.has_aux,
    )


def prepare(method: str, problem: Problem, vector: Any = None, dtype: str = "float64") -> Prepared:
    return registry.method(method).prepare(target(problem, vector, dtype))


def tangent(problem: Problem, scale: float = 1.0) -> Any:
    rng = np.random.default_rng(4)
    return tree.map_leaves(lambda leaf: scale * rng.standard_normal(leaf.shape) * 1.0, problem.x)


def flat(value: Any) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in tree.leaves(value)])


@pytest.mark.parametrize("name", PLAIN)
def test_analytic_value(name: str) -> None:
    problem = PLAIN[name]
    y, J = prepare("numpy.analytic-value", problem).call(problem.x)
    assert np.array_equal(y, answers.value(problem, problem.x))
    assert np.array_equal(J, answers.jacobian(problem, problem.x))


def test_analytic_value_with_aux() -> None:
    problem = dataclasses.replace(
        answers.with_aux(answers.TREE), jacobian=lambda x, c: answers.jacobian(answers.TREE, x)
    )
    (y, aux), J = prepare("numpy.analytic-value", problem).call(problem.x)
    assert np.array_equal(y, answers.value(answers.TREE, problem.x))
    assert np.array_equal(aux["twice"], 2 * y)
    assert np.array_equal(J, answers.jacobian(answers.TREE, problem.x))


def test_analytic_value_evaluates_once() -> None:
    calls = []

    def function(xp: Any, x: Any) -> Any:
        calls.append(x)
        return xp.sum(x * x)

    problem = Problem(name="count", function=function, x=np.ones(3), jacobian=lambda x: 2 * x[None])
    call = prepare("numpy.analytic-value", problem).call
    calls.clear()
    y, _ = call(problem.x)
    assert (len(calls), y) == (1, 3.0)


@pytest.mark.parametrize("name", BATCHES)
def test_analytic_batch(name: str) -> None:
    problem = BATCHES[name]
    method = registry.method("numpy.analytic-batch")
    made = target(problem)
    for x in (problem.elsewhere, problem.x):
        blocks = answers.batch_jacobian(problem, x)
        expected = np.concatenate([b.reshape(np.prod(made.y_shape), -1) for b in blocks], axis=1)
        found = method.prepare(made).call(x)
        sample_shapes = [b.shape[len(made.y_shape) :] for b in blocks]
        assert [found.shape] == method.layout(made).shapes(made.y_shape, sample_shapes)
        assert answers.distance(found, expected) <= 1e-15


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", PLAIN)
def test_analytic_vjp(name: str, dtype: str) -> None:
    problem = PLAIN[name]
    y = answers.value(problem, problem.x)
    v = np.asarray(np.random.default_rng(4).standard_normal(y.shape))
    found = prepare("numpy.analytic-vjp", problem, v, dtype).call(problem.x)
    assert tree.names(found) == tree.names(problem.x)
    assert [leaf.shape for leaf in tree.leaves(found)] == problem.leaf_shapes
    expected = np.ravel(v) @ answers.jacobian(problem, problem.x)
    assert answers.distance(flat(found), expected) <= 1e-14


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("method", JVPS)
def test_jvp(method: str, name: str, dtype: str) -> None:
    problem = PLAIN[name]
    t = single(tangent(problem), dtype)
    call = prepare(method, problem, t, dtype).call
    for x in (problem.elsewhere, problem.x):
        found = call(single(x, dtype))
        assert found.shape == answers.value(problem, x).shape
        assert found.dtype == dtype or method == "numpy.analytic-jvp"
        expected = answers.jacobian(problem, x) @ flat(t)
        assert answers.distance(found.ravel(), expected) <= limit(method, dtype)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", JVPS[1:])
def test_the_step_is_scaled_to_the_tangent(method: str, dtype: str, scale: float) -> None:
    problem = answers.TREE
    t = single(tangent(problem, scale), dtype)
    found = prepare(method, problem, t, dtype).call(single(problem.x, dtype)).astype(float)
    expected = answers.jacobian(problem, problem.x) @ (flat(t).astype(float) / scale)
    assert answers.distance(found.ravel() / scale, expected) <= limit(method, dtype)


@pytest.mark.parametrize("method", JVPS[1:])
def test_a_tangent_of_zeros(method: str) -> None:
    problem = answers.TREE
    t = tree.map_leaves(np.zeros_like, problem.x)
    assert not prepare(method, problem, t).call(problem.x).any()


def test_inputs_of_very_different_sizes() -> None:
    # a step for the large one would be far too long for the small one
    problem = Problem(
        name="scales", function=lambda xp, x: xp.sin(x[1:]) + 1e-4 * x[:1], x=np.array([1e4, 0.5])
    )
    found = prepare("numpy.central-difference-jvp", problem, np.array([1.0, 1.0])).call(problem.x)
    assert found == pytest.approx(np.cos(0.5) + 1e-4, rel=1e-8)


@pytest.mark.parametrize(("dtype", "limit"), [("float64", 1e-15), ("float32", 1e-7)])
def test_differences_divide_by_the_width_really_taken(dtype: str, limit: float) -> None:
    # of the identity: the ends are off by their rounding, and so is the width that is meant
    x = np.random.default_rng(5).uniform(0.5, 3.0, 20)
    problem = Problem(name="identity", function=lambda xp, x: x, x=x)
    J = prepare("numpy.central-difference", problem, dtype=dtype).call(single(x, dtype))
    assert np.abs(J - np.eye(20)).max() <= limit


@pytest.mark.parametrize("method", ["numpy.central-difference", "numpy.complex-step"])
def test_an_input_in_fortran_order(method: str) -> None:
    # a flat view of a copy in the same order would be a copy again: no entry would move
    x = np.arange(1.0, 7.0).reshape(2, 3).T
    found = prepare(method, Problem(name="t", function=lambda xp, x: x * x, x=x)).call(x)
    assert answers.distance(found, np.diag(2 * x.ravel())) <= limit(method, "float64")


# --- where they decline ---


def reason(method: str, problem: Problem | None, dtype: str = "float64") -> str | None:
    chosen = registry.method(method)
    return chosen.unsupported(problem, chosen.info.operator, "cpu", dtype)


@pytest.mark.parametrize("method", DIFFERENCES)
def test_differences_decline_a_cut(method: str) -> None:
    cut = Problem(
        name="cut",
        function=lambda xp, x: xp.stop_gradient(x * x) * x,
        x=np.array([1.0, 2.0]),
        stops_gradient=True,
    )
    assert (reason(method, cut) or "").startswith("differences see through the cut: ")
    # and rightly so: asked all the same, they would be wrong
    found = prepare(method, cut, np.ones(2)).call(cut.x)
    assert answers.distance(found.ravel(), np.diag([1.0, 4.0]).ravel()[: found.size]) > 1


def test_the_complex_step_respects_a_cut() -> None:
    cut = Problem(
        name="cut",
        function=lambda xp, x: xp.stop_gradient(x * x) * x,
        x=np.array([1.0, 2.0]),
        stops_gradient=True,
    )
    assert reason("numpy.complex-step", cut) is None
    assert reason("numpy.complex-step-jvp", cut) is None
    assert np.allclose(prepare("numpy.complex-step", cut).call(cut.x), np.diag([1.0, 4.0]), 1e-15)
    found = prepare("numpy.complex-step-jvp", cut, np.array([3.0, 1.0])).call(cut.x)
    assert np.allclose(found, [3.0, 4.0], rtol=1e-15)


def test_a_function_that_is_cut_altogether() -> None:
    cut = Problem(name="cut", function=lambda xp, x: xp.stop_gradient(x), x=np.ones(2))
    assert np.array_equal(prepare("numpy.complex-step", cut).call(cut.x), np.zeros((2, 2)))
    assert not prepare("numpy.complex-step-jvp", cut, np.ones(2)).call(cut.x).any()


def crossing(distance: float, n: int = 1) -> Problem:
    return Problem(
        name="kink",
        function=lambda xp, x: xp.abs(xp.sum(x)),
        x=np.full(n, distance / n),
        elsewhere=np.full(n, distance / n),
        kink_distance=distance,
    )


@pytest.mark.parametrize("method", DIFFERENCES)
def test_differences_decline_to_cross_a_kink(method: str) -> None:
    step = float(np.finfo(float).eps) ** (1 / 3)
    assert reason(method, crossing(1.01 * step)) is None
    assert "would cross a kink" in (reason(method, crossing(0.99 * step)) or "")
    assert "would cross a kink" in (reason(method, crossing(1.01 * step), "float32") or "")


def test_a_direction_moves_all_inputs_towards_a_kink() -> None:
    # 16 inputs at once move as far as 16 steps of one, and that far is really reached
    step = float(np.finfo(float).eps) ** (1 / 3)
    near, far = crossing(15.9 * step, n=16), crossing(16.1 * step, n=16)
    for problem in (near, far):
        assert reason("numpy.central-difference", problem) is None
    assert "would cross a kink" in (reason("numpy.central-difference-jvp", near) or "")
    assert reason("numpy.central-difference-jvp", far) is None
    found = [
        prepare("numpy.central-difference-jvp", problem, np.ones(16)).call(problem.x)
        for problem in (near, far)
    ]
    assert found[0] != pytest.approx(16, rel=1e-4)
    assert found[1] == pytest.approx(16, rel=1e-8)


@pytest.mark.parametrize(
    "method", [i.name for i in descriptor.methods if i.name.startswith("numpy.analytic")]
)
def test_what_needs_a_hand_written_jacobian_says_so(method: str) -> None:
    assert reason(method, answers.TREE) == "problem 'tree' has no hand-written Jacobian"
    assert reason(method, None) == "a native function has no hand-written Jacobian"
    assert reason(method, PLAIN["tree"]) is None
