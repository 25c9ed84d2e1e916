"""Whether a pattern holds: the compressed Jacobian against products that know no pattern."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from jacbench.layout import Array
from jacbench.structure.compression import Compression
from jacbench.structure.probing import Product

VECTORS = 2
"""Random vectors per point: a missing place escapes one of them with probability zero."""


@dataclass(frozen=True)
class Products:
    """Products with the Jacobian at one point, on NumPy arrays, several vectors at a time.

    Attributes
    ----------
    push
        Tangents (k, n) to J t, (k, m).
    pull
        Cotangents (k, m) to v J, (k, n).
    attempt
        Raises for ``columns`` or ``rows`` where the library has no such product of the function,
        without computing one; None: that takes a product.
    """

    push: Product
    pull: Product
    attempt: Callable[[str], object] | None = None

    def by(self, side: str) -> Product:
        """Return the product that the compression by ``columns`` or ``rows`` takes."""
        return self.push if side == "columns" else self.pull


def missed(compression: Compression, products: Products, dtype: str) -> int | None:
    """Return a row, or by rows a column, whose entries the pattern does not hold, or None.

    With the pattern right, J v from the compressed entries is the product itself, up to rounding
    in ``dtype``, for every v.
    """
    product = products.by(compression.by)
    seeds = compression.seeds(dtype)
    stacked = product(seeds) if compression.count else np.zeros(0)
    J = compression.pattern.csr(compression.data(stacked.astype(np.float64)))
    held = J if compression.by == "columns" else J.T.tocsr()
    vectors = np.random.default_rng(0xD1EC).standard_normal((VECTORS, seeds.shape[1]))
    vectors = vectors.astype(dtype).astype(np.float64)
    asked, from_entries = product(vectors).astype(np.float64), (held @ vectors.T).T
    size = (abs(held) @ abs(vectors).T).T + abs(asked)
    wrong = ~near(asked, from_entries, size, dtype)
    worst = np.flatnonzero(wrong.any(axis=0))
    return int(worst[0]) if worst.size else None


def near(one: Array, other: Array, size: Array, dtype: str) -> Array:
    """Say where two arrays agree in half of their digits, or differ by the rounding of the rest.

    A function may round as much; an entry that is smaller beside its row is left to the comparison
    of whole Jacobians. ``size`` is what the entries of both were added up from.
    """
    finite = size[np.isfinite(size)]
    rounding = 100 * float(np.finfo(dtype).eps) * float(finite.max(initial=0.0))
    limit = np.sqrt(np.finfo(dtype).eps) * size + rounding
    same = np.isnan(one) & np.isnan(other)
    return np.asarray((abs(one - other) <= limit) | (one == other) | same)
