"""From a coloured pattern to the vectors to multiply by, and from the products to the entries."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

import numpy as np

from jacbench.core.arrays import Array
from jacbench.core.pattern import Pattern
from jacbench.structure import colouring


@dataclass(frozen=True, eq=False)
class Compression:
    """As many vectors as colours, whose products with J hold every entry once.

    Attributes
    ----------
    pattern
        The places of the (m, n) matrix.
    by
        ``columns``: the vectors are tangents, pushed forward. ``rows``: cotangents, pulled back.
    colours
        Of each column, of shape (n,), or of each row, of shape (m,); -1: it has no places.
    count
        The number of colours.
    """

    pattern: Pattern
    by: Literal["columns", "rows"]
    colours: Array
    count: int

    def seeds(self, dtype: str = "float64") -> Array:
        """Return the vectors, of shape (count, n) or (count, m): ones where the colour is."""
        return np.asarray(self.colours == np.arange(self.count)[:, None], dtype=dtype)

    @functools.cached_property
    def gather(self) -> Array:
        """Where each entry, in the order of the CSR data, stands in the flattened products.

        Of shape (nnz,). The products are stacked to (count, m) by columns, (count, n) by rows: the
        entry of row i and column j is product ``colours[j]`` at i, or ``colours[i]`` at j.
        """
        rows, columns = self.pattern.rows, self.pattern.indices
        m, n = self.pattern.shape
        if self.by == "columns":
            return np.asarray(self.colours[columns] * m + rows)
        return np.asarray(self.colours[rows] * n + columns)

    @property
    def places(self) -> Array:
        """Where each entry stands in the flattened (m, n) matrix, ascending; of shape (nnz,)."""
        return np.asarray(self.pattern.rows * self.pattern.shape[1] + self.pattern.indices)

    def partners(self, vector: Array) -> Array:
        """Return what the products are multiplied with, entry by entry, to add up to another one.

        The sum over the first axis is then J v for a ``vector`` v of n entries, by columns, or u J
        for one of m, by rows.

        Returns
        -------
        Array
            Of the shape of the stacked products.
        """
        m, n = self.pattern.shape
        rows, columns = self.pattern.rows, self.pattern.indices
        of = vector[columns if self.by == "columns" else rows]
        width = m if self.by == "columns" else n
        found = np.zeros(self.count * width, dtype=vector.dtype)
        found[self.gather] = of
        return found.reshape(self.count, width)

    def data(self, products: Array) -> Array:
        """Return the CSR data, (nnz,), from the stacked products."""
        return np.asarray(products.reshape(-1)[self.gather])


def by_columns(pattern: Pattern) -> Compression:
    """Return the compression of columns that share no row."""
    found = colouring.columns(pattern)
    return Compression(pattern, "columns", found.colours, found.count)


def by_rows(pattern: Pattern) -> Compression:
    """Return the compression of rows that share no column."""
    found = colouring.columns(colouring.transposed(pattern))
    return Compression(pattern, "rows", found.colours, found.count)
