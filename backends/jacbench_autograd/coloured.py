"""The Jacobian from as many tangents, or cotangents, as its sparsity pattern takes colours."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from autograd.differential_operators import make_jvp, make_vjp

from jacbench.backend import Target
from jacbench.core import layouts, tree
from jacbench.core.arrays import Array
from jacbench.core.errors import JacbenchError
from jacbench.core.pattern import Pattern
from jacbench.structure import compression_plan, guard
from jacbench.structure.autotune import fastest
from jacbench.structure.compression import Compression
from jacbench.structure.guard import Structured, StructuredMethod
from jacbench.structure.pattern_check import Products
from jacbench_autograd.method import AutogradMethod, same, unary

if TYPE_CHECKING:
    from jacbench.core.layouts import Layout

Pass: TypeAlias = Callable[[Any, Any], Any]
"""Takes x, and a list of more vectors; returns the products, stacked to (count, ...)."""


class Coloured(StructuredMethod, AutogradMethod):
    """Compressed products, their entries put into a dense (m, n) matrix."""

    def layout(self, target: Target) -> Layout:
        """Return (m, n)."""
        del target
        return layouts.MATRIX

    def structured(self, target: Target, before: Pattern | None = None) -> Structured:
        """Find and check the pattern; try forward and back where both will do."""
        plan = compression_plan.plan(
            target,
            products(target),
            before=before,
            further=lambda: (products_at(target, x) for x in self.further(target)),
        )
        runs: dict[str, tuple[Compression, Pass, Callable[[Array], Array]]] = {
            one.by: (one, passes(target, one), self.arranged(one)) for one in plan.compressions
        }
        ways: dict[str, Callable[[Any], Array]]
        ways = {name: _alone(run, arranged) for name, (_, run, arranged) in runs.items()}
        x = target.x
        chosen = fastest({name: functools.partial(way, x) for name, way in ways.items()}, same)
        used, run, arranged = runs[chosen]
        return Structured(
            call=ways[chosen],
            holding=functools.partial(_held, target, used, run, arranged),
            layout=self.result_layout(plan.pattern),
            notes={**plan.notes, "compressed_by": used.by, "colours": used.count},
            everywhere=plan.everywhere,
            side=used.by,
            pattern=plan.pattern,
        )

    def products_of(self, target: Target) -> Callable[[Any], Products]:
        """Return from x to products by the library, forward and back."""
        return functools.partial(products_at, target)

    def result_layout(self, pattern: Pattern) -> Layout | None:
        """Return the layout that only the pattern reveals; None: that of ``layout``."""
        del pattern
        return None

    def arranged(self, compression: Compression) -> Callable[[Array], Array]:
        """Return what puts every entry of the stacked products in its place."""
        m, n = compression.pattern.shape
        places = compression.places

        def dense(stacked: Array) -> Array:
            flat = np.zeros(m * n, dtype=stacked.dtype)
            flat[places] = compression.data(stacked)
            return flat.reshape(m, n)

        return dense


class ColouredCsr(Coloured):
    """Compressed products, their entries in the order of the data of a CSR matrix."""

    def layout(self, target: Target) -> Layout:
        """Return (nnz,), of a pattern that is known beforehand only where it is given."""
        if target.pattern is None:
            raise JacbenchError(
                f"{self.info.name} finds the pattern when it is prepared: its layout is that of "
                "what prepare returns"
            )
        return layouts.sparse(target.pattern)

    def result_layout(self, pattern: Pattern) -> Layout | None:
        """Return (nnz,)."""
        return layouts.sparse(pattern)

    def arranged(self, compression: Compression) -> Callable[[Array], Array]:
        """Return what takes every entry of the stacked products from its place."""
        return compression.data


def _alone(run: Pass, arranged: Callable[[Array], Array]) -> Callable[[Any], Array]:
    return lambda x: arranged(run(x, []))


def _held(
    target: Target,
    compression: Compression,
    run: Pass,
    arranged: Callable[[Array], Array],
    met: Array,
) -> guard.Held:
    """Return the call with one more product, which the entries of all others have to add up to."""
    width = compression.pattern.shape[0 if compression.by == "columns" else 1]
    item = np.dtype(target.dtype).itemsize
    drawn = guard.vectors(met, target.dtype, item * (met.size + compression.count * width))
    given = [in_shape(target, compression.by, vector[None]) for vector in drawn]
    minus = np.full((1, width), -1.0, dtype=target.dtype)
    partners = [np.concatenate([compression.partners(vector), minus]) for vector in drawn]

    def held(x: Any, number: int) -> tuple[Array, guard.Gap]:
        number %= len(given)
        stacked = run(x, given[number])
        terms = stacked * partners[number]
        apart = terms.sum(axis=0)
        return arranged(stacked), guard.gap(apart, np.abs(terms, out=terms).sum(axis=0))

    return held


# --- passes ---


def passes(target: Target, compression: Compression) -> Pass:
    """Return ``make_jvp``, traced anew for each colour, or ``make_vjp``, traced once."""
    return _pass(target, compression.by, compression.seeds(target.dtype))


def _pass(target: Target, by: str, vectors: Array) -> Pass:
    made = _pushed if by == "columns" else _pulled
    return made(target, in_shape(target, by, vectors))


def _pushed(target: Target, tangents: list[Any]) -> Pass:
    jvp_at, m = make_jvp(unary(target)), math.prod(target.y_shape)

    def run(x: Any, more: list[Any]) -> Any:
        push = jvp_at(x)
        given = [*tangents, *more]
        stacked = np.empty((len(given), m), dtype=target.dtype)
        for row, tangent in zip(stacked, given, strict=True):
            row[:] = push(tangent)[1].reshape(-1)
        return stacked

    return run


def _pulled(target: Target, cotangents: list[Any]) -> Pass:
    vjp_at, n = make_vjp(unary(target)), sum(leaf.size for leaf in tree.leaves(target.x))

    def run(x: Any, more: list[Any]) -> Any:
        pull, _ = vjp_at(x)
        given = [*cotangents, *more]
        stacked = np.empty((len(given), n), dtype=target.dtype)
        for row, cotangent in zip(stacked, given, strict=True):
            parts = [leaf.reshape(-1) for leaf in tree.leaves(pull(cotangent))]
            np.concatenate(parts, out=row)
        return stacked

    return run


def in_shape(target: Target, by: str, vectors: Array) -> list[Any]:
    """Return (k, n) vectors as k trees like x, or (k, m) ones as k arrays like y."""
    if by == "rows":
        return [vector.reshape(target.y_shape) for vector in vectors]
    leaves = tree.leaves(target.x)
    ends = np.cumsum([leaf.size for leaf in leaves])[:-1]
    return [
        tree.unflatten(
            target.x,
            [
                part.reshape(leaf.shape)
                for part, leaf in zip(np.split(vector, ends), leaves, strict=True)
            ],
        )
        for vector in vectors
    ]


def products(target: Target) -> list[Products]:
    """Return products at x and elsewhere."""
    return [products_at(target, x) for x in (target.x, target.elsewhere) if x is not None]


def products_at(target: Target, x: Any) -> Products:
    """Return products at x, one vector at a time."""

    def product(by: str) -> Callable[[Any], Any]:
        return lambda vectors: _pass(target, by, vectors.astype(target.dtype))(x, [])

    return Products(product("columns"), product("rows"))


METHODS = (Coloured("autograd.coloured"), ColouredCsr("autograd.coloured-csr"))
