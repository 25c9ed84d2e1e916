"""The Jacobian of f = g o h, split where least passes between x and y, as the product of two.

Both factors come from one executable: Jh by a pull-back per value of the middle, Jg by a push per
value. The middle is one flat vector, so that the product is one of matrices, whatever the shapes.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from jacbench.backend import Target, UnfitError
from jacbench.core import layouts, tree
from jacbench.core.pattern import Pattern
from jacbench.structure import guard
from jacbench.structure.bottleneck import Halves, halve
from jacbench.structure.guard import Structured, StructuredMethod
from jacbench.structure.pattern_check import Products
from jacbench_jax import coloured, guarded, host_product
from jacbench_jax.method import JaxMethod
from jacbench_jax.straight import Straight

if TYPE_CHECKING:
    from jacbench.core.layouts import Layout


@dataclass(frozen=True)
class Chain:
    """A function of x split in two, with the derivative of each half."""

    code: Straight
    halves: Halves

    def inner(self, leaves: list[Any], rest: tuple[Any, ...]) -> tuple[Any, list[Any]]:
        """Return the middle as one vector, and what the outer half needs beside it."""
        halves, given = self.halves, dict(zip(self.code.program.inputs, leaves, strict=True))
        values = self.code.run(halves.inner.steps, given, rest, (*halves.cut, *halves.side))
        count = len(halves.cut)
        middle = jnp.concatenate([value.reshape(-1) for value in values[:count]])
        return middle, values[count:]

    def outer(self, middle: Any, side: list[Any], rest: tuple[Any, ...]) -> Any:
        """Return y."""
        given, start = dict(zip(self.halves.side, side, strict=True)), 0
        for value in self.halves.cut:
            known = self.code.program.values[value]
            part = middle[start : start + known.size].reshape(known.shape)
            given[value] = part.astype(self.code.dtype_of(value))
            start += known.size
        (y,) = self.code.run(self.halves.outer.steps, given, rest, [self.code.program.output])
        return y

    def by_x(self, x: Any, rest: tuple[Any, ...]) -> tuple[Any, list[Any], Any]:
        """Return the middle, the side values and Jh of shape (k, n)."""

        def function(leaves: list[Any]) -> tuple[Any, list[Any]]:
            return self.inner(leaves, rest)

        middle, pull, side = jax.vjp(function, tree.leaves(x), has_aux=True)
        (rows,) = jax.vmap(pull)(jnp.eye(middle.size, dtype=middle.dtype))
        return middle, side, jnp.concatenate([r.reshape(middle.size, -1) for r in rows], axis=1)

    def by_middle(self, middle: Any, side: list[Any], rest: tuple[Any, ...]) -> Any:
        """Return the transpose of Jg, of shape (k, m)."""

        def push(tangent: Any) -> Any:
            return jax.jvp(lambda z: self.outer(z, side, rest), (middle,), (tangent,))[1]

        columns = jax.vmap(push)(jnp.eye(middle.size, dtype=middle.dtype))
        return columns.reshape(middle.size, -1)

    def constant(self, x: Any, rest: tuple[Any, ...]) -> tuple[Any, Any]:
        """Return the factors that are the same at every x, None for one that is not."""

        def outer(x: Any, rest: tuple[Any, ...]) -> Any:
            return self.by_middle(*self.inner(tree.leaves(x), rest), rest)

        def inner(x: Any, rest: tuple[Any, ...]) -> Any:
            return self.by_x(x, rest)[2]

        Jg = jax.jit(outer)(x, rest) if self.halves.outer.linear else None
        Jh = jax.jit(inner)(x, rest) if self.halves.inner.linear else None
        return Jg, Jh

    def factors(self, x: Any, rest: tuple[Any, ...], constant: tuple[Any, Any]) -> tuple[Any, Any]:
        """Return the transpose of Jg, and Jh."""
        Jg, Jh = constant
        if Jh is None:
            middle, side, Jh = self.by_x(x, rest)
        else:
            middle, side = self.inner(tree.leaves(x), rest)
        return self.by_middle(middle, side, rest) if Jg is None else Jg, Jh


def split(target: Target) -> Chain:
    """Return the function of ``target`` split where it is narrowest.

    Short loops are written out where that is narrower, inside of a step.

    Raises
    ------
    UnfitError
        Where no place is narrow enough.
    """
    found: Chain | None = None
    told: UnfitError | None = None
    for unroll in (False, True):
        code = Straight(target, unroll=unroll)
        try:
            halves = halve(code.program)
        except UnfitError as unfit:
            told = unfit
        else:
            if found is None or halves.k < found.halves.k:
                found = Chain(code, halves)
        if not code.has_short_loop():
            break
    if found is None:
        assert told is not None  # noqa: S101 - either the first or the second was refused
        raise told
    return found


class Factors(StructuredMethod, JaxMethod):
    """Both factors, left as two."""

    def layout(self, target: Target) -> Layout:
        """Return (m, k) and (k, n), k being known once the function is traced."""
        return layouts.factored(split(target).halves.k)

    def structured(self, target: Target, before: Pattern | None = None) -> Structured:
        """Trace, split, compute what is constant, compile the rest.

        What was traced is the function for every x of this shape.
        """
        del before
        chain = split(target)
        constant = chain.constant(target.x, chain.code.rest)

        def whole(x: Any, rest: tuple[Any, ...]) -> tuple[Any, Any]:
            transposed, Jh = chain.factors(x, *rest[:2])
            both = transposed.astype(target.dtype), Jh.astype(target.dtype)
            return self.result(*both), both

        def apart(x: Any, both: Any, rest: tuple[Any, ...], u: Any) -> tuple[Any, Any]:
            _, pull = jax.vjp(lambda x: target.function(x, *rest[2]), x)
            one = jnp.concatenate([leaf.reshape(-1) for leaf in jax.tree.leaves(pull(u)[0])])
            transposed, Jh = both
            u = u.reshape(-1)
            scale = (jnp.abs(transposed) @ jnp.abs(u)) @ jnp.abs(Jh) + jnp.abs(one)
            return (transposed @ u) @ Jh - one, scale

        made = Structured(
            layout=self.known_layout(chain.halves),
            notes=dict(chain.halves.notes()),
            everywhere=True,
            side="rows",
        )
        rest = (chain.code.rest, constant, target.constants)
        return guarded.compiled(
            target, made, whole, rest, apart, functools.partial(coloured.drawn, target, "rows")
        )

    def products_of(self, target: Target) -> Callable[[Any], Products]:
        """Return from x to products by the library, forward and back."""
        return coloured.products_of(target)

    def result(self, transposed: Any, Jh: Any) -> Any:
        """Return what the method gives of the two."""
        return transposed.T, Jh

    def known_layout(self, halves: Halves) -> Layout:
        """Return the layout for a middle of known size."""
        return layouts.factored(halves.k)


class Bottleneck(Factors):
    """The product of both factors: the Jacobian."""

    def layout(self, target: Target) -> Layout:
        """Return (m, n)."""
        del target
        return layouts.MATRIX

    def structured(self, target: Target, before: Pattern | None = None) -> Structured:
        """Compile all of it, or leave a product that is large to NumPy."""
        m, n = math.prod(target.y_shape), sum(leaf.size for leaf in tree.leaves(target.x))
        if not host_product.pays(target.device, m, n, target.dtype):
            return super().structured(target, before)
        left = FACTORS.structured(target, before)

        def holding(met: Any) -> guard.Held:
            held = left.holding(met)

            def of_both(x: Any, number: int) -> tuple[Any, guard.Gap]:
                factors, gap = held(x, number)
                return host_product.product(*factors), gap

            return of_both

        return replace(
            left,
            call=lambda x: host_product.product(*left.call(x)),
            holding=holding,
            layout=layouts.MATRIX,
            notes={**left.notes, "product": "by NumPy, into large pages"},
        )

    def result(self, transposed: Any, Jh: Any) -> Any:
        """Multiply."""
        return transposed.T @ Jh

    def known_layout(self, halves: Halves) -> Layout:
        """Return (m, n)."""
        del halves
        return layouts.MATRIX


FACTORS = Factors("jax.factors")
METHODS = (Bottleneck("jax.bottleneck"), FACTORS)
