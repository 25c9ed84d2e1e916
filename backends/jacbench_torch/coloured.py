"""The Jacobian from as many tangents, or cotangents, as its sparsity pattern takes colours.

Which pass is the fastest depends on the function: forward or back, one vector at a time or mapped.
Preparing tries those that the pattern allows, and keeps one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch.autograd import forward_ad
from torch.func import jvp, vmap

from jacbench import layout, tree
from jacbench.backend import Chunking, Prepared, Target
from jacbench.errors import JacbenchError
from jacbench.structure import sparsity
from jacbench.structure.compression import Compression
from jacbench.structure.fastest import fastest
from jacbench.structure.pattern import Pattern
from jacbench.structure.probing import Product
from jacbench.structure.verification import Products
from jacbench_torch.method import (
    TorchMethod,
    detached,
    gradients,
    prepared,
    same,
    unary,
    without_graph,
)

if TYPE_CHECKING:
    from jacbench.layout import Layout

Pass: TypeAlias = Callable[[Any], torch.Tensor]
"""Takes x and returns the stacked products, flat."""


class Coloured(TorchMethod):
    """Compressed products, their entries put into a dense (m, n) matrix."""

    chunking: Chunking = "chunked"

    def layout(self, target: Target) -> Layout:
        """Return (m, n)."""
        del target
        return layout.MATRIX

    def prepare(self, target: Target) -> Prepared:
        """Find and check the pattern; try the passes and keep the fastest."""
        plan = sparsity.plan(target, products(target))
        ways, of_way = {}, {}
        for one in plan.compressions:
            for name, run in passes(target, one).items():
                ways[name] = prepared(self.arranged(one, run, target), target).call
                of_way[name] = one
        x = target.x
        chosen = fastest({name: functools.partial(way, x) for name, way in ways.items()}, same)
        used = of_way[chosen]
        notes = {
            **plan.notes,
            "compressed_by": used.by,
            "colours": used.count,
            "passes": chosen,
        }
        return Prepared(ways[chosen], notes, self.result_layout(plan.pattern))

    def result_layout(self, pattern: Pattern) -> Layout | None:
        """Return the layout that only the pattern reveals; None: that of ``layout``."""
        del pattern
        return None

    def arranged(
        self, compression: Compression, run: Pass, target: Target
    ) -> Callable[[Any], torch.Tensor]:
        """Return the call: run the passes and put every entry in its place."""
        m, n = compression.pattern.shape
        gather, places = _indices(compression.gather, target), _indices(compression.places, target)

        def dense(x: Any) -> torch.Tensor:
            data = run(x)[gather]
            flat = torch.zeros(m * n, dtype=data.dtype, device=data.device)
            return flat.scatter_(0, places, data).reshape(m, n)

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

    def arranged(
        self, compression: Compression, run: Pass, target: Target
    ) -> Callable[[Any], torch.Tensor]:
        """Return the call: run the passes and take every entry from its place."""
        gather = _indices(compression.gather, target)
        return lambda x: run(x).index_select(0, gather)


def _indices(places: Any, target: Target) -> torch.Tensor:
    return torch.as_tensor(places, dtype=torch.int64, device=tree.first(target.x).device)


# --- passes ---


def passes(target: Target, compression: Compression) -> dict[str, Pass]:
    """Return the ways to all products of one compression, by name."""
    vectors = _vectors(target, compression.seeds(target.dtype))
    if compression.by == "columns":
        tangents = _like_x(target, vectors)
        # a pass back is the graph's own, and under no_grad there would be none
        return {
            "forward, mapped": without_graph(_pushed_at_once(target, tangents), target),
            "forward, one by one": without_graph(_pushed_in_turn(target, tangents), target),
        }
    cotangents = vectors.reshape(-1, *target.y_shape)
    return {
        "back, one by one": _pulled_in_turn(target, cotangents),
        "back, mapped": _pulled_at_once(target, cotangents),
    }


def _pushed_at_once(target: Target, tangents: Any) -> Pass:
    of_x, chunk = unary(target), target.chunk_size

    def run(x: Any) -> torch.Tensor:
        def push(tangent: Any) -> Any:
            return jvp(of_x, (x,), (tangent,))[1]

        pushed: torch.Tensor = vmap(push, chunk_size=chunk)(tangents)
        return pushed.reshape(-1)

    return run


def _pushed_in_turn(target: Target, tangents: Any) -> Pass:
    of_x = unary(target)
    each = list(zip(*(leaf.unbind(0) for leaf in tree.leaves(tangents)), strict=True))

    def run(x: Any) -> torch.Tensor:
        leaves, pushed = tree.leaves(x), []
        for tangent in each:
            with forward_ad.dual_level():
                duals = tuple(map(forward_ad.make_dual, leaves, tangent))
                primal, out = forward_ad.unpack_dual(of_x(tree.unflatten(x, duals)))
                out = torch.zeros_like(primal) if out is None else out
                pushed.append(out.reshape(-1))
        return torch.cat(pushed)

    return run


def _pulled_in_turn(target: Target, cotangents: torch.Tensor) -> Pass:
    of_x, each = unary(target), cotangents.unbind(0)

    def run(x: Any) -> torch.Tensor:
        leaves = detached(x)
        y = of_x(tree.unflatten(x, leaves))
        parts: list[torch.Tensor] = []
        for cotangent in each:
            parts += gradients(y, leaves, cotangent, retain_graph=True)
        return torch.cat([part.reshape(-1) for part in parts])

    return run


def _pulled_at_once(target: Target, cotangents: torch.Tensor) -> Pass:
    of_x = unary(target)
    chunks = cotangents.split(target.chunk_size or len(cotangents))

    def run(x: Any) -> torch.Tensor:
        leaves = detached(x)
        y = of_x(tree.unflatten(x, leaves))
        return torch.cat([_flat(_batched(y, leaves, chunk), len(chunk)) for chunk in chunks])

    return run


def _batched(y: torch.Tensor, leaves: list[torch.Tensor], chunk: torch.Tensor) -> list[Any]:
    """Return, for each leaf, its gradients for a chunk of cotangents; zeros where it is unused."""
    if not y.requires_grad:
        found: Any = [None] * len(leaves)
    else:
        found = torch.autograd.grad(
            y, leaves, chunk, retain_graph=True, allow_unused=True, is_grads_batched=True
        )
    return [
        leaf.new_zeros(len(chunk), *leaf.shape) if part is None else part
        for leaf, part in zip(leaves, found, strict=True)
    ]


def _flat(parts: list[torch.Tensor], count: int) -> torch.Tensor:
    """Return leaves of shape (count,) + leaf.shape as (count, n), flattened."""
    rows = [part.reshape(count, -1) for part in parts]
    whole = rows[0] if len(rows) == 1 else torch.cat(rows, dim=1)
    return whole.reshape(-1)


# --- products ---


def _vectors(target: Target, vectors: Any) -> torch.Tensor:
    leaf = tree.first(target.x)
    return torch.as_tensor(vectors, dtype=leaf.dtype, device=leaf.device)


def _like_x(target: Target, vectors: torch.Tensor) -> Any:
    """Return (k, n) vectors as a tree like x, each leaf of shape (k,) + leaf.shape."""
    leaves = tree.leaves(target.x)
    parts = vectors.split([leaf.numel() for leaf in leaves], dim=1)
    shaped = [part.reshape(-1, *leaf.shape) for part, leaf in zip(parts, leaves, strict=True)]
    return tree.unflatten(target.x, shaped)


def products(target: Target) -> list[Products]:
    """Return products at x and elsewhere, on NumPy arrays; mapped where the function can be."""

    def product(at_once: Any, in_turn: Any, shaped: Any, x: Any) -> Product:
        makers = [at_once, in_turn]

        def of_vectors(vectors: Any) -> Any:
            given = shaped(_vectors(target, vectors))
            try:
                made = makers[0](target, given)(x)
            except Exception:
                if len(makers) == 1:
                    raise
                del makers[0]  # what cannot be mapped goes one by one from here on
                made = makers[0](target, given)(x)
            return made.detach().cpu().numpy().reshape(len(vectors), -1)

        return of_vectors

    def like_x(vectors: torch.Tensor) -> Any:
        return _like_x(target, vectors)

    def like_y(vectors: torch.Tensor) -> Any:
        return vectors.reshape(-1, *target.y_shape)

    return [
        Products(
            product(_pushed_at_once, _pushed_in_turn, like_x, x),
            product(_pulled_at_once, _pulled_in_turn, like_y, x),
        )
        for x in (target.x, target.elsewhere)
        if x is not None
    ]


METHODS = (Coloured("torch.coloured"), ColouredCsr("torch.coloured-csr"))
