"""Where to look for a pattern by products: by columns or rows, and in which order of them."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np

from jacbench.backend import Target, UnfitError
from jacbench.core import tree
from jacbench.core.arrays import Array
from jacbench.structure import probing
from jacbench.structure.pattern_check import Products
from jacbench.structure.probing import Bounds

PATIENCE = (128, 1024)
"""Products per point for a first and for a second attempt, by columns and by rows each."""

GENEROUS = 64
"""Products at a point that a small Jacobian may take too."""

EMPTY = 0.25
"""The share of groups that a row sees, below which no other way of grouping is looked at."""

FULL = 0.97
"""The share of groups that a row sees, above which there are no zeros to be seen."""

SECONDS = 20.0
"""For all attempts together."""

Side = Literal["columns", "rows"]

Attempt: TypeAlias = tuple[Side, Array]
"""By which side to probe, and in which order of columns, or of rows."""


def shape_of(target: Target) -> tuple[int, int]:
    """Return (m, n) of the target's Jacobian."""
    n = sum(math.prod(leaf.shape) for leaf in tree.leaves(target.x))
    return math.prod(target.y_shape), n


def promising(target: Target, at: Products, sides: Sequence[Side]) -> list[Attempt]:
    """Return the attempts under which a few products show zeros, the emptiest first.

    It comes before everything else: most Jacobians are dense, and tracing one of those for its
    pattern may take minutes. An attempt that shows mostly zeros is enough; those after it stand at
    the end, untried. Where the shorter side shows none at all, the other is not asked: it would
    take as many products again, and an executable of its own where a library compiles.
    """
    m, n = shape_of(target)
    orders_of: dict[Side, list[Array]] = {
        "columns": orders([leaf.shape for leaf in tree.leaves(target.x)]),
        "rows": orders([target.y_shape]),
    }
    shapes: dict[Side, tuple[int, int]] = {"columns": (m, n), "rows": (n, m)}
    in_turn = sorted(sides, key=lambda side: shapes[side][1])
    attempts = [(side, order) for side in in_turn for order in orders_of[side]]
    shares: list[float] = []
    for side, order in attempts:
        if side != in_turn[0] and min(shares) >= FULL:
            break
        shares.append(probing.crowding(at.by(side), shapes[side], order))
        if shares[-1] <= EMPTY:
            break
    if min(shares) > probing.CROWDED:
        raise UnfitError(
            f"J is dense: {100 * min(shares):.0f} % of it is full where its columns, or rows, are "
            f"put in {probing.GROUPS} groups"
        )
    tried = sorted(range(len(shares)), key=shares.__getitem__)
    some_zeros = [attempts[i] for i in tried if shares[i] <= probing.CROWDED]
    return [*some_zeros, *attempts[len(shares) :]]


def orders(shapes: Sequence[tuple[int, ...]]) -> list[Array]:
    """Return orders in which neighbours may belong together: each axis in turn the slowest.

    Of x with samples along its last axis, n / 32 entries in C order are of every sample, so that
    every output seems to see all of x; with that axis first they are of one.
    """
    starts = np.cumsum([0, *(math.prod(shape) for shape in shapes)])
    found: list[Array] = []
    for axis in range(max(1, *(len(shape) for shape in shapes))):
        parts = []
        for first, shape in zip(starts[:-1], shapes, strict=True):
            standing = first + np.arange(math.prod(shape)).reshape(shape)
            turned = np.moveaxis(standing, axis, 0) if axis < len(shape) else standing
            parts.append(turned.reshape(-1))
        order = np.concatenate(parts)
        if not any(np.array_equal(order, other) for other in found):
            found.append(order)
    return found


def find(
    points: Sequence[Products], shape: tuple[int, int], attempts: Sequence[Attempt]
) -> probing.Probed:
    """Make each attempt with little patience, then each with more.

    Never with more products at a point than the Jacobian itself takes, unless it is small.
    """
    finders: dict[Side, Any] = {"columns": probing.columns, "rows": probing.rows}
    until = time.monotonic() + SECONDS
    told: UnfitError | None = None
    for patience in PATIENCE:
        most = min(patience, max(GENEROUS, min(shape)))
        for side, order in attempts:
            try:
                found: probing.Probed = finders[side](
                    [at.by(side) for at in points], shape, Bounds(most, until), order
                )
            except UnfitError as exc:
                told = exc
            else:
                return found
    assert told is not None  # noqa: S101 - an attempt that finds nothing says why
    raise told
