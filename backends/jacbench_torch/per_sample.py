"""The whole Jacobian of a function that treats samples apart: its diagonal blocks at once.

Ones at one output component of every sample, pulled back, give that component's gradient of every
sample: m / B passes in place of m. Likewise forward, n / B tangents in place of n. Unlike a map
over samples this calls the function with the batch that it was written for.
Reference: https://docs.pytorch.org/tutorials/intermediate/per_sample_grads.html
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch.func import jvp, vmap

from jacbench import tree
from jacbench.backend import Chunking, Prepared, Target
from jacbench.structure import samples
from jacbench.structure.fastest import fastest
from jacbench.structure.sample_methods import PerSampleMethod
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

Blocks: TypeAlias = Callable[[Any], Sequence[torch.Tensor]]
"""From x to each leaf's blocks, of shape (m / B,) + one sample's leaf.shape + (B,)."""


class PerSample(PerSampleMethod, TorchMethod):
    """The blocks by the quickest of three ways, written into zeros."""

    chunking: Chunking = "chunked"

    def prepare(self, target: Target) -> Prepared:
        """Make sure that samples are apart; try the ways that may be the quickest, once each."""
        axis = self.batch_axis(target)
        ways = {name: _whole(target, axis, blocks) for name, blocks in _ways(target, axis).items()}
        timed: Mapping[str, Callable[[], object]] = {
            name: _waiting(call, target) for name, call in ways.items()
        }
        way = fastest(timed, same)
        return prepared(ways[way], target, way=way, samples=target.y_shape[0])


def _waiting(call: Callable[[Any], Any], target: Target) -> Callable[[], object]:
    waiting = prepared(call, target).call
    return lambda: waiting(target.x)


def _ways(target: Target, axis: int) -> dict[str, Blocks]:
    """Return the ways worth trying: forward mode only where it needs fewer passes."""
    k = math.prod(target.y_shape[1:])
    p = sum(leaf.numel() for leaf in tree.leaves(target.x)) // target.y_shape[0]
    ways = {"grad": _grad(target, axis)}
    if k > 1:
        ways["grad-batched"] = _grad_batched(target, axis)
    if p < k:
        ways["jvp"] = _jvp(target, axis)
    return ways


def _grad(target: Target, axis: int) -> Blocks:
    """One ``torch.autograd.grad`` per output component."""
    spread, ones = of_leaves(target), [one.contiguous() for one in _component_basis(target)]

    def blocks(x: Any) -> Sequence[torch.Tensor]:
        leaves = detached(x)
        y = spread(*leaves)
        passes = [gradients(y, leaves, one, retain_graph=True) for one in ones]
        return [
            torch.stack([_last(g, axis) for g in of_leaf]) for of_leaf in zip(*passes, strict=True)
        ]

    return blocks


def _grad_batched(target: Target, axis: int) -> Blocks:
    """``torch.autograd.grad(is_grads_batched=True)`` over the output components."""
    spread, basis = of_leaves(target), _component_basis(target)
    chunks = basis.split(target.chunk_size or len(basis))

    def blocks(x: Any) -> Sequence[torch.Tensor]:
        leaves = detached(x)
        y = spread(*leaves)
        if not y.requires_grad:
            return [_last(leaf.new_zeros(len(basis), *leaf.shape), axis, 1) for leaf in leaves]
        passes = [
            torch.autograd.grad(
                y, leaves, chunk, retain_graph=True, allow_unused=True, is_grads_batched=True
            )
            for chunk in chunks
        ]
        return [
            _last(_joined(leaf, of_leaf, len(basis)), axis, 1)
            for leaf, of_leaf in zip(leaves, zip(*passes, strict=True), strict=True)
        ]

    return blocks


def _joined(leaf: torch.Tensor, chunks: Sequence[torch.Tensor | None], count: int) -> torch.Tensor:
    """Return the chunks as one tensor; zeros where y does not depend on the leaf."""
    found = [chunk for chunk in chunks if chunk is not None]
    if not found:
        return leaf.new_zeros(count, *leaf.shape)
    return found[0] if len(found) == 1 else torch.cat(found)


def _jvp(target: Target, axis: int) -> Blocks:
    """``torch.func.jvp`` mapped over the input components, each tangent for every sample."""
    of_x, tangents, chunk = unary(target), _tangents(target, axis), target.chunk_size
    shapes = [leaf.shape for leaf in tree.leaves(target.x)]
    rests = [shape[: axis % len(shape)] + shape[axis % len(shape) + 1 :] for shape in shapes]
    sizes = [math.prod(rest) for rest in rests]

    def blocks(x: Any) -> Sequence[torch.Tensor]:
        def push(tangent: Any) -> Any:
            return jvp(of_x, (x,), (tangent,))[1]

        columns = vmap(push, chunk_size=chunk)(tangents)
        by_output = columns.reshape(*columns.shape[:2], -1).permute(2, 0, 1)
        parts = by_output.split(sizes, dim=1)
        return [
            part.reshape(part.shape[0], *rest, part.shape[2])
            for part, rest in zip(parts, rests, strict=True)
        ]

    return without_graph(blocks, target)


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


def _whole(target: Target, axis: int, blocks: Blocks) -> Callable[[Any], torch.Tensor]:
    """Return x -> the (m, n) Jacobian: what ``blocks`` gives, and zeros."""
    batch, *outputs = target.y_shape
    shapes = [tuple(leaf.shape) for leaf in tree.leaves(target.x)]
    k, n = math.prod(outputs), sum(map(math.prod, shapes))
    places = list(samples.parts(shapes, axis))
    like = tree.first(target.x)

    def call(x: Any) -> torch.Tensor:
        found = blocks(x)
        J = torch.zeros(batch, k, n, dtype=like.dtype, device=like.device)
        for (columns, shape, own), block in zip(places, found, strict=True):
            part = J[:, :, columns].unflatten(2, shape)
            part.diagonal(dim1=0, dim2=2 + own).copy_(block)
        return J.reshape(batch * k, n)

    return call


METHODS = (PerSample("torch.per-sample"),)
