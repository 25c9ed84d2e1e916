"""Value and Jacobian from one evaluation of the function, compiled ahead of time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax

from jacbench.backend import Target
from jacbench.core import layouts, tree
from jacbench_jax.method import output_basis
from jacbench_jax.staged import Staged

if TYPE_CHECKING:
    from jacbench.core.layouts import Layout


class WithAux(Staged):
    """``jax.jacrev`` or ``jax.jacfwd`` of y, with what the function returned as its aux."""

    def __init__(self, name: str, transform: Callable[..., Any]) -> None:
        super().__init__(name)
        self.transform = transform

    def to_compile(self, target: Target) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Let the value come out of the differentiation beside the Jacobian."""

        def twice(x: Any, *constants: Any) -> tuple[Any, Any]:
            value = target.function(x, *constants)
            return (value[0] if target.has_aux else value), value

        jacobian = self.transform(twice, has_aux=True)

        def value_and_jacobian(x: Any, *constants: Any) -> tuple[Any, Any]:
            derivative, value = jacobian(x, *constants)
            return value, derivative

        return value_and_jacobian, target.constants


class ValueAndVjp(Staged):
    """``jax.vjp`` gives y; its pull-back is mapped over one-hot rows."""

    def layout(self, target: Target) -> Layout:
        """Return (m,) + leaf.shape for each leaf."""
        del target
        return layouts.ROWS

    def to_compile(self, target: Target) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Evaluate once, pull back all rows."""

        def value_and_rows(x: Any, basis: Any, *constants: Any) -> tuple[Any, Any]:
            def function(x: Any) -> Any:
                return target.function(x, *constants)

            if target.has_aux:
                y, pull, aux = jax.vjp(function, x, has_aux=True)
                return (y, aux), jax.vmap(pull)(basis.astype(y.dtype))[0]
            y, pull = jax.vjp(function, x)
            return y, jax.vmap(pull)(basis.astype(y.dtype))[0]

        # of x's dtype: that of y would take a tracing to know, and is known in this one
        basis = output_basis(target, tree.first(target.x).dtype)
        return value_and_rows, (basis, *target.constants)


METHODS = (
    WithAux("jax.jacrev-aux", jax.jacrev),
    WithAux("jax.jacfwd-aux", jax.jacfwd),
    ValueAndVjp("jax.value-and-vjp"),
)
