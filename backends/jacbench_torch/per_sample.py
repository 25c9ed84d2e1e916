"""The whole Jacobian of a function that treats samples apart: its diagonal blocks at once.

Ones at one output component of every sample, pulled back, give that component's gradient of every
sample: m / B passes in place of m. Likewise forward, n / B tangents in place of n. Unlike a map
over samples this calls the function with the batch that it was written for.
Reference: https://docs.pytorch.org/tutorials/intermediate/per_sample_grads.html
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch.func import jvp, vmap

from jacbench.backend import Chunking, Target
from jacbench.core import tree
from jacbench.core.pattern import Pattern
from jacbench.structure import guard, samples
from jacbench.structure.autotune import fastest
from jacbench.structure.guard import Structured
from jacbench.structure.pattern_check import Products
from jacbench.structure.probe_order import Side
from jacbench.structure.sample_methods import PerSampleMethod
from jacbench_torch import coloured, dependence
from jacbench_torch.method import (
    TorchMethod,
    detached,
    gradients,
    of_leaves,
    prepared,
    same,
    unary,
    without_graph,
)

Stacked: TypeAlias = list[torch.Tensor]
"""The results of passes, stacked: back one array for each leaf of x, forward one like y."""


@dataclass(frozen=True)
class Way:
    """Passes that together give the blocks of all samples.

    Attributes
    ----------
    run
        From x, and one more vector or None, to the results of all passes, that vector's last.
    blocks
        From the results to each leaf's blocks, of shape (m / B,) + one sample's leaf.shape + (B,).
    side
        ``rows`` where the passes go back, ``columns`` where they go forward.
    """

    run: Callable[[Any, Any], Stacked]
    blocks: Callable[[Stacked], Sequence[torch.Tensor]]
    side: Side


class PerSample(PerSampleMethod, TorchMethod):
    """The blocks by the quickest of three ways, written into zeros."""

    chunking: Chunking = "chunked"

    def structured(self, target: Target, before: Pattern | None = None) -> Structured:
        """Make sure that samples are apart; try the ways that may be the quickest, once each."""
        del before
        found = self.samples(target)
        axis, ways = found.axis, _ways(target, found.axis)
        place = _among_zeros(target, axis)
        calls = {name: prepared(_alone(way, place), target).call for name, way in ways.items()}
        x = target.x
        chosen = fastest({name: functools.partial(call, x) for name, call in calls.items()}, same)
        way = ways[chosen]
        return Structured(
            call=calls[chosen],
            holding=functools.partial(_held, target, axis, way, place),
            notes={"way": chosen, **found.notes},
            everywhere=found.everywhere,
            side=way.side,
        )

    def traced(self, target: Target) -> Pattern:
        """Return where J may be other than zero, by what is recorded of the function."""
        return dependence.pattern(target)

    def products_of(self, target: Target) -> Callable[[Any], Products]:
        """Return from x to products by the library, forward and back."""
        return functools.partial(coloured.products_at, target)


def _alone(way: Way, place: Callable[[Any], torch.Tensor]) -> Callable[[Any], torch.Tensor]:
    return lambda x: place(way.blocks(way.run(x, None)))


def _held(
    target: Target, axis: int, way: Way, place: Callable[[Any], torch.Tensor], met: Any
) -> guard.Held:
    """Return the call with one more pass, which the blocks have to add up to."""
    like = tree.first(target.x)
    drawn = torch.as_tensor(
        guard.vectors(met, target.dtype, 2 * met.size * like.element_size()), device=like.device
    )
    partners = _to_rows if way.side == "rows" else _to_columns
    given = [partners(target, axis, vector) for vector in drawn]

    def held(x: Any, number: int) -> tuple[torch.Tensor, guard.Gap]:
        more, factors = given[number % len(given)]
        stacked = way.run(x, more)
        found = place(way.blocks([part[:-1] for part in stacked]))
        aparts, scales = [], []
        for part, factor in zip(stacked, factors, strict=True):
            terms, one = part[:-1] * factor, part[-1]
            aparts.append((terms.sum(0) - one).reshape(-1))
            scales.append((terms.abs_().sum(0) + one.abs()).reshape(-1))
        return found, coloured.gap(_one(aparts), _one(scales))

    return held


def _one(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(tuple(parts))


def _to_rows(target: Target, axis: int, vector: torch.Tensor) -> tuple[Any, Stacked]:
    """Return a cotangent, and what each component's gradients are multiplied with."""
    batch = target.y_shape[0]
    of_component = vector.reshape(batch, -1).T
    factors = []
    for leaf in tree.leaves(target.x):
        shape = [1] * leaf.ndim
        shape[axis] = batch
        factors.append(of_component.reshape(-1, *shape))
    return vector.reshape(target.y_shape), factors


def _to_columns(target: Target, axis: int, vector: torch.Tensor) -> tuple[Any, Stacked]:
    """Return a tangent, and what the derivatives by each component are multiplied with."""
    leaves = tree.leaves(target.x)
    parts = [
        part.reshape(leaf.shape)
        for part, leaf in zip(vector.split([leaf.numel() for leaf in leaves]), leaves, strict=True)
    ]
    by_sample = [part.movedim(axis, 0).reshape(target.y_shape[0], -1) for part in parts]
    factor = torch.cat(by_sample, dim=1).T
    return (
        tree.unflatten(target.x, [part[None] for part in parts]),
        [factor.reshape(*factor.shape, *(1 for _ in target.y_shape[1:]))],
    )


def _ways(target: Target, axis: int) -> dict[str, Way]:
    """Return the ways worth trying: forward mode only where it needs fewer passes."""
    k = math.prod(target.y_shape[1:])
    p = sum(leaf.numel() for leaf in tree.leaves(target.x)) // target.y_shape[0]

    def pulled(stacked: Stacked) -> Sequence[torch.Tensor]:
        return [_last(part, axis, 1) for part in stacked]

    ways = {"grad": Way(_grad(target), pulled, "rows")}
    if k > 1:
        ways["grad-batched"] = Way(_grad_batched(target), pulled, "rows")
    if p < k:
        ways["jvp"] = Way(_jvp(target, axis), _by_columns(target, axis), "columns")
    return ways


def _grad(target: Target) -> Callable[[Any, Any], Stacked]:
    """One ``torch.autograd.grad`` per output component."""
    spread, ones = of_leaves(target), [one.contiguous() for one in _component_basis(target)]

    def run(x: Any, more: Any) -> Stacked:
        leaves = detached(x)
        y = spread(*leaves)
        given = ones if more is None else [*ones, more]
        passes = [gradients(y, leaves, one, retain_graph=True) for one in given]
        return [torch.stack(of_leaf) for of_leaf in zip(*passes, strict=True)]

    return run


def _grad_batched(target: Target) -> Callable[[Any, Any], Stacked]:
    """``torch.autograd.grad(is_grads_batched=True)`` over the output components."""
    spread, basis = of_leaves(target), _component_basis(target)

    def run(x: Any, more: Any) -> Stacked:
        leaves = detached(x)
        y = spread(*leaves)
        given = basis if more is None else torch.cat((basis, more[None]))
        if not y.requires_grad:
            return [leaf.new_zeros(len(given), *leaf.shape) for leaf in leaves]
        passes = [
            torch.autograd.grad(
                y, leaves, chunk, retain_graph=True, allow_unused=True, is_grads_batched=True
            )
            for chunk in given.split(target.chunk_size or len(given))
        ]
        return [
            _joined(leaf, of_leaf, len(given))
            for leaf, of_leaf in zip(leaves, zip(*passes, strict=True), strict=True)
        ]

    return run


def _joined(leaf: torch.Tensor, chunks: Sequence[torch.Tensor | None], count: int) -> torch.Tensor:
    """Return the chunks as one tensor; zeros where y does not depend on the leaf."""
    found = [chunk for chunk in chunks if chunk is not None]
    if not found:
        return leaf.new_zeros(count, *leaf.shape)
    return found[0] if len(found) == 1 else torch.cat(found)


def _jvp(target: Target, axis: int) -> Callable[[Any, Any], Stacked]:
    """``torch.func.jvp`` mapped over the input components, each tangent for every sample."""
    of_x, tangents, chunk = unary(target), _tangents(target, axis), target.chunk_size

    def run(x: Any, more: Any) -> Stacked:
        def push(tangent: Any) -> Any:
            return jvp(of_x, (x,), (tangent,))[1]

        given = tangents if more is None else tree.unflatten(x, _side_by_side(tangents, more))
        return [vmap(push, chunk_size=chunk)(given)]

    return without_graph(run, target)


def _side_by_side(tangents: Any, more: Any) -> list[torch.Tensor]:
    pairs = zip(tree.leaves(tangents), tree.leaves(more), strict=True)
    return [torch.cat(pair) for pair in pairs]


def _by_columns(target: Target, axis: int) -> Callable[[Stacked], Sequence[torch.Tensor]]:
    """Return what takes each leaf's blocks from derivatives by the components of a sample."""
    shapes = [leaf.shape for leaf in tree.leaves(target.x)]
    rests = [shape[: axis % len(shape)] + shape[axis % len(shape) + 1 :] for shape in shapes]
    sizes = [math.prod(rest) for rest in rests]

    def blocks(stacked: Stacked) -> Sequence[torch.Tensor]:
        (columns,) = stacked
        by_output = columns.reshape(*columns.shape[:2], -1).permute(2, 0, 1)
        parts = by_output.split(sizes, dim=1)
        return [
            part.reshape(part.shape[0], *rest, part.shape[2])
            for part, rest in zip(parts, rests, strict=True)
        ]

    return blocks


def _component_basis(target: Target) -> torch.Tensor:
    """Return ones at one output component of every sample, of shape (m / B,) + y.shape."""
    shape = target.y_shape[1:]
    leaf, k = tree.first(target.x), math.prod(shape)
    one_hot = torch.eye(k, dtype=leaf.dtype, device=leaf.device).reshape(k, 1, *shape)
    return one_hot.expand(k, *target.y_shape)


def _tangents(target: Target, axis: int) -> Any:
    """Return ones at one input component of every sample: each leaf (n / B,) + leaf.shape."""
    leaves = tree.leaves(target.x)
    sizes = [leaf.numel() // leaf.shape[axis] for leaf in leaves]
    p = sum(sizes)
    eye = torch.eye(p, dtype=leaves[0].dtype, device=leaves[0].device)
    parts = []
    for part, leaf in zip(eye.split(sizes, dim=1), leaves, strict=True):
        own = axis % leaf.ndim
        shape = (*leaf.shape[:own], 1, *leaf.shape[own + 1 :])
        parts.append(part.reshape(p, *shape).expand(p, *leaf.shape))
    return tree.unflatten(target.x, parts)


def _last(array: torch.Tensor, axis: int, before: int = 0) -> torch.Tensor:
    """Return a leaf's gradients with the axis over samples last; ``before`` it stand others."""
    return array.movedim(axis + before if axis >= 0 else axis, -1)


def _among_zeros(target: Target, axis: int) -> Callable[[Sequence[torch.Tensor]], torch.Tensor]:
    """Return what makes the (m, n) Jacobian of each leaf's blocks, and zeros."""
    batch, *outputs = target.y_shape
    shapes = [tuple(leaf.shape) for leaf in tree.leaves(target.x)]
    k, n = math.prod(outputs), sum(map(math.prod, shapes))
    places = list(samples.parts(shapes, axis))
    like = tree.first(target.x)

    def among_zeros(found: Sequence[torch.Tensor]) -> torch.Tensor:
        J = torch.zeros(batch, k, n, dtype=like.dtype, device=like.device)
        for (columns, shape, own), block in zip(places, found, strict=True):
            part = J[:, :, columns].unflatten(2, shape)
            part.diagonal(dim1=0, dim2=2 + own).copy_(block)
        return J.reshape(batch * k, n)

    return among_zeros


METHODS = (PerSample("torch.per-sample"),)
