"""The Jacobian from as many tangents, or cotangents, as its sparsity pattern takes colours.

Which pass is the fastest depends on the function: forward or back, one vector at a time or mapped.
Preparing tries those that the pattern allows, and keeps one.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch.autograd import forward_ad
from torch.func import jvp, vmap

from jacbench.backend import Chunking, Target
from jacbench.core import layouts, tree
from jacbench.core.errors import JacbenchError
from jacbench.core.pattern import Pattern
from jacbench.structure import compression_plan, guard
from jacbench.structure.autotune import fastest
from jacbench.structure.compression import Compression
from jacbench.structure.guard import Structured, StructuredMethod
from jacbench.structure.pattern_check import Products
from jacbench.structure.probing import Product
from jacbench_torch import dependence
from jacbench_torch.isolation import gradients_on, own
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
    from jacbench.core.layouts import Layout

Pass: TypeAlias = Callable[[Any, Any], torch.Tensor]
"""Takes x, and one more vector or None; returns the products, stacked to (count, ...)."""


class Coloured(StructuredMethod, TorchMethod):
    """Compressed products, their entries put into a dense (m, n) matrix."""

    chunking: Chunking = "chunked"

    def layout(self, target: Target) -> Layout:
        """Return (m, n)."""
        del target
        return layouts.MATRIX

    def structured(self, target: Target, before: Pattern | None = None) -> Structured:
        """Find and check the pattern; try the passes and keep the fastest."""
        plan = compression_plan.plan(
            target,
            products(target),
            dependence.detection(target),
            before=before,
            further=lambda: (products_at(target, x) for x in self.further(target)),
        )
        ways, runs = {}, {}
        for one in plan.compressions:
            for name, run in passes(target, one).items():
                arranged = self.arranged(one, target)
                ways[name] = prepared(_alone(run, arranged), target).call
                runs[name] = one, run, arranged
        x = target.x
        chosen = fastest({name: functools.partial(way, x) for name, way in ways.items()}, same)
        used, run, arranged = runs[chosen]
        notes = {
            **plan.notes,
            "compressed_by": used.by,
            "colours": used.count,
            "passes": chosen,
        }
        return Structured(
            call=ways[chosen],
            holding=functools.partial(_held, target, used, run, arranged),
            layout=self.result_layout(plan.pattern),
            notes=notes,
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

    def arranged(
        self, compression: Compression, target: Target
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        """Return what puts every entry of the stacked products in its place."""
        m, n = compression.pattern.shape
        gather, places = _indices(compression.gather, target), _indices(compression.places, target)

        def dense(stacked: torch.Tensor) -> torch.Tensor:
            data = stacked.reshape(-1)[gather]
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
        return layouts.sparse(target.pattern)

    def result_layout(self, pattern: Pattern) -> Layout | None:
        """Return (nnz,)."""
        return layouts.sparse(pattern)

    def arranged(
        self, compression: Compression, target: Target
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        """Return what takes every entry of the stacked products from its place."""
        gather = _indices(compression.gather, target)
        return lambda stacked: stacked.reshape(-1).index_select(0, gather)


def _alone(
    run: Pass, arranged: Callable[[torch.Tensor], torch.Tensor]
) -> Callable[[Any], torch.Tensor]:
    return lambda x: arranged(run(x, None))


def gap(apart: torch.Tensor, scale: torch.Tensor) -> guard.Gap:
    """Return how far two ways to one product are apart, as :func:`jacbench.structure.guard.gap`.

    One number leaves the device.
    """
    tiny = torch.finfo(scale.dtype).tiny

    def whole() -> float:
        found: float = (apart.abs().max() / (scale.max() + tiny)).item()
        return found

    # a norm along the vectors takes torch many times as long
    return (apart / (scale + tiny)).abs_().max().item(), whole


def _held(
    target: Target,
    compression: Compression,
    run: Pass,
    arranged: Callable[[torch.Tensor], torch.Tensor],
    met: Any,
) -> guard.Held:
    """Return the call with one more product, which the entries of all others have to add up to."""
    width = compression.pattern.shape[0 if compression.by == "columns" else 1]
    item = tree.first(target.x).element_size()
    drawn = guard.vectors(met, target.dtype, item * (met.size + compression.count * width))
    minus = np.full((1, width), -1.0, dtype=target.dtype)
    partners = [
        _vectors(target, np.concatenate([compression.partners(vector), minus])) for vector in drawn
    ]
    more = [_in_shape(target, compression.by, _vectors(target, vector[None])) for vector in drawn]

    def held(x: Any, number: int) -> tuple[torch.Tensor, guard.Gap]:
        number %= len(more)
        stacked = run(x, more[number])
        terms = stacked * partners[number]
        apart = terms.sum(0)
        return arranged(stacked), gap(apart, terms.abs_().sum(0))

    return held


def _indices(places: Any, target: Target) -> torch.Tensor:
    return torch.as_tensor(places, dtype=torch.int64, device=tree.first(target.x).device)


# --- passes ---


def passes(target: Target, compression: Compression) -> dict[str, Pass]:
    """Return the ways to all products of one compression, by name."""
    vectors = _vectors(target, compression.seeds(target.dtype))
    seeds = _in_shape(target, compression.by, vectors)
    if compression.by == "columns":
        # a pass back is the graph's own, and under no_grad there would be none
        return {
            "forward, mapped": without_graph(_pushed_at_once(target, seeds), target),
            "forward, one by one": without_graph(_pushed_in_turn(target, seeds), target),
        }
    return {
        "back, one by one": _pulled_in_turn(target, seeds),
        "back, mapped": _pulled_at_once(target, seeds),
    }


def _joined(seeds: Any, more: Any) -> Any:
    """Return the vectors and one more, each a tree with the vectors along the first axis."""
    if more is None:
        return seeds
    if isinstance(seeds, torch.Tensor):
        return torch.cat((seeds, more))
    leaves = zip(tree.leaves(seeds), tree.leaves(more), strict=True)
    return tree.unflatten(seeds, [torch.cat(pair) for pair in leaves])


def _none(x: Any, width: int) -> torch.Tensor:
    """Return the products of no vectors."""
    like: torch.Tensor = tree.first(x)
    return like.new_zeros(0, width)


def _in_turn(seeds: Any) -> list[Any]:
    """Return each vector as the list of its leaves."""
    return list(zip(*(leaf.unbind(0) for leaf in tree.leaves(seeds)), strict=True))


def _pushed_at_once(target: Target, tangents: Any) -> Pass:
    of_x, chunk = unary(target), target.chunk_size

    def run(x: Any, more: Any) -> torch.Tensor:
        def push(tangent: Any) -> Any:
            return jvp(of_x, (x,), (tangent,))[1]

        given = _joined(tangents, more)
        count = len(tree.first(given))
        if not count:
            return _none(x, math.prod(target.y_shape))
        pushed: torch.Tensor = vmap(push, chunk_size=chunk)(given)
        return pushed.reshape(count, -1)

    return run


def _pushed_in_turn(target: Target, tangents: Any) -> Pass:
    of_x, each = unary(target), _in_turn(tangents)

    def run(x: Any, more: Any) -> torch.Tensor:
        leaves, pushed = tree.leaves(x), []
        for tangent in each if more is None else [*each, *_in_turn(more)]:
            with forward_ad.dual_level():
                duals = tuple(map(forward_ad.make_dual, leaves, tangent))
                primal, out = forward_ad.unpack_dual(of_x(tree.unflatten(x, duals)))
                out = torch.zeros_like(primal) if out is None else out
                pushed.append(out.reshape(-1))
        if not pushed:
            return _none(x, math.prod(target.y_shape))
        return torch.stack(pushed)

    return run


def _pulled_in_turn(target: Target, cotangents: torch.Tensor) -> Pass:
    of_x, each = unary(target), cotangents.unbind(0)

    def run(x: Any, more: Any) -> torch.Tensor:
        leaves = detached(x)
        y = of_x(tree.unflatten(x, leaves))
        parts: list[torch.Tensor] = []
        given = each if more is None else (*each, *more.unbind(0))
        for cotangent in given:
            parts += gradients(y, leaves, cotangent, retain_graph=True)
        if not parts:
            return _none(x, sum(leaf.numel() for leaf in leaves))
        return torch.cat([part.reshape(-1) for part in parts]).reshape(len(given), -1)

    return run


def _pulled_at_once(target: Target, cotangents: torch.Tensor) -> Pass:
    of_x = unary(target)

    def run(x: Any, more: Any) -> torch.Tensor:
        leaves = detached(x)
        y = of_x(tree.unflatten(x, leaves))
        given = _joined(cotangents, more)
        if not len(given):
            return _none(x, sum(leaf.numel() for leaf in leaves))
        chunks = given.split(target.chunk_size or len(given))
        flat = [_flat(_batched(y, leaves, chunk), len(chunk)) for chunk in chunks]
        return flat[0] if len(flat) == 1 else torch.cat(flat)

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
    """Return leaves of shape (count,) + leaf.shape as (count, n)."""
    rows = [part.reshape(count, -1) for part in parts]
    return rows[0] if len(rows) == 1 else torch.cat(rows, dim=1)


# --- products ---


def _vectors(target: Target, vectors: Any) -> torch.Tensor:
    leaf = tree.first(target.x)
    return torch.as_tensor(vectors, dtype=leaf.dtype, device=leaf.device)


def _in_shape(target: Target, by: str, vectors: torch.Tensor) -> Any:
    """Return (k, n) vectors as a tree like x, or (k, m) ones like y, k in front of each."""
    if by == "rows":
        return vectors.reshape(len(vectors), *target.y_shape)
    leaves = tree.leaves(target.x)
    parts = vectors.split([leaf.numel() for leaf in leaves], dim=1)
    shaped = [
        part.reshape(len(vectors), *leaf.shape) for part, leaf in zip(parts, leaves, strict=True)
    ]
    return tree.unflatten(target.x, shaped)


def products(target: Target) -> list[Products]:
    """Return products at x and elsewhere."""
    return [products_at(target, x) for x in (target.x, target.elsewhere) if x is not None]


def products_at(target: Target, x: Any) -> Products:
    """Return products at x, on NumPy arrays; mapped where the function can be."""

    def product(by: str, at_once: Any, in_turn: Any) -> Product:
        makers = [at_once, in_turn]

        def of_vectors(vectors: Any) -> Any:
            given = _in_shape(target, by, _vectors(target, vectors))
            with gradients_on():  # whatever surrounds a call
                plain = tree.map_leaves(own, x)
                # a map over one vector takes several times as long as that vector
                if len(vectors) == 1 and len(makers) > 1:
                    return _numbers(makers[1](target, given)(plain, None))
                try:
                    made = makers[0](target, given)(plain, None)
                except Exception:
                    if len(makers) == 1:
                        raise
                    del makers[0]  # what cannot be mapped goes one by one from here on
                    made = makers[0](target, given)(plain, None)
            return _numbers(made)

        return of_vectors

    return Products(
        product("columns", _pushed_at_once, _pushed_in_turn),
        product("rows", _pulled_at_once, _pulled_in_turn),
    )


def _numbers(products: torch.Tensor) -> Any:
    return products.detach().cpu().numpy().reshape(len(products), -1)


METHODS = (Coloured("torch.coloured"), ColouredCsr("torch.coloured-csr"))
