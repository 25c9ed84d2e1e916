"""The shapes in which methods return a Jacobian, and the way from each to the (m, n) matrix."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from jacbench.core.arrays import Array, Shape

if TYPE_CHECKING:
    from jacbench.core.pattern import Pattern


@dataclass(frozen=True)
class Layout:
    """How a method lays out its native Jacobian.

    Attributes
    ----------
    name
        The layout in words, for messages: ``"y.shape + x.shape"``.
    shapes
        ``shapes(y_shape, leaf_shapes)`` gives the exact shape of each native array, in tree order.
    matrix
        ``matrix(arrays, m)`` gives the canonical matrix of shape (m, n) from native arrays of
        those shapes: row i is output i, column j is input j, both in C order.
    """

    name: str
    shapes: Callable[[Shape, Sequence[Shape]], list[Shape]]
    matrix: Callable[[Sequence[Array], int], Array]


def _blocks(arrays: Sequence[Array], m: int) -> Array:
    blocks = [array.reshape(m, -1) for array in arrays]
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=1)


def _transposed(arrays: Sequence[Array], m: int) -> Array:
    return arrays[0].reshape(-1, m).T


def _size(leaf_shapes: Sequence[Shape]) -> int:
    return sum(math.prod(shape) for shape in leaf_shapes)


OUTPUT_BY_INPUT = Layout(
    "y.shape + leaf.shape for each leaf of x",
    lambda y, xs: [y + x for x in xs],
    _blocks,
)
"""``torch.autograd.functional.jacobian``, ``torch.func.jacrev``, ``jax.jacrev``."""

ROWS = Layout(
    "(m,) + leaf.shape for each leaf of x",
    lambda y, xs: [(math.prod(y), *x) for x in xs],
    _blocks,
)
"""One row per output, stacked: loops over one-hot vectors and their vmapped forms."""

OUTPUT_BY_COLUMNS = Layout(
    "y.shape + (n,)",
    lambda y, xs: [(*y, _size(xs))],
    _blocks,
)
"""One column per input along the last axis, whatever the tree of x."""

COLUMNS = Layout(
    "(n,) + y.shape",
    lambda y, xs: [(_size(xs), *y)],
    _transposed,
)
"""One slice per input along the first axis: stacked forward-mode products."""


@dataclass(frozen=True)
class SparseLayout(Layout):
    """One array of the values at the places of ``pattern``, row by row: a CSR matrix's data."""

    pattern: Pattern


def sparse(pattern: Pattern) -> SparseLayout:
    """Return the layout of a sparse Jacobian: (nnz,), the data of a CSR matrix."""
    return SparseLayout(
        f"({pattern.nnz},): the data of a CSR matrix",
        lambda _y, _xs: [(pattern.nnz,)],
        lambda arrays, _m: pattern.dense(arrays[0]),
        pattern,
    )


@dataclass(frozen=True)
class FactoredLayout(Layout):
    """Two matrices whose product is the Jacobian: (m, k) and (k, n)."""

    k: int


def factored(k: int) -> FactoredLayout:
    """Return the layout of a Jacobian left as two factors, the outer derivative first."""
    return FactoredLayout(
        f"(m, {k}) and ({k}, n)",
        lambda y, xs: [(math.prod(y), k), (k, _size(xs))],
        lambda arrays, _m: np.asarray(arrays[0] @ arrays[1]),
        k,
    )


MATRIX = Layout(
    "(m, n)",
    lambda y, xs: [(math.prod(y), _size(xs))],
    _blocks,
)
"""The canonical matrix itself."""
