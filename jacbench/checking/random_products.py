"""A Jacobian known by its products with a few random vectors, where it is not held whole.

For standard normal v, E‖(A - J) v‖² is ‖A - J‖² in the Frobenius norm, whatever A and J: three such
vectors tell the normwise error of an answer to within a factor of about two, and a wrong entry
shows in its row of ``A v`` and in its column of ``u A``.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from jacbench.checking.matrix_error import compare
from jacbench.checking.reference import Point, Reference
from jacbench.core import tree
from jacbench.core.arrays import Array
from jacbench.core.operators.operator import Sizes

if TYPE_CHECKING:
    import scipy.sparse

_BLOCK = 1 << 22
"""Entries of a matrix that are converted to float64 at a time."""

Factors: TypeAlias = tuple[Array, Array]
"""The outer derivative, (m, k), and the inner one, (k, n)."""


@dataclass(frozen=True)
class Blocks:
    """The diagonal blocks of a Jacobian over a batch, one sample below the other.

    Attributes
    ----------
    data
        Of shape (m, n / B): row i holds the derivatives by the inputs of i's own sample.
    sizes
        Whose ``batch_axis`` says where the samples lie in x.
    """

    data: Array
    sizes: Sizes

    @property
    def columns(self) -> Array:
        """Which columns of the (m, n) matrix belong to each sample; of shape (B, n / B)."""
        axis = self.sizes.batch_axis
        assert axis is not None  # noqa: S101 - without one the matrix is the whole Jacobian
        numbered, start = [], 0
        for shape in self.sizes.leaf_shapes:
            size = math.prod(shape)
            rows = np.moveaxis(np.arange(start, start + size).reshape(shape), axis, 0)
            numbered.append(rows.reshape(len(rows), -1))
            start += size
        return np.concatenate(numbered, axis=1)

    @property
    def by_sample(self) -> Array:
        """The blocks, of shape (B, m / B, n / B), float64."""
        batch = self.sizes.y_shape[0]
        return self.data.astype(np.float64).reshape(batch, -1, self.data.shape[1])


Answer: TypeAlias = "Array | scipy.sparse.csr_array | Factors | Blocks"
"""A Jacobian as methods give it: dense, in compressed rows, in two factors, in diagonal blocks."""


def pushed(answer: Answer, tangents: Array) -> Array:
    """Return ``answer`` times the columns of ``tangents``, (n, K): (m, K), float64."""
    if isinstance(answer, Blocks):
        products = answer.by_sample @ tangents[answer.columns]
        return np.asarray(products.reshape(-1, tangents.shape[1]))
    if isinstance(answer, tuple):
        outer, inner = answer
        return pushed(outer, pushed(inner, tangents))
    if not isinstance(answer, np.ndarray):
        return np.asarray(answer @ tangents)
    return np.concatenate([answer[rows].astype(np.float64) @ tangents for rows in _rows(answer)])


def pulled(answer: Answer, cotangents: Array) -> Array:
    """Return the rows of ``cotangents``, (K, m), times ``answer``: (K, n), float64."""
    if isinstance(answer, Blocks):
        blocks, columns = answer.by_sample, answer.columns
        own = cotangents.reshape(len(cotangents), *blocks.shape[:2])
        whole = np.empty((len(cotangents), columns.size))
        whole[:, columns] = np.einsum("kbi,bij->kbj", own, blocks)
        return whole
    if isinstance(answer, tuple):
        outer, inner = answer
        return pulled(inner, pulled(outer, cotangents))
    if not isinstance(answer, np.ndarray):
        return np.asarray((answer.T @ cotangents.T).T)
    total = np.zeros((len(cotangents), answer.shape[1]))
    for rows in _rows(answer):
        total += cotangents[:, rows] @ answer[rows].astype(np.float64)
    return total


def _rows(matrix: Array) -> Iterator[slice]:
    step = max(1, _BLOCK // max(1, matrix.shape[1]))
    return (slice(start, start + step) for start in range(0, len(matrix), step))


@dataclass(frozen=True, kw_only=True)
class Probed(Point):
    """A point, and the Jacobian there as a few random vectors see it.

    Attributes
    ----------
    jacobian
        Not the matrix itself: its products with the columns of ``tangents``, (m, K).
    tangents
        (n, K), float64; K is 0 where the library has no way forward through the function.
    cotangents
        (K, m), float64; K is 0 where it has none back.
    pulled
        The products of the rows of ``cotangents`` with the Jacobian, (K, n).
    """

    tangents: Array
    cotangents: Array
    pulled: Array

    @property
    def seen(self) -> Array:
        """The products from either side, one below the other, as one column."""
        return np.concatenate([self.jacobian.reshape(-1, 1), self.pulled.reshape(-1, 1)])


@dataclass(frozen=True)
class Distance:
    """How far an answer is from what is right.

    Attributes
    ----------
    error
        ‖(A - J) V‖ / ‖J V‖, or the same from the left where that is larger: about the normwise
        error. Of a Jacobian that is zero, the numerator alone. inf where A is not finite.
    row, column
        Where the products from the right, and from the left, differ most; None on a side that was
        not compared.
    value, expected
        Both products there, of the side that differs more.
    """

    error: float
    row: int | None
    column: int | None
    value: float
    expected: float


@dataclass(frozen=True)
class ByProducts(Reference):
    """What an answer is held against by its products alone; both points are :class:`Probed`."""

    @property
    def count(self) -> int:
        """The number of random vectors a side."""
        here = _probed(self.here)
        return max(int(here.tangents.shape[1]), len(here.cotangents))

    @property
    def compared_on(self) -> str:
        """How many products there are."""
        return f"{self.count} random product{'s' * (self.count > 1)} a side"

    @functools.cached_property
    def unused(self) -> list[str]:
        """The names of the leaves of x that no product from the left depends on."""
        seen = [_probed(point).pulled for point in (self.here, self.elsewhere)]
        if not all(map(len, seen)):
            return []
        moved = np.any(np.concatenate(seen), axis=0)
        blocks = tree.columns(self.here.x)
        return [name for name, columns in blocks.items() if not moved[columns].any()]

    def distance(self, answer: Answer, point: Point | None = None) -> Distance:
        """Return how far ``answer`` is from the Jacobian at ``point``; None: at x."""
        place = _probed(self.here if point is None else point)
        row = column = None
        sides = []
        if place.tangents.shape[1]:
            sides.append(compare(pushed(answer, place.tangents), place.jacobian))
            row = sides[-1].row
        if len(place.cotangents):
            sides.append(compare(pulled(answer, place.cotangents), place.pulled))
            column = sides[-1].column
        larger = max(sides, key=lambda side: side.error)
        return Distance(larger.error, row, column, larger.value, larger.expected)


def _probed(point: Point) -> Probed:
    assert isinstance(point, Probed)  # noqa: S101 - ByProducts holds no other
    return point
