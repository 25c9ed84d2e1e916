"""Methods without ``jit``: traced and dispatched operation by operation in every call."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from jacbench.backend import Chunking, Prepared, Target
from jacbench.core import layouts
from jacbench_jax.method import JaxMethod, output_basis

if TYPE_CHECKING:
    from jacbench.core.layouts import Layout


class EagerTransform(JaxMethod):
    """``jax.jacrev`` or ``jax.jacfwd`` as it stands."""

    def __init__(self, name: str, transform: Callable[..., Any]) -> None:
        super().__init__(name)
        self.transform = transform

    def prepare(self, target: Target) -> Prepared:
        """Build the transform; JAX traces it anew in every call."""
        jacobian, constants = self.transform(target.function), target.constants
        return Prepared(lambda x: jax.block_until_ready(jacobian(x, *constants)))


class VjpLoop(JaxMethod):
    """``jax.vjp`` once, its pull-back called per one-hot vector from Python."""

    chunking: Chunking = "loop"

    def layout(self, target: Target) -> Layout:
        """Return (m,) + leaf.shape for each leaf."""
        del target
        return layouts.ROWS

    def prepare(self, target: Target) -> Prepared:
        """Make the one-hot vectors."""
        function, constants = target.function, target.constants
        basis = list(output_basis(target))

        def call(x: Any) -> Any:
            _, pull = jax.vjp(lambda x: function(x, *constants), x)
            rows = [pull(one_hot)[0] for one_hot in basis]
            return jax.block_until_ready(jax.tree.map(lambda *row: jnp.stack(row), *rows))

        return Prepared(call)


METHODS = (
    EagerTransform("jax.jacrev-eager", jax.jacrev),
    EagerTransform("jax.jacfwd-eager", jax.jacfwd),
    VjpLoop("jax.vjp-loop"),
)
