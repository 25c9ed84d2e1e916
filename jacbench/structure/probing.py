"""The pattern of a Jacobian from products with it alone, whatever the function is made of.

A random tangent on some columns is other than zero in every row that sees one of them. So columns
are put in groups, one tangent each; a group with rows is split in halves, and so on down to single
columns. Groups whose rows are known not to meet share a tangent, since each row tells whose it is:
a band needs a few products per halving, where one-hot vectors need n in all.

What a product cannot show is a coupling whose derivative is zero at every point probed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from jacbench.backend import UnfitError
from jacbench.core.arrays import Array
from jacbench.core.pattern import Pattern
from jacbench.structure import colouring

Product: TypeAlias = Callable[[Array], Array]
"""Takes k vectors, the rows of a (k, n) array, and returns their products with J, (k, m)."""


@dataclass(frozen=True)
class Bounds:
    """What looking for a pattern may cost.

    Attributes
    ----------
    products
        At each point.
    until
        A reading of ``time.monotonic``: slow functions reach it before the products.
    """

    products: int
    until: float = float("inf")

    @classmethod
    def within(cls, products: int, seconds: float) -> Bounds:
        """Return the bounds of so many seconds from now."""
        return cls(products, time.monotonic() + seconds)


GROUPS = 32
"""How many groups there are at first: they need a tangent each, as fewer would on their way."""

CROWDED = 0.75
"""The share of groups that a row sees on average, beyond which J is taken to be dense."""

_AT_ONCE = 64
_SEED = 0x5EED


@dataclass(frozen=True, eq=False)
class Probed:
    """What was found.

    Attributes
    ----------
    pattern
        The places that are other than zero at one of the points.
    products
        How many products it took at each point.
    """

    pattern: Pattern
    products: int


def columns(
    products: Sequence[Product],
    shape: tuple[int, int],
    bounds: Bounds,
    order: Array | None = None,
) -> Probed:
    """Find the places of an (m, n) matrix from products with random tangents.

    Parameters
    ----------
    products
        J t at each point; the pattern is the union.
    shape
        ``(m, n)``.
    order
        The columns in the order in which neighbours are put together; None: as they stand.

    Raises
    ------
    UnfitError
        Where the pattern is not found within ``bounds``.
    """
    order = np.arange(shape[1]) if order is None else order
    probe = _Probe(products, shape, bounds, order)
    groups = probe.first_groups()
    while groups.divisible.any():
        groups = probe.halves(groups)
    return Probed(_pattern(order[groups.start[groups.group]], groups.row, shape), probe.used)


def rows(
    products: Sequence[Product],
    shape: tuple[int, int],
    bounds: Bounds,
    order: Array | None = None,
) -> Probed:
    """Find the places of an (m, n) matrix from v J at each point: columns of its transpose."""
    found = columns(products, (shape[1], shape[0]), bounds, order)
    return Probed(colouring.transposed(found.pattern), found.products)


def crowding(product: Product, shape: tuple[int, int], order: Array) -> float:
    """Return the share of the first groups that a row sees on average: 1 where J is dense."""
    groups = _Probe([product], shape, Bounds(GROUPS), order).first_groups()
    return float(groups.group.size / (shape[0] * groups.start.size))


@dataclass(frozen=True, eq=False)
class _Groups:
    """Columns ``start`` to ``stop`` of each group, and which rows see which group.

    ``group`` and ``row`` name the pairs, by ascending group.
    """

    start: Array
    stop: Array
    group: Array
    row: Array

    @property
    def owner(self) -> Array:
        """The group of each column."""
        return np.repeat(np.arange(self.start.size), self.stop - self.start)

    @property
    def divisible(self) -> Array:
        """Which groups hold several columns and are seen by a row."""
        seen = np.bincount(self.group, minlength=self.start.size) > 0
        return np.asarray(seen & (self.stop - self.start > 1))


class _Probe:
    """Products with random tangents, counted."""

    def __init__(
        self,
        products: Sequence[Product],
        shape: tuple[int, int],
        bounds: Bounds,
        order: Array,
    ) -> None:
        self.products = products
        self.shape = shape
        self.bounds = bounds
        self.order = order
        self.rng = np.random.default_rng(_SEED)
        self.used = 0

    def first_groups(self) -> _Groups:
        """Return groups of about equal size, a tangent for each."""
        _, n = self.shape
        count = min(n, GROUPS)
        edges = np.arange(count + 1) * n // count
        start, stop = edges[:-1], edges[1:]
        hit = self._hits(np.repeat(np.arange(count), stop - start), count)
        group, row = np.nonzero(hit)
        return _Groups(start, stop, group, row)

    def halves(self, groups: _Groups) -> _Groups:
        """Split every group that can be split; those that no row sees stay as they are."""
        m, n = self.shape
        split = groups.divisible
        colours = _colours(groups, split, m)
        middle = (groups.start + groups.stop) // 2
        owner = groups.owner
        second = np.arange(n) >= middle[owner]
        tangent = np.where(split[owner], 2 * colours[owner] + second, -1)
        hit = self._hits(tangent, 2 * (int(colours.max()) + 1))

        number = np.cumsum(1 + split) - (1 + split)
        whole = ~split[groups.group]
        of, row = groups.group[~whole], groups.row[~whole]
        left, right = (hit[2 * colours[of] + half, row] for half in (0, 1))
        parts = [number[groups.group[whole]], number[of[left]], number[of[right]] + 1]
        group = np.concatenate(parts)
        row = np.concatenate([groups.row[whole], row[left], row[right]])
        order = np.argsort(group, kind="stable")

        start = np.repeat(groups.start, 1 + split)
        stop = np.repeat(groups.stop, 1 + split)
        stop[number[split]] = start[number[split] + 1] = middle[split]
        return _Groups(start, stop, group[order], row[order])

    def _hits(self, tangent: Array, count: int) -> Array:
        """Return which rows see each tangent at one of the points, (count, m) of booleans.

        ``tangent`` names each column's own; -1: none. The entries are random and not small, so
        that nothing but a zero Jacobian gives a zero.
        """
        if self.used + count > self.bounds.products:
            raise UnfitError(
                f"no pattern of J is found by {self.bounds.products} products with it: it is "
                "dense, or its places are scattered"
            )
        self.used += count
        hit = np.zeros((count, self.shape[0]), dtype=bool)
        for product in self.products:
            size = self.rng.uniform(0.5, 1.5, tangent.size)
            entry = size * self.rng.choice([-1.0, 1.0], tangent.size)
            for first in range(0, count, _AT_ONCE):
                if time.monotonic() > self.bounds.until:
                    raise UnfitError(
                        f"no pattern of J is found in time: {self.used} products with it, at each "
                        f"of {len(self.products)} points, took too long"
                    )
                these = np.arange(first, min(first + _AT_ONCE, count))
                vectors = np.zeros((these.size, tangent.size))
                vectors[:, self.order] = np.where(tangent == these[:, None], entry, 0.0)
                hit[these] |= product(vectors) != 0
        return hit


def _colours(groups: _Groups, split: Array, m: int) -> Array:
    """Return a colour for each group to be split: groups of one colour share no row."""
    counts = np.bincount(groups.group, minlength=groups.start.size)
    indptr = np.concatenate([[0], np.cumsum(counts)])
    own = Pattern((groups.start.size, m), indptr, groups.row)
    return colouring.greedy(own, np.flatnonzero(split))


def _pattern(column: Array, row: Array, shape: tuple[int, int]) -> Pattern:
    order = np.lexsort((column, row))
    indptr = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=shape[0]))])
    return Pattern(shape, indptr.astype(np.int64), column[order].astype(np.int64))
