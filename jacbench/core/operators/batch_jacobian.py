"""``batch_jacobian``: the derivative of each sample's outputs by its own inputs."""

from __future__ import annotations

import itertools
import math

import numpy as np

from jacbench.core.arrays import Array, Shape
from jacbench.core.operators.operator import Operator, Sizes

SHARED = "the samples share x: the sum trick would give the sum over them; map over samples"
"""Why a method that pulls back ones for all samples at once declines a shared x."""


class BatchJacobian(Operator):
    """``(B, m, n)`` per sample, as an array of shape y.shape + one sample's leaf.shape.

    Where x runs over samples these are the diagonal blocks of the Jacobian, and all of it as long
    as no sample sees another. Where the samples share x (parameters) it is the whole Jacobian.
    """

    name = "batch_jacobian"

    def shapes(self, sizes: Sizes) -> tuple[Shape, list[Shape]]:
        """Return y.shape, whose first axis is that of samples, and one sample's leaf shapes."""
        return sizes.y_shape, sizes.sample_shapes

    def expected(self, jacobian: Array, sizes: Sizes, vector: Array | None) -> Array:
        """Return the diagonal blocks, one below the other."""
        del vector
        if sizes.batch_axis is None:
            return jacobian
        samples = np.arange(sizes.y_shape[0])
        parts = [
            block[samples, :, samples].reshape(len(jacobian), -1)
            for block in by_sample(jacobian, sizes)
        ]
        return np.concatenate(parts, axis=1)


def by_sample(jacobian: Array, sizes: Sizes) -> list[Array]:
    """Return for each leaf of x the Jacobian as an array (B, m / B, B, leaf.size / B).

    Entry (b, i, a, j) is the derivative of output i of sample b by input j of sample a.
    """
    axis = sizes.batch_axis
    assert axis is not None  # noqa: S101 - asked only where x runs over samples
    ends = np.cumsum([0, *(math.prod(shape) for shape in sizes.leaf_shapes)]).tolist()
    batch = sizes.y_shape[0]
    blocks = []
    for (start, stop), shape in zip(itertools.pairwise(ends), sizes.leaf_shapes, strict=True):
        block = jacobian[:, start:stop].reshape(batch, -1, *shape)
        block = np.moveaxis(block, 2 + axis % len(shape), 2)
        blocks.append(block.reshape(*block.shape[:3], -1))
    return blocks


OPERATOR = BatchJacobian()
