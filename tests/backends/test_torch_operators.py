"""PyTorch's methods of each operator against Jacobians worked out by hand, by themselves."""

from __future__ import annotations

import math
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
from tests import own_rule

torch = pytest.importorskip("torch")

pytestmark = [
    # torch's forward mode, when it is first used, and the tracer of linearize
    pytest.mark.filterwarnings("ignore:`torch.jit.* is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Attempted to insert a get_attr Node:UserWarning"),
]

DTYPES = ("float64", "float32")
LIMIT = {"float64": 1e-13, "float32": 1e-5}


def infos(operator: str) -> list[Any]:
    every = registry.descriptors()["torch"].methods
    return [info for info in every if info.operator == operator and not info.structure]


def names_of(operator: str) -> list[str]:
    return [info.name for info in infos(operator)]


HOOKS = [info.name for info in infos("jacobian") if info.by_intermediate]
VALUES, BATCH = names_of("value_and_jacobian"), names_of("batch_jacobian")
VJP, JVP = names_of("vjp"), names_of("jvp")


def put(value: Any, dtype: str) -> Any:
    backend = registry.load("torch")
    return tree.map_leaves(lambda leaf: backend.put(leaf, "cpu", dtype), value)


def target_of(function: Callable[..., Any], x: Any, *constants: Any, **rest: Any) -> Target:
    dtype = rest.pop("dtype", "float64")
    vector = rest.pop("vector", None)
    placed = [put(value, dtype) for value in (x, *constants)]
    value = function(*placed)
    return Target(
        function=function,
        x=placed[0],
        constants=tuple(placed[1:]),
        y_shape=tuple((value[0] if rest.get("has_aux") else value).shape),
        device="cpu",
        dtype=dtype,
        vector=None if vector is None else put(vector, dtype),
        **rest,
    )


def parts(method: str, target: Target, x: Any) -> tuple[Any, Any, list[np.ndarray]]:
    """Return value, aux and the arrays of the derivative, their declared shapes checked."""
    chosen = registry.method(method)
    operator = operators.get(chosen.info.operator)
    before = [leaf.clone() for leaf in tree.leaves(x)]
    result = chosen.prepare(target).call(x)
    assert all(map(torch.equal, before, tree.leaves(x)))
    assert not any(leaf.requires_grad for leaf in tree.leaves((x, result)))
    assert all(leaf.grad is None for leaf in tree.leaves(x))
    assert not any(torch._C._functorch.is_functorch_wrapped_tensor(r) for r in tree.leaves(result))
    value, aux, derivative = operator.parts(result, has_aux=target.has_aux)
    axis = target.in_axes[0] if target.in_axes else None
    sizes = Sizes(target.y_shape, [tuple(leaf.shape) for leaf in tree.leaves(x)], axis)
    arrays = [leaf.numpy() for leaf in tree.leaves(derivative)]
    assert [array.shape for array in arrays] == chosen.layout(target).shapes(
        *operator.shapes(sizes)
    )
    assert {str(array.dtype) for array in arrays} == {target.dtype}
    if chosen.info.operator != "jvp":
        assert tree.names(derivative) == tree.names(x)
    return value, aux, arrays


def check(found: list[Any], expected: list[Any], dtype: str) -> None:
    for one, other in zip(found, expected, strict=True):
        assert np.allclose(
            np.ravel(one), np.ravel(other), rtol=LIMIT[dtype], atol=LIMIT[dtype], equal_nan=False
        )


# y[i, k] = s (w[i] . c)^2 k, over a tree whose keys are not sorted and one leaf of which y ignores

X = {
    "w": np.array([[0.3, -0.7, 0.2], [1.1, 0.4, -0.5]]),
    "s": (np.array(1.5), np.array([2.0, 3.0])),
}
ELSEWHERE = {"w": X["w"] * 2 - 1, "s": (np.array(-0.25), np.array([0.0, 1.0]))}
C = np.array([0.6, -1.2, 0.9])
TIMES = np.array([1, 2], dtype=np.int64)


def function(x: Any, c: Any, times: Any) -> Any:
    return x["s"][0] * (x["w"] @ c)[:, None] ** 2 * times


def by_hand(x: Any) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return y and the blocks, in tree order: s, what y ignores, w."""
    s, dots = x["s"][0], x["w"] @ C
    by_w = np.zeros((2, 2, 2, 3))
    for i in range(2):
        by_w[i, :, i] = 2 * s * dots[i] * TIMES[:, None] * C
    squares = dots[:, None] ** 2 * TIMES
    return s * squares, [squares, np.zeros((2, 2, 2)), by_w]


# --- value and Jacobian ---


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", VALUES)
def test_value_and_jacobian(method: str, dtype: str) -> None:
    target = target_of(function, X, C, TIMES, dtype=dtype)
    for point in (ELSEWHERE, X):
        y, aux, found = parts(method, target, put(point, dtype))
        value, blocks = by_hand(point)
        assert aux is None
        assert str(y.dtype) == f"torch.{dtype}"
        check([y, *found], [value, *blocks], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", VALUES)
def test_aux_comes_as_the_function_returns_it(method: str, dtype: str) -> None:
    def with_aux(x: Any, c: Any, times: Any) -> Any:
        dots = x["w"] @ c
        return function(x, c, times), {"dots": dots, "more": (times, dots > 0, dots.argmax())}

    target = target_of(with_aux, X, C, TIMES, dtype=dtype, has_aux=True)
    y, aux, found = parts(method, target, put(ELSEWHERE, dtype))
    value, blocks = by_hand(ELSEWHERE)
    check([y, *found], [value, *blocks], dtype)
    dots = ELSEWHERE["w"] @ C
    assert list(aux) == ["dots", "more"]
    check([aux["dots"]], [dots], dtype)
    times, positive, largest = aux["more"]
    assert times.tolist() == TIMES.tolist()
    assert positive.tolist() == (dots > 0).tolist()
    assert largest.item() == dots.argmax()


@pytest.mark.parametrize("has_aux", [False, True])
@pytest.mark.parametrize("method", VALUES)
def test_value_and_jacobian_evaluate_once(method: str, has_aux: bool) -> None:
    calls = []

    def counted(x: Any, *constants: Any) -> Any:
        calls.append(1)
        y = function(x, *constants)
        return (y, y * 2) if has_aux else y

    target = target_of(counted, X, C, TIMES, has_aux=has_aux)
    prepared = registry.method(method).prepare(target)
    calls.clear()
    prepared.call(target.x)
    assert len(calls) == 1


# --- what is the same in every operator ---

METHODS_OF = {"value_and_jacobian": VALUES, "vjp": VJP, "jvp": JVP}
ROOTS = {
    "a scalar": (lambda x: (x["a"] ** 2).sum() * x["b"], ()),
    "one entry": (lambda x: (x["a"] ** 2).sum()[None] * x["b"], (1,)),
    "a matrix": (lambda x: torch.outer(x["a"], x["a"] * x["b"]), (2, 2)),
    "nothing of x": (lambda x: torch.ones(2, dtype=torch.float64), (2,)),
    "a part of x itself": (lambda x: x["a"], (2,)),
}


def dense(root: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the blocks by a and by b, at a = (2, 3), b = 5."""
    a, b = np.array([2.0, 3.0]), 5.0
    by_a = np.zeros((2, 2, 2))
    for i in range(2):
        by_a[i, :, i] += a * b
        by_a[:, i, i] += a * b
    return {
        "a scalar": (2 * a * b, np.array(13.0)),
        "one entry": (2 * a * b, np.array(13.0)),
        "a matrix": (by_a, np.outer(a, a)),
        "nothing of x": (np.zeros((2, 2)), np.zeros(2)),
        "a part of x itself": (np.eye(2), np.zeros(2)),
    }[root]


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize("operator", METHODS_OF)
def test_shapes_of_y_and_what_y_does_not_depend_on(operator: str, root: str) -> None:
    f, y_shape = ROOTS[root]
    x = {"b": np.array(5.0), "a": np.array([2.0, 3.0])}
    m = math.prod(y_shape)
    J = np.concatenate([block.reshape(m, -1) for block in dense(root)], axis=1)
    v = np.linspace(-1, 2, m)
    t = np.array([0.5, -1.0, 2.0])
    vectors = {"vjp": v.reshape(y_shape), "jvp": {"b": t[2], "a": t[:2]}}
    expected = {"value_and_jacobian": J, "vjp": v @ J, "jvp": J @ t}[operator]
    target = target_of(f, x, vector=vectors.get(operator))
    assert target.y_shape == y_shape
    for method in METHODS_OF[operator]:
        _, _, found = parts(method, target, target.x)
        rows = m if operator == "value_and_jacobian" else 1
        whole = np.concatenate([block.reshape(rows, -1) for block in found], axis=1)
        assert np.allclose(whole.ravel(), expected.ravel(), rtol=1e-13, atol=0), method


@pytest.mark.parametrize("method", [*VALUES, *BATCH, *VJP, *JVP])
def test_parameters_in_a_closure_do_not_make_results_require_grad(method: str) -> None:
    scale = torch.nn.Parameter(torch.tensor([2.0, 3.0], dtype=torch.float64))

    def closed(x: Any) -> Any:
        return x * scale

    x = np.array([[1.0, 4.0]])
    vector = np.ones((1, 2)) if method in {*VJP, *JVP} else None
    target = target_of(closed, x, vector=vector, in_axes=(0,))
    if method in VALUES:
        target = target_of(closed, x)
    _, _, (found,) = parts(method, target, target.x)
    expected = np.array([2.0, 3.0])
    assert np.array_equal(
        found.ravel(), expected if vector is not None else np.diag(expected).ravel()
    )


@pytest.mark.parametrize("method", [*VALUES, *BATCH, *VJP, *JVP])
def test_keeps_nothing_between_calls(method: str) -> None:
    constant = np.array([2.0, 3.0])
    x, other = np.array([[1.0, 4.0], [0.5, 2.0]]), np.array([[3.0, -1.0], [1.5, 0.2]])
    vector = x + 1 if method in {*VJP, *JVP} else None
    target = target_of(lambda x, c: x**3 * c, x, constant, vector=vector, in_axes=(0, None))
    if method not in BATCH:
        target = target_of(lambda x, c: x**3 * c, x, constant, vector=vector)
    call = registry.method(method).prepare(target).call
    kept, copies = [], []
    for point in (x, other, x):
        kept.append(call(put(point, "float64")))
        copies.append([leaf.numpy().copy() for leaf in tree.leaves(kept[-1])])
    for result, copy in zip(kept, copies, strict=True):
        assert all(map(np.array_equal, [leaf.numpy() for leaf in tree.leaves(result)], copy))
    for first, second, third in zip(*copies, strict=True):
        assert np.array_equal(first, third)
        assert not np.array_equal(first, second)


# --- vjp and jvp ---


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", VJP)
def test_vjp_of_a_tree(method: str, dtype: str) -> None:
    v = np.array([[0.5, -1.0], [2.0, 0.25]])
    target = target_of(function, X, C, TIMES, dtype=dtype, vector=v)
    for point in (ELSEWHERE, X):
        _, _, found = parts(method, target, put(point, dtype))
        blocks = by_hand(point)[1]
        check(found, [np.tensordot(v, block, axes=2) for block in blocks], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", JVP)
def test_jvp_of_a_tree(method: str, dtype: str) -> None:
    t = {"w": np.array([[1.0, 2.0, -1.0], [0.5, 0.0, 3.0]]), "s": (np.array(-2.0), np.ones(2))}
    target = target_of(function, X, C, TIMES, dtype=dtype, vector=t)
    for point in (ELSEWHERE, X):
        _, _, found = parts(method, target, put(point, dtype))
        by_s, _, by_w = by_hand(point)[1]
        check(found, [by_s * t["s"][0] + np.tensordot(by_w, t["w"], axes=2)], dtype)


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad=True:UserWarning")
@pytest.mark.parametrize("method", ["torch.backward", "torch.autograd.grad"])
def test_a_reentrant_checkpoint_is_declined(method: str) -> None:
    # a plain backward goes through, and adds to the .grad of whatever the function closes over
    from torch.utils.checkpoint import checkpoint

    target = target_of(
        lambda x: checkpoint(torch.sin, x, use_reentrant=True),
        np.array([0.5, 1.0]),
        vector=np.array([1.0, 2.0]),
    )
    with pytest.raises(RuntimeError) as caught:
        registry.method(method).prepare(target).call(target.x)
    assert "checkpoint" in (registry.load("torch").declined(caught.value) or "")


# --- batches ---

SAMPLES = np.array([[0.2, -0.5, 1.0], [0.7, 0.3, -0.1], [1.5, 0.4, 0.6], [-0.3, 0.9, 0.8]])
SCALES = np.array([1.0, -2.0, 0.5, 3.0])


def batch_function(x: Any, scales: Any, c: Any) -> Any:
    """Return (B, 2, 2) from samples along axis -1 of x["a"] (3, B) and of x["b"] (B,)."""
    dots = scales * (c @ x["a"])
    pair = torch.stack([dots**2, dots * x["b"]], dim=-1)
    return torch.stack([pair, 3 * pair], dim=1)


def batch_by_hand() -> list[np.ndarray]:
    b = 2 * SCALES
    dots = SCALES * (SAMPLES @ C)
    by_a = np.stack([2 * dots * SCALES, b * SCALES], axis=-1)[:, :, None] * C
    by_b = np.stack([0 * dots, dots], axis=-1)
    return [np.stack([by_a, 3 * by_a], axis=1), np.stack([by_b, 3 * by_b], axis=1)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", BATCH)
def test_batch_of_a_tree_along_its_last_axis(method: str, dtype: str) -> None:
    x = {"b": 2 * SCALES, "a": SAMPLES.T}
    target = target_of(batch_function, x, SCALES, C, dtype=dtype, in_axes=(-1, 0, None))
    assert target.y_shape == (4, 2, 2)
    _, _, found = parts(method, target, target.x)
    check(found, batch_by_hand(), dtype)


@pytest.mark.parametrize("axis", [1, -2])
@pytest.mark.parametrize("method", BATCH)
def test_batch_along_a_middle_axis_with_a_scalar_per_sample(method: str, axis: int) -> None:
    x = np.linspace(-1, 1, 24).reshape(2, 4, 3)
    target = target_of(lambda x: (x**3).sum((0, 2)), x, in_axes=(axis,))
    _, _, (found,) = parts(method, target, target.x)
    assert found.shape == (4, 2, 3)
    assert np.allclose(found, np.moveaxis(3 * x**2, 1, 0), rtol=1e-14, atol=0)


def shared(x: Any, samples: Any) -> Any:
    return torch.tanh(samples @ x["w"]) + x["b"]


PARAMETERS = {"w": np.array([[0.5, -1.0], [0.25, 0.75], [1.0, 0.1]]), "b": np.array([0.2, 0.4])}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", [name for name in BATCH if name != "torch.sum-trick"])
def test_batch_by_parameters_that_samples_share(method: str, dtype: str) -> None:
    target = target_of(shared, PARAMETERS, SAMPLES, dtype=dtype, in_axes=(None, 0))
    _, _, found = parts(method, target, target.x)
    slope = 1 - np.tanh(SAMPLES @ PARAMETERS["w"]) ** 2
    by_w = np.einsum("bk,bi,kl->bkil", slope, SAMPLES, np.eye(2))
    check(found, [np.tile(np.eye(2), (4, 1, 1)), by_w], dtype)


@pytest.mark.parametrize("chunk_size", [1, 3, 4, 9])
@pytest.mark.parametrize("method", ["torch.vmap-jacrev", "torch.vmap-jacfwd"])
def test_batches_go_in_chunks_of_samples(method: str, chunk_size: int) -> None:
    calls = []

    def counted(x: Any, *constants: Any) -> Any:
        calls.append(1)
        return batch_function(x, *constants)

    x = {"b": 2 * SCALES, "a": SAMPLES.T}
    target = target_of(counted, x, SCALES, C, in_axes=(-1, 0, None), chunk_size=chunk_size)
    call = registry.method(method).prepare(target).call
    calls.clear()
    call(target.x)
    assert len(calls) == math.ceil(len(SCALES) / chunk_size)
    check(parts(method, target, target.x)[2], batch_by_hand(), "float64")


CHUNKED = ["torch.grad-batched", "torch.vmap-vjp", "torch.vmap-jvp", "torch.func.jacrev"]


@pytest.mark.parametrize("chunk_size", [None, 2, 4])
@pytest.mark.parametrize("method", CHUNKED)
def test_a_chunk_bounds_what_is_computed_at_a_time(method: str, chunk_size: int | None) -> None:
    passes: list[int] = []
    x = np.array([0.1, -0.4, 0.7, 1.2, -0.9, 0.3])
    target = target_of(own_rule.counted(passes), x, chunk_size=chunk_size)
    call = registry.method(method).prepare(target).call
    passes.clear()
    J = call(target.x)
    assert len(passes) == math.ceil(6 / (chunk_size or 6))
    check([J[0] if isinstance(J, (list, tuple)) else J], [np.diag(np.cos(x))], "float64")


@pytest.mark.parametrize("chunk_size", [None, 2, 4])
def test_a_chunk_bounds_what_linearize_pushes_at_a_time(
    monkeypatch: pytest.MonkeyPatch, chunk_size: int | None
) -> None:
    from jacbench_torch import func

    passes: list[int] = []

    def seen(f: Any, x: Any) -> Any:
        def push(tangent: Any) -> Any:
            passes.append(1)
            return made(tangent)

        y, made = torch.func.linearize(f, x)
        return y, push

    monkeypatch.setattr(func, "linearize", seen)
    x = np.array([0.1, -0.4, 0.7, 1.2, -0.9, 0.3])
    target = target_of(torch.sin, x, chunk_size=chunk_size)
    J = registry.method("torch.func.linearize").prepare(target).call(target.x)
    assert len(passes) == math.ceil(6 / (chunk_size or 6))
    check([J], [np.diag(np.cos(x))], "float64")


def test_the_sum_trick_passes_back_once_per_component() -> None:
    passes = []

    class Counted(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            passes.append(1)
            return g * 2

    target = target_of(
        lambda x: Counted.apply(x)[:, None] * torch.ones(5, 1), SAMPLES, in_axes=(0,)
    )
    assert target.y_shape == (4, 5, 3)
    _, _, (found,) = parts("torch.sum-trick", target, target.x)
    assert len(passes) == 15
    assert np.array_equal(found, np.broadcast_to(2 * np.eye(3), (4, 5, 3, 3)))


def test_the_sum_trick_sums_where_samples_see_each_other() -> None:
    # what the trick is wrong about: y[b] = x[b] - mean(x) has the diagonal blocks 1 - 1/B
    target = target_of(lambda x: x - x.mean(0), SAMPLES, in_axes=(0,))
    _, _, (found,) = parts("torch.sum-trick", target, target.x)
    assert np.allclose(found, 0, atol=1e-15)


def test_the_sum_trick_declines_what_samples_share() -> None:
    method = registry.method("torch.sum-trick")
    options = {"function": lambda xp, x, s: s @ x["w"], "x": PARAMETERS, "constants": (SAMPLES,)}
    problem = Problem(name="by/parameters", in_axes=(None, 0), **options)
    reason = method.unsupported(problem, "batch_jacobian", "cpu", "float64") or ""
    assert "the sum over them" in reason
    by_samples = Problem(name="by/samples", function=lambda xp, x: x, x=SAMPLES, in_axes=(0,))
    assert method.unsupported(by_samples, "batch_jacobian", "cpu", "float64") is None
    target = target_of(shared, PARAMETERS, SAMPLES, in_axes=(None, 0))
    with pytest.raises(JacbenchError, match="the sum over them"):
        method.prepare(target)


@pytest.mark.parametrize("method", BATCH)
def test_batch_of_what_does_not_depend_on_x(method: str) -> None:
    target = target_of(lambda x, c: c * 2, SAMPLES, SAMPLES, in_axes=(0, 0))
    _, _, (found,) = parts(method, target, target.x)
    assert found.shape == (4, 3, 3)
    assert not found.any()


# --- by an intermediate value ---

SHIFT = np.zeros((2, 3))


def intermediate(x: Any, samples: Any) -> Any:
    Z = samples[:2] ** 2 + x
    return torch.stack([(Z[0] * Z[1]).sum(), Z[0, 0] ** 3, samples.sum()]), Z


def shifted(x: Any, samples: Any) -> Any:
    return intermediate(x, samples)[0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", HOOKS)
def test_by_an_intermediate_value(method: str, dtype: str) -> None:
    target = target_of(shifted, SHIFT, SAMPLES, dtype=dtype, intermediate=intermediate)
    for shift in (np.linspace(0, 1, 6).reshape(2, 3), SHIFT):
        _, _, found = parts(method, target, put(shift, dtype))
        Z = SAMPLES[:2] ** 2 + shift
        expected = np.zeros((3, 2, 3))
        expected[0] = Z[::-1]
        expected[1, 0, 0] = 3 * Z[0, 0] ** 2
        check(found, [expected], dtype)


@pytest.mark.parametrize("method", HOOKS)
def test_an_intermediate_value_that_y_does_not_see(method: str) -> None:
    def unseen(x: Any, samples: Any) -> Any:
        return samples[0], samples[:2] + x

    target = target_of(lambda x, s: s[0], SHIFT, SAMPLES, intermediate=unseen)
    _, _, (found,) = parts(method, target, target.x)
    assert found.shape == (3, 2, 3)
    assert not found.any()

    # y has a graph, in which Z has no part
    def beside(x: Any, samples: Any) -> Any:
        return samples[0] * x[0], samples[:2] + x

    target = target_of(lambda x, s: s[0] * x[0], SHIFT, SAMPLES, intermediate=beside)
    _, _, (found,) = parts(method, target, target.x)
    assert not found.any()


@pytest.mark.parametrize("method", HOOKS)
def test_hooks_decline_what_has_no_intermediate_value(method: str) -> None:
    chosen = registry.method(method)
    problem = Problem(name="some/problem", function=lambda xp, x: x, x=SHIFT)
    for asked in (None, problem):
        reason = chosen.unsupported(asked, "jacobian", "cpu", "float64") or ""
        assert "see Problem at" in reason
        assert "\n" not in reason
    named: Any = SimpleNamespace(intermediate="Z")
    assert chosen.unsupported(named, "jacobian", "cpu", "float64") is None
    assert "not vjp" in (chosen.unsupported(named, "vjp", "cpu", "float64") or "")
    with pytest.raises(JacbenchError, match="see Problem at"):
        chosen.prepare(target_of(lambda x: x, SHIFT))


@pytest.mark.parametrize("method", HOOKS)
def test_a_value_that_is_written_over_is_declined(method: str) -> None:
    # Z.grad would be by relu(Z): the object Z is what the last write left
    def written_over(x: Any, samples: Any) -> Any:
        Z = samples[:2] + x
        return torch.nn.functional.relu(Z, inplace=True).sum(1), Z

    target = target_of(
        lambda x, s: written_over(x, s)[0], SHIFT, SAMPLES, intermediate=written_over
    )
    chosen = registry.method(method)
    with pytest.raises(RuntimeError, match="in place") as caught:
        chosen.prepare(target).call(target.x)
    reason = chosen.declined(caught.value)
    assert reason is not None
    assert "turn inplace off" in reason
    assert chosen.declined(RuntimeError("another")) is None


# --- what torch cannot transform ---


class WithoutVmap(torch.autograd.Function):
    @staticmethod
    def forward(x: Any) -> Any:
        return x.sin()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g * ctx.saved_tensors[0].cos()


class OldStyle(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x.sin()

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g * ctx.saved_tensors[0].cos()


def filled(x: Any) -> Any:
    y = torch.zeros(x.shape, dtype=x.dtype)
    y[:, 0] = x[:, 0] * x[:, 1]
    return y


def checkpointed(x: Any) -> Any:
    from torch.utils.checkpoint import checkpoint

    return checkpoint(torch.sin, x, use_reentrant=False)


def own_backward(x: Any) -> Any:
    z = x.detach().clone().requires_grad_()
    (z**2).sum().backward()
    return x * z.grad


REFUSED = {
    "item": (lambda x: x * x[0, 0].item(), "torch.vmap-jacrev"),
    "control flow": (lambda x: x * 2 if x.sum() > 0 else x, "torch.vmap-jacfwd"),
    "boolean mask": (lambda x: x[x > -9].reshape(x.shape), "torch.vmap-jacrev"),
    "written in place": (filled, "torch.vmap-jacrev"),
    "random": (torch.nn.functional.dropout, "torch.vmap-jacrev"),
    "traced": (lambda x: x * x[0, 0].item(), "torch.func.linearize-jvp"),
    "no vmap": (WithoutVmap.apply, "torch.vmap-jacrev"),
    "old style": (OldStyle.apply, "torch.func.vjp"),
    "checkpoint": (checkpointed, "torch.func.vjp"),
    "own backward": (own_backward, "torch.func.jvp"),
    "its numbers": (lambda x: x * float(x.detach().numpy()[0, 0]), "torch.func.vjp"),
    "double backward": (
        lambda x: torch.nn.functional.scaled_dot_product_attention(*[x[None, None]] * 3)[0, 0],
        "torch.functional.jvp",
    ),
}


@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")
@pytest.mark.parametrize("what", REFUSED)
def test_refusals_of_torch_are_told_from_faults(what: str) -> None:
    f, method = REFUSED[what]
    vector = SAMPLES if method not in BATCH else None
    target = target_of(f, SAMPLES, vector=vector, in_axes=(0,))
    backend = registry.load("torch")
    with pytest.raises(RuntimeError) as caught:
        registry.method(method).prepare(target).call(target.x)
    reason = backend.declined(caught.value)
    assert reason is not None
    assert reason.startswith("torch says: ")
    assert "\n" not in reason


def test_faults_of_a_function_are_no_refusals() -> None:
    backend = registry.load("torch")
    for f in (lambda x: x @ x, lambda x: x.no_such_thing, lambda x: x.reshape(7)):
        target = target_of(lambda x: x, SAMPLES)
        with pytest.raises((RuntimeError, AttributeError)) as caught:
            f(target.x)
        assert backend.declined(caught.value) is None
