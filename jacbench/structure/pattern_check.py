"""Whether a pattern holds: the compressed Jacobian against products that know no pattern."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from jacbench.core.arrays import Array
from jacbench.structure.compression import Compression
from jacbench.structure.probing import Product

VECTORS = 2
"""Random vectors per point: a missing place escapes one of them with probability zero."""

FACTORS = (3.0, 0.7, 1.3, 5.1, 0.23, 11.0)
"""No powers of two: a product with a vector as many times as large is rounded anew."""

SPLITS = 2
"""Times that a vector is parted at random, and its product put together of those of the parts."""

NOISY = 100
"""Times as far as the function's own rounding was seen to go, two ways to a product may differ."""

EXACT = -2.0
"""As many times a vector has to the last digit as many times the product: rounding is the same."""

LINE, WHOLE = 1e-3, 1e-5
"""Shares of a line's size, and of the largest, beyond which nothing is rounding where that is not
so. A function that computes in float32 inside stays below, one that draws random numbers does not.
"""

_SEED = 0xD1EC


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
    vectors = np.random.default_rng(_SEED).standard_normal((VECTORS, seeds.shape[1]))
    vectors = vectors.astype(dtype).astype(np.float64)
    asked, from_entries = product(vectors).astype(np.float64), (held @ vectors.T).T
    size = (abs(held) @ abs(vectors).T).T + abs(asked)
    compared = Compared(vectors, asked, from_entries, size)
    worst = np.flatnonzero(wrong(compared, product, dtype).any(axis=0))
    return int(worst[0]) if worst.size else None


@dataclass(frozen=True, eq=False)
class Compared:
    """The function's own products with random vectors, and the same from a Jacobian's entries.

    Attributes
    ----------
    vectors
        As rows, (k, n) or (k, m), float64.
    asked, found
        By the function, and by the entries: (k, m) or (k, n).
    size
        What both were added up from, of the same shape: the products of absolute values.
    """

    vectors: Array
    asked: Array
    found: Array
    size: Array

    @property
    def overflows(self) -> bool:
        """Whether the function's product is no number where that of the entries is one."""
        return bool((np.isfinite(self.found) & ~np.isfinite(self.asked)).any())


def wrong(compared: Compared, product: Product, dtype: str) -> Array:
    """Say where the entries do not give the function's products: not by rounding alone.

    Each line is held against its own size, half of the digits of which have to agree: one that is
    1e-30 of the largest may be as right, or as wrong, as that. Only where it is not does it matter
    how much the function itself rounds there, as in a row that cancels as a whole. That is
    measured, by products that would be the same but for rounding.
    """
    asked, found, size = compared.asked, compared.found, compared.size
    apart, info = abs(asked - found), np.finfo(dtype)
    # below the smallest normal number entries lose their digits, or are 0
    lost = float(info.tiny) * max(1.0, float(abs(compared.vectors).max(initial=0.0)))
    limit = np.sqrt(info.eps) * size + NOISY * lost
    same = (asked == found) | (np.isnan(asked) & np.isnan(found))
    off = ~((apart <= limit) | same)
    if not off.any():
        return np.asarray(off)
    largest = float(size[np.isfinite(size)].max(initial=0.0))
    noise, repeats = _noise(compared, product, dtype)
    most = np.where(repeats, np.inf, LINE * size + WHOLE * largest)
    return np.asarray(off & ~(apart <= limit + np.minimum(NOISY * noise, most)))


def _noise(compared: Compared, product: Product, dtype: str) -> tuple[Array, Array]:
    """Return how far from linear each line of a product was seen to be, for all vectors.

    And whether it is nothing but rounding: the same line twice, but for a factor of which that
    takes no notice.
    """
    vectors, asked = compared.vectors, compared.asked
    rng = np.random.default_rng(_SEED)
    scaled = [factor * vectors for factor in FACTORS]
    halves = [np.where(rng.random(vectors.shape) < 0.5, vectors, 0.0) for _ in range(SPLITS)]
    parts = [part for half in halves for part in (half, vectors - half)]
    given = np.concatenate([EXACT * vectors, *scaled, *parts]).astype(dtype).astype(np.float64)
    exact, *found = np.split(product(given).astype(np.float64), 1 + len(FACTORS) + 2 * SPLITS)
    again = [one / factor for one, factor in zip(found, FACTORS, strict=False)]
    ends = found[len(FACTORS) :]
    again += [one + other for one, other in zip(ends[::2], ends[1::2], strict=True)]
    with np.errstate(invalid="ignore"):
        noise = np.abs(np.stack(again) - asked).max(axis=(0, 1))
    return noise, (exact == EXACT * asked).all(axis=0)
