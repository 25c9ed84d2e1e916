"""A fixed cotangent times the Jacobian: pulled back, or contracted with the whole of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jacbench.backend import Prepared, Target
from jacbench_jax.method import JaxMethod
from jacbench_jax.staged import Staged


def _pulled(target: Target) -> Callable[..., Any]:
    """Return ``(x, v, *constants) -> v J`` by ``jax.vjp``."""

    def product(x: Any, cotangent: Any, *constants: Any) -> Any:
        _, pull = jax.vjp(lambda x: target.function(x, *constants), x)
        return pull(cotangent)[0]

    return product


class Vjp(Staged):
    """``jax.vjp``."""

    def to_compile(self, target: Target) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Pull the cotangent back."""
        return _pulled(target), (target.vector, *target.constants)


class EagerVjp(JaxMethod):
    """``jax.vjp`` as it stands, traced anew in every call."""

    def prepare(self, target: Target) -> Prepared:
        """Bind the cotangent."""
        product, rest = _pulled(target), (target.vector, *target.constants)
        return Prepared(lambda x: jax.block_until_ready(product(x, *rest)))


class VjpByJacrev(Staged):
    """``jax.jacrev``, contracted over all outputs: what a vjp costs to those who have none."""

    def to_compile(self, target: Target) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Contract each leaf's block."""
        jacobian = jax.jacrev(target.function)

        def product(x: Any, cotangent: Any, *constants: Any) -> Any:
            def contracted(block: Any) -> Any:
                return jnp.tensordot(cotangent, block, axes=cotangent.ndim)

            return jax.tree.map(contracted, jacobian(x, *constants))

        return product, (target.vector, *target.constants)


METHODS = (Vjp("jax.vjp"), EagerVjp("jax.vjp-eager"), VjpByJacrev("jax.vjp-by-jacrev"))
