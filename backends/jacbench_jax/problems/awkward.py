"""The family ``awkward`` as JAX's users write it."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp


def while_loop(x: jax.Array, A: jax.Array) -> jax.Array:
    """Repeat until |x|^2 is small, without Python."""
    found: jax.Array = jax.lax.while_loop(lambda x: x @ x > 0.25, lambda x: 0.8 * jnp.sin(A @ x), x)
    return found


def in_place(x: jax.Array) -> jax.Array:
    """Return updated copies; XLA may write in place."""
    y = x.at[0].set(x[1] * x[2])
    y = y.at[1:].multiply(x[0])
    return y * jnp.cos(x)


def cond(x: jax.Array) -> jax.Array:
    """Branch without Python."""
    taken: jax.Array = jax.lax.cond(jnp.sum(x) > 0, lambda x: x * jnp.sin(x), lambda x: x**3, x)
    return taken


def item_branch(x: jax.Array) -> jax.Array:
    """Branch on a Python number."""
    if jnp.sum(x).item() > 0:
        return x * jnp.sin(x)
    return x**3


# --- log(1 + exp(x)) with rules by hand ---


@jax.custom_vjp
def _reverse_only(x: jax.Array) -> jax.Array:
    return jnp.logaddexp(x, 0.0)


def _forward(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    return _reverse_only(x), x


def _backward(x: jax.Array, cotangent: jax.Array) -> tuple[jax.Array]:
    return (cotangent * jax.nn.sigmoid(x),)


_reverse_only.defvjp(_forward, _backward)


@jax.custom_jvp
def _both_ways(x: jax.Array) -> jax.Array:
    return jnp.logaddexp(x, 0.0)


@_both_ways.defjvp
def _push(primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    (x,), (tangent,) = primals, tangents
    return _both_ways(x), tangent * jax.nn.sigmoid(x)


def custom_vjp(x: jax.Array, A: jax.Array) -> jax.Array:
    """Apply a function under ``jax.custom_vjp``."""
    return A @ _reverse_only(x)


def custom_jvp(x: jax.Array, A: jax.Array) -> jax.Array:
    """Apply a function under ``jax.custom_jvp``, which serves reverse mode too."""
    return A @ _both_ways(x)


def dropout(x: jax.Array, A: jax.Array) -> jax.Array:
    """Drop half of the units by a mask from a fixed key."""
    keep = jax.random.bernoulli(jax.random.key(2701), 0.5, x.shape)
    return A @ jnp.where(keep, jnp.tanh(x) * 2, 0)


def linalg(X: jax.Array, b: jax.Array) -> jax.Array:
    """Return the solution of X y = b, det X and log |det X|."""
    determinants = jnp.stack([jnp.linalg.det(X), jnp.linalg.slogdet(X)[1]])
    return jnp.concatenate([jnp.linalg.solve(X, b), determinants])


def trace(X: jax.Array) -> jax.Array:
    """Put the trace of X X beside the product of two rows."""
    return jnp.concatenate([X[0] * X[1], jnp.trace(X @ X)[None]])
