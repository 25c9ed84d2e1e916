"""The whole Jacobian of a function that treats samples apart: its diagonal blocks at once.

Ones at one output component of every sample, pulled back, give that component's gradient of every
sample: m / B passes in place of m. Likewise forward, n / B tangents in place of n.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from autograd.differential_operators import make_jvp, make_vjp

from jacbench import tree
from jacbench.backend import Prepared, Target
from jacbench.layout import Array
from jacbench.structure import samples
from jacbench.structure.fastest import fastest
from jacbench.structure.sample_methods import PerSampleMethod
from jacbench_autograd.method import AutogradMethod, eye, pulled_back, same, unary

Blocks: TypeAlias = Callable[[Any], list[Array]]
"""From x to each leaf's blocks, of shape (B, m / B) + one sample's leaf.shape."""


class PerSample(PerSampleMethod, AutogradMethod):
    """The blocks in the quicker mode, written into zeros."""

    def prepare(self, target: Target) -> Prepared:
        """Make sure that samples are apart; try forward mode where it needs fewer passes."""
        axis = self.batch_axis(target)
        k = math.prod(target.y_shape[1:])
        p = sum(leaf.size for leaf in tree.leaves(target.x)) // target.y_shape[0]
        ways = {"vjp": _whole(target, axis, _pulled(target, axis))}
        if p < k:
            ways["jvp"] = _whole(target, axis, _pushed(target, axis))
        way = fastest({name: _at(call, target.x) for name, call in ways.items()}, same)
        return Prepared(ways[way], {"way": way, "samples": target.y_shape[0]})


def _at(call: Callable[[Any], Any], x: Any) -> Callable[[], object]:
    return lambda: call(x)


def _pulled(target: Target, axis: int) -> Blocks:
    """``make_vjp`` once, its pull-back per output component."""
    batch, *outputs = target.y_shape
    components = eye(math.prod(outputs), target).reshape(-1, 1, *outputs)
    basis = [np.repeat(component, batch, axis=0) for component in components]
    vjp_at = make_vjp(unary(target))

    def blocks(x: Any) -> list[Array]:
        pull, _ = vjp_at(x)
        rows = pulled_back(pull, basis)
        return [np.moveaxis(leaf, 1 + axis if axis >= 0 else axis, 0) for leaf in rows]

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

    def blocks(x: Any) -> list[Array]:
        push = jvp_at(x)
        columns = np.stack([push(tangent)[1] for tangent in basis])
        by_sample = columns.reshape(*columns.shape[:2], -1).transpose(1, 2, 0)
        parts = np.split(by_sample, ends[:-1], axis=2)
        return [
            part.reshape(*part.shape[:2], *rest) for part, rest in zip(parts, rests, strict=True)
        ]

    return blocks


def _whole(target: Target, axis: int, blocks: Blocks) -> Callable[[Any], Array]:
    """Return x -> the (m, n) Jacobian: what ``blocks`` gives, and zeros."""
    batch, *outputs = target.y_shape
    shapes = [leaf.shape for leaf in tree.leaves(target.x)]
    k, n = math.prod(outputs), sum(map(math.prod, shapes))
    places, own_samples = list(samples.parts(shapes, axis)), np.arange(batch)
    dtype = tree.first(target.x).dtype

    def call(x: Any) -> Array:
        found = blocks(x)
        J = np.zeros((batch, k, n), dtype=dtype)
        for (columns, shape, own), block in zip(places, found, strict=True):
            part = J[:, :, columns].reshape(batch, k, *shape)  # a view: only the last axis splits
            np.moveaxis(part, 2 + own, 2)[own_samples, :, own_samples] = block
        return J.reshape(batch * k, n)

    return call


METHODS = (PerSample("autograd.per-sample"),)
