"""JAX functions with a thin middle, found in their jaxprs, against jax.jacrev."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from jacbench.backend import Prepared, Target, UnfitError, registry
from jacbench.core import tree

jax = pytest.importorskip("jax")
host_product = pytest.importorskip("jacbench_jax.host_product")
pytest.importorskip("networkx")
jnp = jax.numpy

pytestmark = pytest.mark.usefixtures("jax_float64")

METHODS = ("jax.bottleneck", "jax.factors")
N = 24
RNG = np.random.default_rng(5)
X, ELSEWHERE = RNG.standard_normal((2, N))
ENCODE, NARROW = RNG.standard_normal((12, N)) / 5, RNG.standard_normal((2, 12)) / 3
WIDEN, DECODE = RNG.standard_normal((12, 2)), RNG.standard_normal((N, 12)) / 3


def encode(x: Any) -> Any:
    return jnp.tanh(NARROW @ jnp.tanh(ENCODE @ x))


def decode(z: Any) -> Any:
    return DECODE @ jnp.tanh(WIDEN @ z)


def put(value: Any, dtype: str = "float64") -> Any:
    backend = registry.load("jax")
    return tree.map_leaves(lambda leaf: backend.put(leaf, "cpu", dtype), value)


def target_of(f: Callable[..., Any], x: Any = X, *constants: Any, dtype: str = "float64") -> Target:
    placed = [put(value, dtype) for value in (x, *constants)]
    return Target(
        function=f,
        x=placed[0],
        constants=tuple(placed[1:]),
        y_shape=f(*placed).shape,
        device="cpu",
        dtype=dtype,
    )


def check(
    f: Callable[..., Any],
    x: Any = X,
    other: Any = ELSEWHERE,
    *constants: Any,
    method: str = "jax.factors",
) -> Prepared:
    """Hold what the method gives against jacrev, away from where it was prepared and there."""
    target = target_of(f, x, *constants)
    m, n = int(np.prod(target.y_shape)), sum(leaf.size for leaf in tree.leaves(target.x))
    prepared, whole = registry.method(method).prepare(target), jax.jit(jax.jacrev(f))
    k = prepared.notes["k"]
    assert prepared.layout is not None
    for point in (put(other), target.x):
        blocks = tree.leaves(whole(point, *target.constants))
        expected = np.concatenate([np.array(b).reshape(m, -1) for b in blocks], axis=1)
        arrays = [np.array(array) for array in tree.leaves(prepared.call(point))]
        shapes = [(m, n)] if method == "jax.bottleneck" else [(m, k), (k, n)]
        assert [array.shape for array in arrays] == shapes
        assert prepared.layout.shapes(target.y_shape, [(n,)]) == shapes
        assert {array.dtype for array in arrays} == {np.dtype(np.float64)}
        found = prepared.layout.matrix(arrays, m)
        scale = np.linalg.norm(expected)
        assert scale > 0
        assert np.linalg.norm(found - expected) < 1e-12 * scale
    return prepared


def refused(f: Callable[..., Any], x: Any = X) -> str:
    with pytest.raises(UnfitError) as caught:
        registry.method("jax.bottleneck").prepare(target_of(f, x))
    return str(caught.value)


def normalised(v: Any) -> Any:
    return (v - v.mean()) / jnp.sqrt(v.var() + 1e-5)


# --- what is found ---


def test_a_large_product_is_left_to_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_product, "LARGE", 1)
    found = check(lambda x: decode(encode(x)), method="jax.bottleneck")
    assert found.notes["product"] == "by NumPy, into large pages"
    assert "product" not in check(lambda x: decode(encode(x)), method="jax.factors").notes


@pytest.mark.parametrize("method", METHODS)
def test_an_autoencoder(method: str) -> None:
    found = check(lambda x: decode(encode(x)), method=method)
    assert (found.notes["k"], found.notes["cut"]) == (2, "tanh (2,)")
    assert "constant" not in found.notes


def test_float32_stays_float32() -> None:
    target = target_of(lambda x: decode(encode(x)).astype(x.dtype), dtype="float32")
    for name in METHODS:
        arrays = tree.leaves(registry.method(name).prepare(target).call(target.x))
        assert {str(array.dtype) for array in arrays} == {"float32"}


def test_layer_norms_before_and_after() -> None:
    found = check(lambda x: normalised(decode(encode(normalised(x)))))
    assert found.notes["k"] == 2


def test_inside_of_jit_and_checkpoint() -> None:
    whole = jax.jit(lambda x: jax.checkpoint(decode)(jax.jit(encode)(x)))
    assert check(whole).notes["k"] == 2
    again = jax.jit(decode)
    assert check(lambda x: again(again(again(encode(x))[:2])[:2])).notes["k"] == 2


def test_several_values_in_the_cut() -> None:
    def f(x: Any) -> Any:
        return decode(encode(x)) * jnp.exp(x.mean()) + jnp.sin(x[3])

    found = check(f)
    assert found.notes["k"] == 4
    assert str(found.notes["cut"]).count(" (") == 3


def test_a_middle_of_several_axes() -> None:
    def f(x: Any) -> Any:
        z = jnp.tanh(jnp.einsum("ijk,k->ij", ENCODE[:4].reshape(2, 2, N), x))
        return jnp.einsum("nij,ij->n", DECODE[:, :4].reshape(N, 2, 2), z**3).reshape(4, 6)

    found = check(f)
    assert found.notes["k"] == 4
    assert "(2, 2)" in str(found.notes["cut"])


def test_constants_and_a_tree() -> None:
    def f(x: Any, w: Any, shift: Any) -> Any:
        z = jnp.tanh(w @ x["v"].reshape(-1) * x["s"][0])
        return decode(z) * shift[1]

    x = {"v": X.reshape(4, 6), "s": (np.array(1.5),)}
    other = {"v": ELSEWHERE.reshape(4, 6), "s": (np.array(-0.5),)}
    w, shift = RNG.standard_normal((2, N)), np.array([1, 3])
    assert check(f, x, other, w, shift, method="jax.bottleneck").notes["k"] == 2


def test_a_thin_leaf_is_a_part_of_the_cut() -> None:
    def f(x: Any) -> Any:
        return decode(encode(x["wide"])) * x["thin"]

    x, other = ({"wide": v, "thin": v[0]} for v in (X, ELSEWHERE))
    found = check(f, x, other)
    assert found.notes["k"] == 3
    assert "x ()" in str(found.notes["cut"])


def test_what_has_no_derivative_passes_beside() -> None:
    def f(x: Any) -> Any:
        z = encode(x)
        turned = jnp.where(x > 0, decode(z), 2 * decode(z))
        return turned * jnp.arange(N)[jnp.argmax(x)] + jax.lax.stop_gradient(x) * z[0] + jnp.sign(x)

    assert check(f).notes["k"] == 2


# --- loops ---


def recurrent(x: Any) -> Any:
    def cell(state: Any, row: Any) -> tuple[Any, Any]:
        return jnp.tanh(state + NARROW[:, :4] @ row), None

    return decode(jax.lax.scan(cell, jnp.zeros(2), x.reshape(6, 4))[0])


def test_a_loop_before_the_middle_stays_a_loop() -> None:
    found = check(recurrent)
    assert found.notes["k"] == 2
    assert found.notes["cut"] == "scan (2,)"


@pytest.mark.parametrize("reverse", [False, True])
def test_a_middle_inside_of_a_short_loop(reverse: bool) -> None:
    down, up = RNG.standard_normal((3, 2, N)) / 5, RNG.standard_normal((3, N, 2))

    def layer(state: Any, weights: Any) -> tuple[Any, Any]:
        new = jnp.tanh(weights[1] @ (weights[0] @ state))
        return new, (new * 2)[:8]

    def f(x: Any) -> Any:
        final, outputs = jax.lax.scan(layer, x, (down, up), reverse=reverse)
        return jnp.concatenate([final, outputs.reshape(-1)])

    assert check(f).notes["k"] == 2


def test_a_long_loop_stays_one_step() -> None:
    def layer(state: Any, _: Any) -> tuple[Any, Any]:
        return jnp.tanh(DECODE[:, :2] @ (ENCODE[:2] @ state)), None

    said = refused(lambda x: jax.lax.scan(layer, x, None, length=1000)[0])
    assert said.startswith("the narrowest place between x and y holds 24 values")


# --- linear halves ---


def test_a_linear_outer_half_is_computed_once() -> None:
    up = RNG.standard_normal((3 * N, 2))
    found = check(lambda x: (up @ jnp.tanh(NARROW @ (ENCODE @ x)) + 1).reshape(6, -1) / 3)
    assert found.notes["constant"] == "Jg"


def test_a_linear_inner_half_is_computed_once() -> None:
    found = check(lambda x: decode(NARROW @ (ENCODE @ x)))
    assert found.notes["constant"] == "Jh"


def test_a_linear_function_has_two_constants() -> None:
    found = check(lambda x: DECODE @ (WIDEN @ (NARROW @ (ENCODE @ x))))
    assert found.notes["constant"] == "Jg and Jh"


def test_what_only_looks_linear_is_not_taken_for_it() -> None:
    def squared(x: Any) -> Any:
        wide = WIDEN @ encode(x)
        return DECODE @ (wide * wide)

    def frozen(x: Any) -> Any:
        wide = WIDEN @ encode(x)
        return DECODE @ (wide * jax.lax.stop_gradient(wide))

    def masked(x: Any) -> Any:
        return jnp.where(x > 0, DECODE[:, :2] @ encode(x), 0)

    for f in (squared, frozen, masked):
        assert "Jg" not in str(check(f).notes.get("constant"))


# --- rules of the function's own ---


@jax.custom_jvp
def doubled_slope(z: Any) -> Any:
    return jnp.sin(z)


doubled_slope.defjvp(lambda z, t: (jnp.sin(z[0]), 2 * jnp.cos(z[0]) * t[0]))


@jax.custom_vjp
def straight_through(x: Any) -> Any:
    return jnp.round(x)


straight_through.defvjp(lambda x: (jnp.round(x), None), lambda _, ct: (ct,))


def test_custom_rules_are_kept() -> None:
    assert check(lambda x: decode(doubled_slope(encode(doubled_slope(x))))).notes["k"] == 2
    assert check(lambda x: decode(encode(straight_through(x)))).notes["k"] == 2


def test_what_jax_declines_it_declines_here() -> None:
    def branching(x: Any) -> Any:
        return decode(encode(x)) if x.sum() > 0 else encode(x)[0] * x

    def backward_only(x: Any) -> Any:
        return DECODE @ straight_through(WIDEN @ encode(x))

    for f, said in (
        (branching, "boolean conversion of traced array"),
        (backward_only, "can't apply forward-mode"),
    ):
        with pytest.raises(TypeError) as caught:
            registry.method("jax.bottleneck").prepare(target_of(f))
        assert said in (registry.load("jax").declined(caught.value) or "")


# --- what has no thin middle ---


def test_a_skip_is_told_with_its_figures() -> None:
    said = refused(lambda x: x + decode(encode(x)))
    assert said.startswith("the narrowest place between x and y holds 24 values, of min(m, n) = 24")


def test_complex_values_are_not_cut() -> None:
    assert "too wide" in refused(lambda x: jnp.fft.irfft(jnp.fft.rfft(x)[:1], n=N))


def test_no_derivative_is_said() -> None:
    for f in (lambda x: jnp.zeros(N), jnp.sign, lambda x: (x > 0).astype(float)):
        assert "the Jacobian is zero" in refused(f)


@pytest.mark.parametrize("method", METHODS)
def test_the_reason_is_the_methods_own(method: str) -> None:
    chosen = registry.method(method)
    assert chosen.info.structure == "bottleneck"
    with pytest.raises(UnfitError) as caught:
        chosen.prepare(target_of(lambda x: x * 2))
    assert chosen.declined(caught.value) == str(caught.value)
