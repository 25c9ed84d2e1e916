"""jacbench's functions inside of JAX's own transformations: traced like JAX's, or one line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jacbench as jb
from jacbench import JacbenchError
from jacbench.backend import registry

jax = pytest.importorskip("jax")
jnp = jax.numpy

X = np.linspace(0.5, 2.0, 4, dtype=np.float32)
METHODS = [
    info.name
    for info in registry.descriptors()["jax"].methods
    if info.operator == "jacobian" and not info.structure
]


def f(x: Any) -> Any:
    return jnp.sin(x) * x[::-1]


def expected(x: Any) -> Any:
    return np.asarray(jax.jacrev(f)(x))


@pytest.mark.parametrize("method", METHODS)
def test_inside_jit(method: str) -> None:
    J = jax.jit(lambda x: jb.jacobian(f, x, method=method))(X)
    assert np.allclose(J, expected(X), atol=1e-6)


def test_inside_vmap_scan_and_grad() -> None:
    def jacobian(x: Any) -> Any:
        return jb.jacobian(f, x, method="jax.jacrev")

    batch = np.stack([X, 2 * X])
    by_hand = np.stack([expected(x) for x in batch])
    assert np.allclose(jax.vmap(jacobian)(batch), by_hand, atol=1e-6)
    _, scanned = jax.lax.scan(lambda c, x: (c, jacobian(x)), 0.0, batch)
    assert np.allclose(scanned, by_hand, atol=1e-6)
    gradient = jax.grad(lambda x: jacobian(x).sum())(X)
    assert np.allclose(gradient, jax.grad(lambda x: jax.jacrev(f)(x).sum())(X), atol=1e-5)


def test_what_a_function_closes_over_may_be_traced() -> None:
    J = jax.jit(lambda k: jb.jacobian(lambda x: k * x, jnp.asarray(X), method="jax.jacfwd"))(3.0)
    assert np.allclose(J, 3 * np.eye(4))


def test_other_operators_inside_jit() -> None:
    v = np.ones(4, np.float32)
    assert np.allclose(
        jax.jit(lambda x: jb.vjp(f, x, v, "jax.vjp"))(X), expected(X).sum(0), atol=1e-6
    )
    assert np.allclose(
        jax.jit(lambda x: jb.jvp(f, x, v, "jax.jvp"))(X), expected(X).sum(1), atol=1e-6
    )
    value, J = jax.jit(lambda x: jb.value_and_jacobian(f, x, "jax.jacrev-aux"))(X)
    assert np.allclose(value, f(X), atol=1e-6)
    assert np.allclose(J, expected(X), atol=1e-6)
    per_sample = jax.jit(lambda x: jb.batch_jacobian(jnp.sin, x, "jax.sum-trick"))(X)
    assert np.allclose(per_sample, np.cos(X), atol=1e-6)


def test_a_prepared_one_inside_jit() -> None:
    derivative = jb.prepare(f, X, "jax.jacrev")
    assert np.allclose(jax.jit(derivative)(X), expected(X), atol=1e-6)
    assert np.allclose(jax.jit(derivative.matrix)(X), expected(X), atol=1e-6)


def test_what_looks_at_numbers_says_so() -> None:
    with pytest.raises(JacbenchError, match=r"x is traced here .*: call it outside, or take jax\."):
        jax.jit(lambda x: jb.jacobian(jnp.sin, x, method="jax.coloured"))(X)


def test_a_value_of_another_dtype_than_x() -> None:
    def half(x: Any) -> Any:
        return jnp.sin(x).astype(jnp.float16)

    for method in METHODS:
        J = jb.jacobian(half, X, method=method)
        assert np.allclose(np.asarray(J, np.float32), np.diag(np.cos(X)), atol=2e-3), method
    by_sample = jb.batch_jacobian(half, X, "jax.sum-trick")
    assert np.allclose(np.asarray(by_sample, np.float32), np.cos(X), atol=2e-3)
    _, J = jb.value_and_jacobian(half, X, "jax.value-and-vjp")
    assert np.allclose(np.asarray(J, np.float32), np.diag(np.cos(X)), atol=2e-3)


def test_leaves_of_several_dtypes() -> None:
    x = {"a": jnp.ones(2, jnp.float16), "b": jnp.full(2, 3.0, jnp.float32)}
    for method in METHODS:
        J = jb.jacobian(lambda p: p["a"] * p["b"], x, method=method)
        assert np.allclose(np.asarray(J["a"], np.float32), 3 * np.eye(2)), method
        assert np.allclose(J["b"], np.eye(2)), method


def test_a_function_of_scipy_is_told() -> None:
    special = pytest.importorskip("scipy.special")
    with pytest.raises(JacbenchError, match="returned a NumPy array, through which its library"):
        jb.jacobian(lambda x: special.j0(np.asarray(x)), X, method="jax.jacrev")


def test_what_the_library_cannot_do_is_one_line() -> None:
    def waits(x: Any) -> Any:
        return jax.lax.while_loop(lambda y: y.sum() < 50, lambda y: 2 * y, x)

    with pytest.raises(JacbenchError, match=r"^jacobian\(method='jax.jacrev'\): .*while"):
        jb.jacobian(waits, X, method="jax.jacrev")
