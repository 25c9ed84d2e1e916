"""HIPS autograd's methods for every operator, each held against the complex step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("autograd")

import autograd.numpy as anp
from autograd.extend import defvjp, primitive
from jacbench_autograd import descriptor

import jacbench as jb
from jacbench.backend import Prepared, Target, registry
from jacbench.core import tree
from jacbench.core.errors import JacbenchError
from jacbench.problems.problem import Problem
from tests.backends import answers

OPERATORS = {
    name: [info.name for info in descriptor.methods if info.operator == name and not info.structure]
    for name in sorted({info.operator for info in descriptor.methods if not info.structure})
}
PLAIN = sorted(answers.PLAIN)
BATCHES = sorted(answers.BATCHES)


def placed(value: Any, dtype: str) -> Any:
    backend = registry.load("autograd")
    return tree.map_leaves(lambda leaf: backend.put(leaf, "cpu", dtype), value)


def target(problem: Problem, operator: str = "jacobian", dtype: str = "float64") -> Target:
    y_shape = answers.value(problem, problem.x).shape
    rng = np.random.default_rng(5)
    vector: Any = None
    if operator == "vjp":
        vector = placed(np.asarray(rng.standard_normal(y_shape)), dtype)
    if operator == "jvp":
        vector = placed(
            tree.map_leaves(lambda leaf: np.asarray(rng.standard_normal(leaf.shape)), problem.x),
            dtype,
        )
    return Target(
        function=problem.bound("autograd", registry.load("autograd").xp),
        x=placed(problem.x, dtype),
        constants=tuple(placed(constant, dtype) for constant in problem.constants),
        y_shape=y_shape,
        device="cpu",
        dtype=dtype,
        vector=vector,
        in_axes=problem.in_axes or (),
        has_aux=problem.has_aux,
    )


def of_function(function: Any, x: Any, y_shape: tuple[int, ...], **rest: Any) -> Target:
    return Target(
        function=function,
        x=x,
        constants=(),
        y_shape=y_shape,
        device="cpu",
        dtype="float64",
        **rest,
    )


def prepare(method: str, problem: Problem, dtype: str = "float64") -> tuple[Prepared, Target]:
    chosen = registry.method(method)
    made = target(problem, chosen.info.operator, dtype)
    return chosen.prepare(made), made


def flat(value: Any) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in tree.leaves(value)])


def shapes(value: Any) -> list[tuple[int, ...]]:
    return [np.shape(leaf) for leaf in tree.leaves(value)]


DTYPES = {"float64": 1e-14, "float32": 1e-6}


def right(method: str, made: Target, native: Any, expected: np.ndarray) -> None:
    chosen = registry.method(method)
    y, xs = made.y_shape, shapes(made.x)
    rows, columns = {"vjp": ((), xs), "jvp": (y, [()])}.get(chosen.info.operator, (y, xs))
    declared = chosen.layout(made)
    assert shapes(native) == declared.shapes(rows, columns)
    assert {str(leaf.dtype) for leaf in tree.leaves(native)} == {made.dtype}
    matrix = declared.matrix(tree.leaves(native), int(np.prod(rows, dtype=int)))
    assert answers.distance(matrix, expected) <= DTYPES[made.dtype]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("method", OPERATORS["jacobian"])
def test_jacobian(method: str, name: str, dtype: str) -> None:
    problem = answers.PLAIN[name]
    prepared, made = prepare(method, problem, dtype)
    for x in (problem.elsewhere, problem.x):
        right(method, made, prepared.call(placed(x, dtype)), answers.jacobian(problem, x))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("method", OPERATORS["vjp"])
def test_vjp(method: str, name: str, dtype: str) -> None:
    problem = answers.PLAIN[name]
    prepared, made = prepare(method, problem, dtype)
    for x in (problem.elsewhere, problem.x):
        found = prepared.call(placed(x, dtype))
        assert tree.names(found) == tree.names(problem.x)
        v = np.ravel(made.vector)[None, :].astype(float)
        right(method, made, found, v @ answers.jacobian(problem, x))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("method", OPERATORS["jvp"])
def test_jvp(method: str, name: str, dtype: str) -> None:
    problem = answers.PLAIN[name]
    prepared, made = prepare(method, problem, dtype)
    for x in (problem.elsewhere, problem.x):
        t = flat(made.vector)[:, None].astype(float)
        found = prepared.call(placed(x, dtype))
        right(method, made, found, answers.jacobian(problem, x) @ t)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("method", OPERATORS["value_and_jacobian"])
def test_value_and_jacobian(method: str, name: str, dtype: str) -> None:
    problem = answers.PLAIN[name]
    prepared, made = prepare(method, problem, dtype)
    for x in (problem.elsewhere, problem.x):
        y, J = prepared.call(placed(x, dtype))
        expected = answers.value(problem, x)
        assert (y.shape, y.dtype) == (expected.shape, dtype)
        assert answers.distance(y, expected) <= DTYPES[dtype]
        right(method, made, J, answers.jacobian(problem, x))


def test_aux_comes_unboxed_beside_the_value() -> None:
    problem = answers.with_aux(answers.TREE)
    prepared, _ = prepare("autograd.value-and-vjp-loop", problem)
    (y, aux), J = prepared.call(problem.x)
    expected = answers.value(answers.TREE, problem.x)
    assert answers.distance(y, expected) <= 1e-15
    assert type(aux) is dict
    assert {type(leaf) for leaf in tree.leaves(aux)} <= {np.ndarray, np.float64}
    assert answers.distance(aux["twice"], 2 * expected) <= 1e-15
    assert answers.distance(aux["rest"][0], expected.sum()) <= 1e-14
    assert np.array_equal(aux["rest"][1], [1.0, 2.0])
    matrix = np.concatenate([leaf.reshape(expected.size, -1) for leaf in J], axis=1)
    assert answers.distance(matrix, answers.jacobian(answers.TREE, problem.x)) <= 1e-14


def test_aux_that_is_the_boxed_input_itself() -> None:
    x = {"a": np.array([1.0, 2.0])}
    made = of_function(lambda x: (x["a"] ** 2, x), x, (2,), has_aux=True)
    (_, aux), _ = registry.method("autograd.value-and-vjp-loop").prepare(made).call(x)
    assert type(aux["a"]) is np.ndarray
    assert np.array_equal(aux["a"], x["a"])


@pytest.mark.parametrize("has_aux", [False, True])
def test_one_evaluation_gives_both(has_aux: bool) -> None:
    calls = []

    def function(x: Any) -> Any:
        calls.append(x)
        y = anp.sin(x)
        return (y, 2 * y) if has_aux else y

    x = np.array([0.1, 0.2, 0.3])
    made = of_function(function, x, (3,), has_aux=has_aux)
    call = registry.method("autograd.value-and-vjp-loop").prepare(made).call
    calls.clear()
    call(x)
    assert len(calls) == 1


# --- batches ---


def cases() -> list[tuple[str, str]]:
    return [
        (method, name)
        for method in OPERATORS["batch_jacobian"]
        for name in BATCHES
        if (method, name) != ("autograd.sum-trick", "shared x")
    ]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("method", "name"), cases())
def test_batch_jacobian(method: str, name: str, dtype: str) -> None:
    problem = answers.BATCHES[name]
    prepared, _ = prepare(method, problem, dtype)
    for x in (problem.elsewhere, problem.x):
        found = prepared.call(placed(x, dtype))
        assert tree.names(found) == tree.names(x)
        expected = answers.batch_jacobian(problem, x)
        assert shapes(found) == shapes(expected)
        for leaf, block in zip(tree.leaves(found), expected, strict=True):
            assert str(leaf.dtype) == dtype
            assert answers.distance(leaf, block) <= DTYPES[dtype]


def test_the_sum_trick_declines_an_x_that_samples_share() -> None:
    method, shared = registry.method("autograd.sum-trick"), answers.BATCHES["shared x"]
    reason = method.unsupported(shared, "batch_jacobian", "cpu", "float64")
    assert reason is not None
    assert "the samples share x" in reason
    with pytest.raises(JacbenchError, match="the samples share x"):
        method.prepare(target(shared, "batch_jacobian"))
    own = answers.BATCHES["first axis"]
    assert method.unsupported(own, "batch_jacobian", "cpu", "float64") is None


@pytest.mark.parametrize(
    ("method", "expected"), [("autograd.sum-trick", 3), ("autograd.sample-loop", 15)]
)
def test_passes_through_a_batch_of_5_with_3_outputs(method: str, expected: int) -> None:
    passes = []

    @primitive
    def square(x: Any) -> Any:
        return x**2

    def pull(ans: Any, x: Any) -> Any:
        def pulled(g: Any) -> Any:
            passes.append(g.shape)
            return 2 * x * g

        return pulled

    defvjp(square, pull)
    made = of_function(square, np.ones((5, 3)), (5, 3), in_axes=(0,))
    registry.method(method).prepare(made).call(made.x)
    assert len(passes) == expected


# --- what a call must keep to itself ---


def everything() -> list[tuple[str, Problem]]:
    plain = [
        (method, answers.PLAIN[name])
        for operator, methods in OPERATORS.items()
        if operator != "batch_jacobian"
        for method in methods
        for name in PLAIN
    ]
    return [*plain, *((method, answers.BATCHES[name]) for method, name in cases())]


@pytest.mark.parametrize(("method", "problem"), everything())
def test_writing_to_an_answer_changes_no_later_one(method: str, problem: Problem) -> None:
    prepared, _ = prepare(method, problem)
    x = placed(problem.x, "float64")
    first = prepared.call(x)
    derivative = first[1] if isinstance(first, tuple) else first
    kept = flat(derivative)
    assert kept.any()
    for leaf in tree.leaves(derivative):
        if isinstance(leaf, np.ndarray):
            leaf[...] = 7.0
    again = prepared.call(x)
    assert np.array_equal(flat(again[1] if isinstance(again, tuple) else again), kept)


@pytest.mark.filterwarnings("ignore:Output seems independent:UserWarning")
@pytest.mark.parametrize("method", [m for o in OPERATORS.values() for m in o])
def test_an_output_without_inputs_has_a_derivative_of_zeros(method: str) -> None:
    x, c = np.ones((3, 2)), np.ones((3, 2))
    problem = Problem(name="none", function=lambda xp, x, c: c, x=x, constants=(c,), in_axes=(0, 0))
    found = prepare(method, problem)[0].call(x)
    derivative = flat(found[1] if isinstance(found, tuple) else found)
    assert derivative.size
    assert not derivative.any()


def test_two_reverse_passes_need_no_forward_rule() -> None:
    def function(x: Any) -> Any:
        return anp.linalg.slogdet(x)[1]

    x = np.eye(3) + 0.1 * np.arange(9.0).reshape(3, 3)
    made = of_function(function, x, (), vector=np.ones((3, 3)))
    with pytest.raises(NotImplementedError, match=r"JVP of .* not defined"):
        registry.method("autograd.make_jvp").prepare(made).call(x)
    found = registry.method("autograd.make_jvp_reversemode").prepare(made).call(x)
    assert found == pytest.approx(np.linalg.inv(x).sum(), rel=1e-13)


def test_the_witnesses_are_methods_for_the_jacobian() -> None:
    witnesses = registry.load("autograd").witnesses
    assert len(witnesses) == 2
    assert {registry.method(name).info.operator for name in witnesses} == {"jacobian"}


def test_a_jacobian_inside_of_another_is_right_or_refused() -> None:
    x = np.array([1.0, 2.0])

    def inner(v: Any, method: str) -> Any:
        return jb.jacobian(lambda w: w**3, v, method)

    J = jb.jacobian(lambda v: inner(v, "autograd.jacobian"), x, "autograd.jacobian")
    assert np.allclose(J[0, 0], [6.0, 0.0])
    assert np.allclose(J[1, 1], [0.0, 12.0])
    for method in ("autograd.vjp-loop", "autograd.jvp"):
        with pytest.raises(
            JacbenchError, match=r"inside of another derivative .*autograd\.jacobian"
        ):
            jb.jacobian(lambda v, m=method: inner(v, m), x, "autograd.jacobian")
