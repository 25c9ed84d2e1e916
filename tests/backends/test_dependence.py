"""Patterns from the program text: they hold at points of every sign, and are no wider."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from jacbench.backend import Target, UnfitError
from jacbench.core.arrays import Array
from jacbench.core.pattern import Pattern

N = 12
RNG = np.random.default_rng(5)
BAND = np.tri(N, k=1) - np.tri(N, k=-2)
PLACES = np.array([3, 0, 0, 7])


def target(function: Callable[[Any], Any], x: Any, shape: tuple[int, ...]) -> Target:
    return Target(
        function=function, x=x, constants=(), y_shape=shape, device="cpu", dtype="float64"
    )


def check(pattern: Pattern, derivative: Callable[[Array], Array], exact: bool) -> None:
    """Hold a pattern against Jacobians at points of every sign, and their union."""
    held = pattern.dense(np.ones(pattern.nnz)) != 0
    union = np.zeros(pattern.shape, dtype=bool)
    for scale in (0.1, 1.0, 10.0):
        for _ in range(15):
            union |= derivative(scale * RNG.standard_normal(N)).reshape(pattern.shape) != 0
    assert not (union & ~held).any()
    assert not exact or np.array_equal(union, held)


TORCH: dict[str, tuple[Callable[[Any, Any], Any], bool]] = {
    "clip and cat": (lambda t, x: t.clip(x, 0, 1) * t.cat([x[1:], x[:1]]), True),
    "where, and a comparison": (
        lambda t, x: t.where(x > 0, x * x.roll(1), x.roll(-1) ** 2),
        True,
    ),
    "a gate that may be shut": (lambda t, x: t.relu(x[1:] - x[:-1] - 0.5), True),
    "views": (lambda t, x: (x.reshape(3, 4).T * 2).flip(0).sum(1), True),
    "places": (lambda t, x: x[t.as_tensor(PLACES)] * x[:4], True),
    "padded and cut": (lambda t, x: t.nn.functional.pad(x, (2, 1), value=3.0)[1:-1].exp(), True),
    "a banded matrix": (lambda t, x: t.as_tensor(BAND) @ t.sin(x), True),
    "matrices of both kinds": (
        lambda t, x: x.reshape(3, 4) @ t.as_tensor(BAND[:4, :5]) + x[0],
        True,
    ),
    "x times itself": (lambda t, x: x.reshape(3, 4) @ x.reshape(4, 3), True),
    "a stack of products": (
        lambda t, x: t.bmm(x.reshape(3, 2, 2), x.reshape(3, 2, 2).transpose(1, 2)),
        True,
    ),
    "softmax by rows": (lambda t, x: t.softmax(x.reshape(4, 3), dim=1), True),
    "parts of a split": (lambda t, x: x.split(4)[0] * x.split(4)[2] - x.split(4)[1], True),
    "written into": (
        lambda t, x: t.zeros_like(x).index_copy(0, t.arange(4), x[:4] ** 2) + x,
        False,
    ),
    "of all the largest": (lambda t, x: x * x.max(), True),
    "sorted": (lambda t, x: t.sort(x).values, False),
    "an integer of x": (lambda t, x: x * x.sign() + t.floor(x), False),
}


@pytest.mark.parametrize("name", TORCH)
def test_torch(name: str) -> None:
    torch = pytest.importorskip("torch")
    from jacbench_torch import dependence

    function, exact = TORCH[name]
    x = torch.as_tensor(RNG.standard_normal(N))
    shape = tuple(function(torch, x).shape)
    found = dependence.pattern(target(lambda x: function(torch, x), x, shape))

    def derivative(x: Array) -> Array:
        def of_x(x: Any) -> Any:
            return function(torch, x)

        return torch.autograd.functional.jacobian(of_x, torch.as_tensor(x)).numpy()

    check(found, derivative, exact)


@pytest.mark.parametrize("leak", ["item", "numpy", "tolist", "bool", "float", "array"])
def test_a_torch_function_that_may_branch_has_no_pattern_for_every_x(leak: str) -> None:
    torch = pytest.importorskip("torch")
    from jacbench_torch import dependence

    first: dict[str, Callable[[Any], Any]] = {
        "item": lambda v: v.item(),
        "numpy": lambda v: v.detach().numpy(),
        "tolist": lambda v: v.tolist(),
        "bool": lambda v: bool(v > 0),
        "float": float,
        "array": lambda v: np.asarray(v.detach()),
    }

    def function(x: Any) -> Any:
        return x if first[leak](x[0]) > 0 else x.roll(1)

    with pytest.raises(UnfitError):
        dependence.pattern(target(function, torch.ones(N, dtype=torch.float64), (N,)))


def test_a_torch_function_with_a_rule_of_its_own_has_no_pattern_for_every_x() -> None:
    torch = pytest.importorskip("torch")
    from jacbench_torch import dependence

    class Spike(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, v: Any) -> Any:
            ctx.save_for_backward(v)
            return (v > 0).to(v.dtype)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * (abs(ctx.saved_tensors[0]) < 0.5)

    def function(x: Any) -> Any:
        return Spike.apply(x - 9.0) + x.roll(-1)

    with pytest.raises(UnfitError, match="rule of its own"):
        dependence.pattern(target(function, torch.ones(N, dtype=torch.float64), (N,)))


def _jax() -> dict[str, tuple[Callable[[Any], Any], bool]]:
    import jax
    import jax.numpy as jnp

    def looped(x: Any) -> Any:
        return jax.lax.fori_loop(0, 3, lambda _, v: v.at[1:].set(v[:-1] * v[1:]), x)

    def upwind(x: Any) -> Any:
        left, right = jnp.pad(x, (1, 0))[:-1], jnp.pad(x, (0, 1))[1:]
        return -jnp.where(x > 0, x * (x - left), x * (right - x))

    @jax.custom_jvp
    def spike(v: Any) -> Any:
        return (v > 0).astype(v.dtype)

    spike.defjvps(lambda t, ans, v: t * (abs(v) < 0.5))

    @jax.custom_vjp
    def smoothed(v: Any) -> Any:
        return jnp.sign(v)

    def back(_: None, g: Any) -> tuple[Any]:
        return ((g + jnp.roll(g, 1) + jnp.roll(g, -1)) / 3,)

    smoothed.defvjp(lambda v: (jnp.sign(v), None), back)

    def narrow(x: Any) -> Any:
        return jnp.flip(x.astype(jnp.bfloat16)).astype(x.dtype)

    return {
        "a surrogate gradient": (lambda x: spike(x - 9.0) + jnp.roll(x, -1), False),
        "a surrogate gradient in a loop": (
            lambda x: jax.lax.scan(lambda v, _: (v + spike(x), None), x, None, length=2)[0],
            True,
        ),
        "a rule that couples": (smoothed, True),
        "a rule that calls the function": (lambda x: jnp.logaddexp(x, jnp.roll(x, 1)), True),
        "moved in bfloat16": (narrow, True),
        "upwinding": (upwind, True),
        "a gate that may be shut": (lambda x: jax.nn.relu(x[1:] - x[:-1] - 0.5), True),
        "clip and roll": (lambda x: jnp.clip(x, 0, 1) * jnp.roll(x, -1), True),
        "places": (lambda x: x[PLACES] * x[:4], True),
        "a banded matrix": (lambda x: jnp.asarray(BAND) @ jnp.sin(x), True),
        "a product of views": (
            lambda x: jnp.einsum(
                "nij,njk->kni", x.reshape(3, 2, 2), jnp.asarray(BAND[:6, :4].reshape(3, 2, 4))
            ),
            True,
        ),
        "x times itself": (lambda x: x.reshape(3, 4) @ x.reshape(4, 3), True),
        "softmax by rows": (lambda x: jax.nn.softmax(x.reshape(4, 3), axis=1), True),
        "reduced": (lambda x: x.reshape(3, 4).max(axis=0) * x[:4], True),
        "a choice": (
            lambda x: jax.lax.cond(x.sum() > 0, lambda v: v**2, lambda v: jnp.roll(v, 1), x),
            True,
        ),
        "a loop": (looped, False),
        "constant": (lambda x: jnp.ones(3) + 0 * jnp.ones(3), True),
    }


JAX = (
    *("upwinding", "a gate that may be shut", "clip and roll", "places", "a banded matrix"),
    *("a product of views", "x times itself", "softmax by rows", "reduced", "a choice"),
    *("a loop", "constant", "a surrogate gradient", "a surrogate gradient in a loop"),
    *("a rule that couples", "a rule that calls the function", "moved in bfloat16"),
)


@pytest.mark.parametrize("name", JAX)
@pytest.mark.usefixtures("jax_float64")
def test_jax(name: str) -> None:
    jax = pytest.importorskip("jax")
    from jacbench_jax import dependence

    function, exact = _jax()[name]
    x = jax.numpy.asarray(RNG.standard_normal(N))
    found = dependence.pattern(target(function, x, tuple(function(x).shape)))
    reverse = name == "a rule that couples"
    derivative = jax.jit((jax.jacrev if reverse else jax.jacfwd)(function))
    check(found, lambda x: np.asarray(derivative(x)), exact)


@pytest.mark.usefixtures("jax_float64")
def test_asdex_is_not_believed_where_a_rule_passes_and_the_value_does_not() -> None:
    jax = pytest.importorskip("jax")
    pytest.importorskip("asdex")
    from jacbench_jax import coloured

    x = jax.numpy.linspace(-1.0, 1.0, N)
    functions = _jax()
    with pytest.raises(UnfitError, match="rule of its own"):
        coloured.traced_pattern(target(functions["a surrogate gradient"][0], x, (N,)))
    gate = functions["a gate that may be shut"][0]
    assert coloured.traced_pattern(target(gate, x, (N - 1,))).nnz == 2 * (N - 1)


@pytest.mark.usefixtures("jax_float64")
def test_a_surrogate_gradient_that_is_shut_where_it_was_prepared_counts_later() -> None:
    jax = pytest.importorskip("jax")
    import jacbench

    function = _jax()["a surrogate gradient"][0]
    at_rest, later = np.linspace(0.0, 1.0, N), np.linspace(8.0, 10.0, N)
    for method in ("jax.coloured", "jax.coloured-csr"):
        found = jacbench.prepare(function, at_rest, method)(later)
        found = found if method == "jax.coloured" else found.toarray()
        assert np.array_equal(found, jax.jacfwd(function)(later))
