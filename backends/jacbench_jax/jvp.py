"""The Jacobian times a fixed tangent: pushed forward, or contracted with the whole of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jacbench.backend import Prepared, Target
from jacbench_jax.method import JaxMethod
from jacbench_jax.staged import Staged


def _pushed(target: Target) -> Callable[..., Any]:
    """Return ``(x, t, *constants) -> J t`` by ``jax.jvp``."""

    def product(x: Any, tangent: Any, *constants: Any) -> Any:
        return jax.jvp(lambda x: target.function(x, *constants), (x,), (tangent,))[1]

    return product


class Jvp(Staged):
    """``jax.jvp``."""

    def to_compile(self, target: Target) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Push the tangent forward."""
        return _pushed(target), (target.vector, *target.constants)


class EagerJvp(JaxMethod):
    """``jax.jvp`` as it stands, dispatched operation by operation in every call."""

    def prepare(self, target: Target) -> Prepared:
        """Bind the tangent."""
        product, rest = _pushed(target), (target.vector, *target.constants)
        return Prepared(lambda x: jax.block_until_ready(product(x, *rest)))


class LinearizeJvp(Staged):
    """``jax.linearize``, its push-forward called once."""

    def to_compile(self, target: Target) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Linearise at x, push the tangent."""

        def product(x: Any, tangent: Any, *constants: Any) -> Any:
            _, push = jax.linearize(lambda x: target.function(x, *constants), x)
            return push(tangent)

        return product, (target.vector, *target.constants)


class JvpByJacfwd(Staged):
    """``jax.jacfwd``, contracted over all inputs: what a jvp costs to those who have none."""

    def to_compile(self, target: Target) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Contract each leaf's block and add them up."""
        jacobian, axes = jax.jacfwd(target.function), len(target.y_shape)

        def product(x: Any, tangent: Any, *constants: Any) -> Any:
            blocks = jax.tree.leaves(jacobian(x, *constants))
            return sum(
                jnp.tensordot(block, part, axes=block.ndim - axes)
                for block, part in zip(blocks, jax.tree.leaves(tangent), strict=True)
            )

        return product, (target.vector, *target.constants)


METHODS = (
    Jvp("jax.jvp"),
    EagerJvp("jax.jvp-eager"),
    LinearizeJvp("jax.linearize-jvp"),
    JvpByJacfwd("jax.jvp-by-jacfwd"),
)
