"""The Jacobian of each sample's outputs by its own inputs: sample by sample, or all at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from autograd.differential_operators import make_vjp

from jacbench.backend import Prepared, Target
from jacbench.core import layouts, tree
from jacbench.core.arrays import Shape
from jacbench.structure.sample_methods import SumTrickMethod
from jacbench_autograd.method import AutogradMethod, eye, output_basis, pulled_back, unary

if TYPE_CHECKING:
    from jacbench.core.layouts import Layout


class BatchMethod(AutogradMethod):
    """A batch of Jacobians, one array for each leaf of x."""

    def layout(self, target: Target) -> Layout:
        """Return y.shape + one sample's leaf.shape for each leaf."""
        del target
        return layouts.OUTPUT_BY_INPUT


class SampleLoop(BatchMethod):
    """``make_vjp`` per sample, on a batch of one, and its pull-back per one-hot vector."""

    def prepare(self, target: Target) -> Prepared:
        """Cut the constants into samples, and make one sample's one-hot vectors."""
        axis, *constant_axes = target.in_axes
        batch, *y_sample = target.y_shape
        basis = output_basis((1, *y_sample), target)
        samples = [
            [_sample(c, a, b) for c, a in zip(target.constants, constant_axes, strict=True)]
            for b in range(batch)
        ]
        shapes = [(batch, *y_sample, *shape) for shape in _sample_shapes(target)]
        vjp_at = make_vjp(target.function)

        def call(x: Any) -> Any:
            parts = []
            for b, constants in enumerate(samples):
                pull, _ = vjp_at(_sample(x, axis, b), *constants)
                parts.append(pulled_back(pull, basis))
            stacked = [np.stack(part) for part in zip(*parts, strict=True)]
            return _like(x, stacked, shapes)

        return Prepared(call)


class SumTrick(SumTrickMethod, BatchMethod):
    """``make_vjp`` once; ones of one output component for all samples at once, pulled back.

    No sample sees another, so that the gradient of a component's sum over the samples holds each
    sample's own gradient.
    """

    def prepare(self, target: Target) -> Prepared:
        """Make the cotangents: ones of a component, for each component of one sample."""
        axis = self.batch_axis(target)
        batch, *y_sample = target.y_shape
        components = eye(int(np.prod(y_sample, dtype=int)), target).reshape(-1, 1, *y_sample)
        basis = [np.repeat(component, batch, axis=0) for component in components]
        shapes = [(batch, *y_sample, *shape) for shape in _sample_shapes(target)]
        vjp_at = make_vjp(unary(target))

        def by_sample(rows: Any) -> Any:
            # (components, ..., samples, ...) to (samples, components, ...)
            return np.moveaxis(rows, 1 + axis if axis >= 0 else axis, 0)

        def call(x: Any) -> Any:
            pull, _ = vjp_at(x)
            return _like(x, [by_sample(rows) for rows in pulled_back(pull, basis)], shapes)

        return Prepared(call)


def _sample(value: Any, axis: int | None, index: int) -> Any:
    """Return a batch of one of ``value``; all of it where the samples share it."""
    if axis is None:
        return value

    def cut(leaf: Any) -> Any:
        return leaf[(slice(None),) * (axis % leaf.ndim) + (slice(index, index + 1),)]

    return cut(value) if tree.is_leaf(value) else tree.map_leaves(cut, value)


def _sample_shapes(target: Target) -> list[Shape]:
    axis = target.in_axes[0]
    shapes = [leaf.shape for leaf in tree.leaves(target.x)]
    if axis is None:
        return shapes
    return [tuple(np.delete(shape, axis).tolist()) for shape in shapes]


def _like(x: Any, arrays: list[Any], shapes: list[Shape]) -> Any:
    """Return ``arrays`` in the structure of x, reshaped."""
    return tree.unflatten(x, [a.reshape(s) for a, s in zip(arrays, shapes, strict=True)])


METHODS = (SampleLoop("autograd.sample-loop"), SumTrick("autograd.sum-trick"))
