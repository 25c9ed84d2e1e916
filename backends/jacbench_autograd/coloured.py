"""The Jacobian from as many tangents, or cotangents, as its sparsity pattern takes colours."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from autograd.differential_operators import make_jvp, make_vjp

from jacbench import layout, tree
from jacbench.backend import Prepared, Target
from jacbench.errors import JacbenchError
from jacbench.structure import sparsity
from jacbench.structure.compression import Compression
from jacbench.structure.fastest import fastest
from jacbench.structure.pattern import Pattern
from jacbench.structure.verification import Products
from jacbench_autograd.method import AutogradMethod, same, unary

if TYPE_CHECKING:
    from jacbench.layout import Layout

Pass: TypeAlias = Callable[[Any], Any]
"""Takes x and returns the stacked products, flat."""


class Coloured(AutogradMethod):
    """Compressed products, their entries put into a dense (m, n) matrix."""

    def layout(self, target: Target) -> Layout:
        """Return (m, n)."""
        del target
        return layout.MATRIX

    def prepare(self, target: Target) -> Prepared:
        """Find and check the pattern; try forward and back where both will do."""
        plan = sparsity.plan(target, products(target))
        ways: dict[str, Pass] = {}
        count: dict[str, int] = {}
        for one in plan.compressions:
            ways[one.by] = self.arranged(one, passes(target, one))
            count[one.by] = one.count
        x = target.x
        chosen = fastest({name: functools.partial(way, x) for name, way in ways.items()}, same)
        notes = {**plan.notes, "compressed_by": chosen, "colours": count[chosen]}
        return Prepared(ways[chosen], notes, self.result_layout(plan.pattern))

    def result_layout(self, pattern: Pattern) -> Layout | None:
        """Return the layout that only the pattern reveals; None: that of ``layout``."""
        del pattern
        return None

    def arranged(self, compression: Compression, run: Pass) -> Callable[[Any], Any]:
        """Return the call: run the passes and put every entry in its place."""
        m, n = compression.pattern.shape
        gather, places = compression.gather, compression.places

        def dense(x: Any) -> Any:
            data = run(x)[gather]
            flat = np.zeros(m * n, dtype=data.dtype)
            flat[places] = data
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
        return layout.sparse(target.pattern)

    def result_layout(self, pattern: Pattern) -> Layout | None:
        """Return (nnz,)."""
        return layout.sparse(pattern)

    def arranged(self, compression: Compression, run: Pass) -> Callable[[Any], Any]:
        """Return the call: run the passes and take every entry from its place."""
        gather = compression.gather
        return lambda x: run(x)[gather]


# --- passes ---


def passes(target: Target, compression: Compression) -> Pass:
    """Return ``make_jvp``, traced anew for each colour, or ``make_vjp``, traced once."""
    vectors = compression.seeds(target.dtype)
    if compression.by == "columns":
        return _pushed(target, vectors)
    return _pulled(target, vectors)


def _pushed(target: Target, vectors: Any) -> Pass:
    jvp_at, tangents = make_jvp(unary(target)), _like_x(target, vectors)

    def run(x: Any) -> Any:
        push = jvp_at(x)
        return np.concatenate([push(tangent)[1].reshape(-1) for tangent in tangents])

    return run


def _pulled(target: Target, vectors: Any) -> Pass:
    vjp_at, cotangents = make_vjp(unary(target)), list(vectors.reshape(-1, *target.y_shape))

    def run(x: Any) -> Any:
        pull, _ = vjp_at(x)
        parts: list[Any] = []
        for cotangent in cotangents:
            parts += tree.leaves(pull(cotangent))
        return np.concatenate([part.reshape(-1) for part in parts])

    return run


def _like_x(target: Target, vectors: Any) -> list[Any]:
    """Return (k, n) vectors as k trees like x."""
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
    """Return products at x and elsewhere, one vector at a time."""

    def product(maker: Callable[[Target, Any], Pass], x: Any) -> Callable[[Any], Any]:
        def of_vectors(vectors: Any) -> Any:
            run = maker(target, vectors.astype(target.dtype))
            return run(x).reshape(len(vectors), -1)

        return of_vectors

    return [
        Products(product(_pushed, x), product(_pulled, x))
        for x in (target.x, target.elsewhere)
        if x is not None
    ]


METHODS = (Coloured("autograd.coloured"), ColouredCsr("autograd.coloured-csr"))
