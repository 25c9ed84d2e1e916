"""The whole Jacobian of a function that treats samples apart: its diagonal blocks at once.

Ones at one output component of every sample, pulled back, give that component's gradient of every
sample: m / B passes in place of m. Likewise forward, n / B tangents in place of n.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from autograd.differential_operators import make_jvp, make_vjp

from jacbench.backend import Target
from jacbench.core import tree
from jacbench.core.arrays import Array
from jacbench.core.pattern import Pattern
from jacbench.structure import guard, samples
from jacbench.structure.autotune import fastest
from jacbench.structure.guard import Structured
from jacbench.structure.pattern_check import Products
from jacbench.structure.probe_order import Side
from jacbench.structure.sample_methods import PerSampleMethod
from jacbench_autograd import coloured
from jacbench_autograd.method import AutogradMethod, eye, pulled_back, same, unary

Blocks: TypeAlias = Callable[[Any, Any], tuple[list[Array], list[Array]]]
"""From x to each leaf's blocks, of shape (B, m / B) + one sample's leaf.shape.

And, from x and one more vector, to its product: back for each leaf, samples first, or forward.
"""


class PerSample(PerSampleMethod, AutogradMethod):
    """The blocks in the quicker mode, written into zeros."""

    def structured(self, target: Target, before: Pattern | None = None) -> Structured:
        """Make sure that samples are apart; try forward mode where it needs fewer passes."""
        del before
        found = self.samples(target)
        axis = found.axis
        k = math.prod(target.y_shape[1:])
        p = sum(leaf.size for leaf in tree.leaves(target.x)) // target.y_shape[0]
        ways: dict[str, tuple[Blocks, Side]] = {"vjp": (_pulled(target, axis), "rows")}
        if p < k:
            ways["jvp"] = _pushed(target, axis), "columns"
        place = _among_zeros(target, axis)
        calls = {name: _alone(blocks, place) for name, (blocks, _) in ways.items()}
        x = target.x
        chosen = fastest({name: functools.partial(call, x) for name, call in calls.items()}, same)
        blocks, side = ways[chosen]
        return Structured(
            call=calls[chosen],
            holding=functools.partial(_held, target, axis, blocks, side, place),
            notes={"way": chosen, **found.notes},
            everywhere=found.everywhere,
            side=side,
        )

    def products_of(self, target: Target) -> Callable[[Any], Products]:
        """Return from x to products by the library, forward and back."""
        return functools.partial(coloured.products_at, target)


def _alone(blocks: Blocks, place: Callable[[list[Array]], Array]) -> Callable[[Any], Array]:
    return lambda x: place(blocks(x, None)[0])


def _held(
    target: Target,
    axis: int,
    blocks: Blocks,
    side: Side,
    place: Callable[[list[Array]], Array],
    met: Array,
) -> guard.Held:
    """Return the call with one more pass, which the blocks have to add up to."""
    batch = target.y_shape[0]
    drawn = guard.vectors(met, target.dtype, met.size * np.dtype(target.dtype).itemsize)

    def by_sample(leaf: Array) -> Array:
        return np.moveaxis(leaf, axis, 0).reshape(batch, -1)

    def held(x: Any, number: int) -> tuple[Array, guard.Gap]:
        vector = drawn[number % len(drawn)]
        (given,) = coloured.in_shape(target, side, vector[None])
        found, product = blocks(x, given)
        flat = [block.reshape(*block.shape[:2], -1) for block in found]
        if side == "rows":
            terms = np.concatenate(flat, axis=2) * given.reshape(batch, -1, 1)
            one, along = np.concatenate([by_sample(leaf) for leaf in product], axis=1), 1
        else:
            parts = [by_sample(leaf) for leaf in tree.leaves(given)]
            terms = np.concatenate(flat, axis=2) * np.concatenate(parts, axis=1)[:, None, :]
            one, along = product[0].reshape(batch, -1), 2
        apart = terms.sum(axis=along) - one
        return place(found), guard.gap(apart, abs(terms).sum(axis=along) + abs(one))

    return held


def _pulled(target: Target, axis: int) -> Blocks:
    """``make_vjp`` once, its pull-back per output component."""
    batch, *outputs = target.y_shape
    components = eye(math.prod(outputs), target).reshape(-1, 1, *outputs)
    basis = [np.repeat(component, batch, axis=0) for component in components]
    vjp_at = make_vjp(unary(target))

    def blocks(x: Any, more: Any) -> tuple[list[Array], list[Array]]:
        pull, _ = vjp_at(x)
        rows = pulled_back(pull, basis)
        found = [np.moveaxis(leaf, 1 + axis if axis >= 0 else axis, 0) for leaf in rows]
        return found, [] if more is None else tree.leaves(pull(more))

    return blocks


def _pushed(target: Target, axis: int) -> Blocks:
    """``make_jvp`` per input component; autograd traces the function anew for each."""
    shapes = [leaf.shape for leaf in tree.leaves(target.x)]
    places = list(samples.parts(shapes, axis))
    rests = [shape[:own] + shape[own + 1 :] for _, shape, own in places]
    ends = np.cumsum([math.prod(rest) for rest in rests])
    basis = []
    for one_hot in eye(int(ends[-1]), target):
        pieces = zip(places, np.split(one_hot, ends[:-1]), strict=True)
        leaves = [
            np.repeat(piece.reshape(*shape[:own], 1, *shape[own + 1 :]), shape[own], axis=own)
            for (_, shape, own), piece in pieces
        ]
        basis.append(tree.unflatten(target.x, leaves))
    jvp_at = make_jvp(unary(target))

    def blocks(x: Any, more: Any) -> tuple[list[Array], list[Array]]:
        push = jvp_at(x)
        columns = np.stack([push(tangent)[1] for tangent in basis])
        by_sample = columns.reshape(*columns.shape[:2], -1).transpose(1, 2, 0)
        parts = np.split(by_sample, ends[:-1], axis=2)
        found = [
            part.reshape(*part.shape[:2], *rest) for part, rest in zip(parts, rests, strict=True)
        ]
        return found, [] if more is None else [push(more)[1]]

    return blocks


def _among_zeros(target: Target, axis: int) -> Callable[[list[Array]], Array]:
    """Return what makes the (m, n) Jacobian of each leaf's blocks, and zeros."""
    batch, *outputs = target.y_shape
    shapes = [leaf.shape for leaf in tree.leaves(target.x)]
    k, n = math.prod(outputs), sum(map(math.prod, shapes))
    places, own_samples = list(samples.parts(shapes, axis)), np.arange(batch)
    dtype = tree.first(target.x).dtype

    def among_zeros(found: list[Array]) -> Array:
        J = np.zeros((batch, k, n), dtype=dtype)
        for (columns, shape, own), block in zip(places, found, strict=True):
            part = J[:, :, columns].reshape(batch, k, *shape)  # a view: only the last axis splits
            np.moveaxis(part, 2 + own, 2)[own_samples, :, own_samples] = block
        return J.reshape(batch * k, n)

    return among_zeros


METHODS = (PerSample("autograd.per-sample"),)
