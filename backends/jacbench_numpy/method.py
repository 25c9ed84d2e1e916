"""What the methods in plain NumPy share: names, the canonical matrix, flat vectors and trees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jacbench.backend import Method, MethodInfo, Target
from jacbench.core import layouts, tree
from jacbench.core.arrays import Array
from jacbench_numpy import descriptor

if TYPE_CHECKING:
    from jacbench.core.layouts import Layout


class NumpyMethod(Method):
    """A named method of this backend, whose result is the canonical matrix unless it says so."""

    def __init__(self, name: str) -> None:
        self.info: MethodInfo = next(info for info in descriptor.methods if info.name == name)

    def layout(self, target: Target) -> Layout:
        """Return (m, n), over the rows and columns of the operator."""
        del target
        return layouts.MATRIX


class ProductMethod(NumpyMethod):
    """A vjp, laid out like x, or a jvp, laid out like y."""

    def layout(self, target: Target) -> Layout:
        """Return leaf.shape for each leaf, or y.shape."""
        del target
        return layouts.OUTPUT_BY_INPUT


def flat(value: Any) -> Array:
    """Return the leaves of a tree as one vector, in tree order."""
    return np.concatenate([leaf.reshape(-1) for leaf in tree.leaves(value)])


def parts(vector: Array, like: Any) -> Any:
    """Return the pieces of ``vector`` as a tree of the structure and the shapes of ``like``."""
    leaves = tree.leaves(like)
    pieces = np.split(vector, np.cumsum([leaf.size for leaf in leaves])[:-1])
    return tree.unflatten(
        like, [piece.reshape(leaf.shape) for piece, leaf in zip(pieces, leaves, strict=True)]
    )
