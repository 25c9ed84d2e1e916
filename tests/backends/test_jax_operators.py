"""JAX's methods of each operator against Jacobians worked out by hand, by themselves."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from jacbench.backend import Target, registry
from jacbench.core import operators, tree
from jacbench.core.errors import JacbenchError
from jacbench.core.operators.operator import Sizes
from jacbench.problems.problem import Problem

jax = pytest.importorskip("jax")
jnp = jax.numpy

pytestmark = pytest.mark.usefixtures("jax_float64")

DTYPES = ("float64", "float32")
LIMIT = {"float64": 1e-13, "float32": 1e-5}


def names_of(operator: str) -> list[str]:
    infos = registry.descriptors()["jax"].methods
    return [info.name for info in infos if info.operator == operator and not info.structure]


def put(value: Any, dtype: str) -> Any:
    backend = registry.load("jax")
    return tree.map_leaves(lambda leaf: backend.put(leaf, "cpu", dtype), value)


def target_of(function: Callable[..., Any], x: Any, *constants: Any, **rest: Any) -> Target:
    dtype = rest.pop("dtype", "float64")
    placed = [put(value, dtype) for value in (x, *constants)]
    value = function(*placed)
    return Target(
        function=function,
        x=placed[0],
        constants=tuple(placed[1:]),
        y_shape=(value[0] if rest.get("has_aux") else value).shape,
        device="cpu",
        dtype=dtype,
        **rest,
    )


def parts(method: str, target: Target, x: Any) -> tuple[Any, Any, list[np.ndarray]]:
    """Return value, aux and the arrays of the derivative, their declared shapes checked."""
    chosen = registry.method(method)
    operator = operators.get(chosen.info.operator)
    result = chosen.prepare(target).call(x)
    value, aux, derivative = operator.parts(result, has_aux=target.has_aux)
    axis = target.in_axes[0] if target.in_axes else None
    sizes = Sizes(target.y_shape, [leaf.shape for leaf in tree.leaves(target.x)], axis)
    arrays = [np.array(leaf) for leaf in tree.leaves(derivative)]
    expected = chosen.layout(target).shapes(*operator.shapes(sizes))
    assert [array.shape for array in arrays] == expected
    assert {str(array.dtype) for array in arrays} == {target.dtype}
    assert all(isinstance(leaf, jax.Array) for leaf in tree.leaves(result))
    return value, aux, arrays


def check(found: list[np.ndarray], expected: list[np.ndarray], dtype: str) -> None:
    for one, other in zip(found, expected, strict=True):
        assert np.allclose(one.ravel(), other.ravel(), rtol=LIMIT[dtype], atol=LIMIT[dtype])


# y[i, k] = s (w[i] . c)^2 k, over a tree whose keys are not sorted

X = {"w": np.array([[0.3, -0.7, 0.2], [1.1, 0.4, -0.5]]), "s": (np.array(1.5),)}
ELSEWHERE = {"w": X["w"] * 2 - 1, "s": (np.array(-0.25),)}
C = np.array([0.6, -1.2, 0.9])
TIMES = np.array([1, 2], dtype=np.int32)


def function(x: Any, c: Any, times: Any) -> Any:
    return x["s"][0] * (x["w"] @ c)[:, None] ** 2 * times


def by_hand(x: Any) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return y and the blocks, in tree order: s, then w."""
    s, rows = x["s"][0], x["w"] @ C
    by_w = np.zeros((2, 2, 2, 3))
    for i in range(2):
        by_w[i, :, i] = 2 * s * rows[i] * TIMES[:, None] * C
    return s * rows[:, None] ** 2 * TIMES, [rows[:, None] ** 2 * TIMES, by_w]


# --- value and Jacobian ---


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", names_of("value_and_jacobian"))
def test_value_and_jacobian(method: str, dtype: str) -> None:
    target = target_of(function, X, C, TIMES, dtype=dtype)
    for point in (ELSEWHERE, X):
        y, aux, found = parts(method, target, put(point, dtype))
        value, blocks = by_hand(point)
        assert aux is None
        assert str(y.dtype) == dtype
        check([np.array(y), *found], [value, *blocks], dtype)


@pytest.mark.parametrize("method", names_of("value_and_jacobian"))
def test_aux_comes_as_the_function_returns_it(method: str) -> None:
    dtype = "float32"  # in which a leak of float64 shows

    def with_aux(x: Any, c: Any, times: Any) -> Any:
        rows = x["w"] @ c
        return function(x, c, times), {"rows": rows, "more": (times, rows > 0, rows.argmax())}

    target = target_of(with_aux, X, C, TIMES, dtype=dtype, has_aux=True)
    y, aux, found = parts(method, target, put(ELSEWHERE, dtype))
    value, blocks = by_hand(ELSEWHERE)
    rows = ELSEWHERE["w"] @ C
    check([np.array(y), *found], [value, *blocks], dtype)
    assert sorted(aux) == ["more", "rows"]
    times, positive, largest = aux["more"]
    check([np.array(aux["rows"])], [rows], dtype)
    assert (aux["rows"].dtype, times.dtype, positive.dtype) == (dtype, "int32", "bool")
    assert np.array_equal(times, TIMES)
    assert np.array_equal(positive, rows > 0)
    assert int(largest) == rows.argmax()


def evaluations(prepare: Callable[[Target], Callable[[Any], Any]]) -> tuple[int, int]:
    """Return how often the function is traced, and how often a call of what is made runs it."""
    traced, ran = [], []

    def counted(x: Any, c: Any, times: Any) -> Any:
        traced.append(1)
        jax.debug.callback(lambda _: ran.append(1), x["w"])
        return function(x, c, times)

    x, c, times = put(X, "float64"), put(C, "float64"), put(TIMES, "float64")
    call = prepare(
        Target(
            function=counted,
            x=x,
            constants=(c, times),
            y_shape=(2, 2),
            device="cpu",
            dtype="float64",
        )
    )
    tracings = len(traced)
    call(x)
    jax.effects_barrier()
    assert len(traced) == tracings
    return tracings, len(ran)


@pytest.mark.parametrize("method", names_of("value_and_jacobian"))
def test_one_evaluation_gives_both(method: str) -> None:
    assert evaluations(lambda target: registry.method(method).prepare(target).call) == (1, 1)


def test_two_evaluations_would_be_seen() -> None:
    def naive(target: Target) -> Callable[[Any], Any]:
        def both(x: Any, *constants: Any) -> Any:
            return target.function(x, *constants), jax.jacrev(target.function)(x, *constants)

        compiled = jax.jit(both).lower(target.x, *target.constants).compile()
        return lambda x: compiled(x, *target.constants)

    assert evaluations(naive) == (2, 2)


# --- batches ---


def batch_of(samples: int, axis: int) -> SimpleNamespace:
    """Return y[b, k, 0] = sin(x_b . w_k) t_b + u_b^2, samples along ``axis``, and its blocks."""
    rng = np.random.default_rng(3)
    x, u = rng.uniform(-1, 1, (samples, 2)), rng.uniform(-1, 1, samples)
    t, w = np.arange(1, samples + 1), rng.uniform(-1, 1, (2, 2))

    def of_batch(v: Any, t: Any, w: Any) -> Any:
        rows = v["x"] if axis % 2 == 0 else v["x"].T
        y = jnp.sin(rows @ w) * t[:, None] + v["u"].reshape(-1, 1) ** 2
        return y[..., None]

    by_x = (np.cos(x @ w) * t[:, None])[:, :, None, None] * w.T[None, :, None, :]
    by_u = np.broadcast_to(2 * u[:, None, None], (samples, 2, 1))
    point = {
        "x": x if axis % 2 == 0 else x.T,
        "u": u[:, None] if axis % 2 == 0 else u[None, :],
    }
    by_u = by_u[..., None]  # one sample's u is of shape (1,)
    return SimpleNamespace(of_batch=of_batch, x=point, constants=(t, w), blocks=[by_u, by_x])


@pytest.mark.parametrize(("axis", "dtype"), [(0, "float32"), (1, "float64"), (-1, "float64")])
@pytest.mark.parametrize("method", names_of("batch_jacobian"))
def test_batch_jacobian_by_the_samples(method: str, axis: int, dtype: str) -> None:
    batch = batch_of(5, axis)
    in_axes = (axis, 0, None)
    target = target_of(batch.of_batch, batch.x, *batch.constants, dtype=dtype, in_axes=in_axes)
    _, _, found = parts(method, target, target.x)
    check(found, batch.blocks, dtype)


SHARED = [name for name in names_of("batch_jacobian") if name != "jax.sum-trick"]


@pytest.mark.parametrize("method", SHARED)
def test_batch_jacobian_by_what_samples_share(method: str) -> None:
    rng = np.random.default_rng(4)
    data, w = rng.uniform(-1, 1, (3, 4)), rng.uniform(-1, 1, 4)

    def losses(w: Any, data: Any) -> Any:
        return jnp.exp(data @ w)

    target = target_of(losses, w, data, in_axes=(None, 0))
    assert target.y_shape == (3,)
    _, _, found = parts(method, target, target.x)
    check(found, [np.exp(data @ w)[:, None] * data], "float64")


@pytest.mark.parametrize("chunk_size", [1, 2, 5, 7])
def test_sample_loop_takes_a_chunk_size(chunk_size: int) -> None:
    assert registry.method("jax.sample-loop").chunking == "chunked"
    batch = batch_of(5, 0)
    target = target_of(
        batch.of_batch, batch.x, *batch.constants, in_axes=(0, 0, None), chunk_size=chunk_size
    )
    _, _, found = parts("jax.sample-loop", target, target.x)
    check(found, batch.blocks, "float64")


def test_sum_trick_says_where_it_would_add_up() -> None:
    def problem(axis: int | None) -> Problem:
        return Problem(
            name="p", function=lambda xp, x, c: x, x=np.ones(2), constants=(C,), in_axes=(axis, 0)
        )

    method = registry.method("jax.sum-trick")
    told = method.unsupported(problem(None), "batch_jacobian", "cpu", "float64")
    assert told is not None
    assert told.startswith("the samples share x: the sum trick would give the sum")
    for known in (None, Problem(name="p", function=lambda xp, x: x, x=np.ones(2), in_axes=(0,))):
        assert method.unsupported(known, "batch_jacobian", "cpu", "float64") is None
    assert method.unsupported(None, "jacobian", "cpu", "float64") is not None
    with pytest.raises(JacbenchError, match="the samples share x"):
        method.prepare(target_of(lambda w, d: d @ w, C, np.ones((4, 3)), in_axes=(None, 0)))


# --- products ---


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", names_of("vjp"))
def test_vjp(method: str, dtype: str) -> None:
    v = np.array([[0.5, -2.0], [1.0, 3.0]])
    target = target_of(function, X, C, TIMES, dtype=dtype, vector=put(v, dtype))
    for point in (ELSEWHERE, X):
        _, _, found = parts(method, target, put(point, dtype))
        expected = [np.tensordot(v, block, 2) for block in by_hand(point)[1]]
        check(found, expected, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", names_of("jvp"))
def test_jvp(method: str, dtype: str) -> None:
    t = {"w": np.array([[1.0, -2.0, 0.5], [0.25, 3.0, -1.0]]), "s": (np.array(0.7),)}
    target = target_of(function, X, C, TIMES, dtype=dtype, vector=put(t, dtype))
    for point in (ELSEWHERE, X):
        _, _, found = parts(method, target, put(point, dtype))
        by_s, by_w = by_hand(point)[1]
        check(found, [by_s * 0.7 + np.tensordot(by_w, t["w"], 2)], dtype)


@pytest.mark.parametrize("method", [*names_of("vjp"), *names_of("jvp")])
def test_products_of_scalars(method: str) -> None:
    target = target_of(lambda x: x**3, np.array(2.0), vector=put(np.array(5.0), "float64"))
    _, _, found = parts(method, target, target.x)
    check(found, [np.array(60.0)], "float64")


# --- what all of them promise ---

NEW = [n for name in operators.NAMES if name != "jacobian" for n in names_of(name)]


@pytest.mark.parametrize("method", NEW)
def test_results_are_the_callers_own(method: str) -> None:
    def cubes(x: Any) -> Any:
        return x**3

    one, two = put(np.array([1.0, 2.0]), "float64"), put(np.array([3.0, -1.0]), "float64")
    target = target_of(cubes, np.array([1.0, 2.0]), in_axes=(0,), vector=one)
    call = registry.method(method).prepare(target).call
    kept = [call(one), call(two), call(one)]
    first, second, third = ([np.array(a) for a in jax.tree.leaves(k)] for k in kept)
    assert all(map(np.array_equal, first, third))
    assert not all(map(np.array_equal, first, second))
    assert np.array_equal(one, [1.0, 2.0])
    assert np.array_equal(two, [3.0, -1.0])


COMPILED = [name for name in NEW if not name.endswith("-eager")]


@pytest.mark.parametrize("method", COMPILED)
def test_compiled_once_with_constants_as_arguments(method: str) -> None:
    traced = []

    def of_batch(x: Any, c: Any) -> Any:
        traced.append(c)
        return x * c

    x, c = np.arange(1.0, 4.0), np.arange(4.0, 7.0)
    target = target_of(of_batch, x, c, in_axes=(0, 0), vector=put(x, "float64"))
    traced.clear()
    call = registry.method(method).prepare(target).call
    assert traced
    assert all(isinstance(c, jax.core.Tracer) for c in traced)
    traced.clear()
    call(target.x)
    assert not traced


# --- what JAX says it cannot do ---


def declined(method: str, of_x: Callable[[Any], Any]) -> str | None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - each of another type
        registry.method(method).prepare(target_of(of_x, np.ones(2))).call(put(X["w"][0], "float64"))
    return registry.load("jax").declined(caught.value)


def test_what_the_library_cannot_do_is_told_from_a_fault() -> None:
    def loop(x: Any) -> Any:
        return jax.lax.while_loop(lambda v: v.sum() < 9, lambda v: 2 * v, x)

    @jax.custom_vjp
    def reverse_only(x: Any) -> Any:
        return x * x

    reverse_only.defvjp(lambda x: (x * x, x), lambda x, ct: (2 * x * ct,))

    def called_back(x: Any) -> Any:
        return jax.pure_callback(np.sin, jax.ShapeDtypeStruct(x.shape, x.dtype), x)

    def branching(x: Any) -> Any:
        return x if x.sum() > 0 else -x

    def faulty(x: Any) -> Any:
        return x @ jnp.ones(3) if isinstance(x, jax.core.Tracer) else x

    told = declined("jax.jacrev", loop)
    assert told is not None
    assert told.startswith("JAX says: Reverse-mode differentiation does not work for lax.while")
    assert "\n" not in told
    assert "can't apply forward-mode" in (declined("jax.jacfwd", reverse_only) or "")
    assert "callbacks do not support JVP" in (declined("jax.jacrev", called_back) or "")
    assert "boolean conversion of traced array" in (declined("jax.jacrev", branching) or "")
    assert "traced array" in (declined("jax.jacrev", lambda x: jnp.asarray(np.sin(x))) or "")
    assert declined("jax.jacrev", faulty) is None
