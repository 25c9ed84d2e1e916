"""Points near x, by one rule for all of jacbench: each entry moves in proportion to itself."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from jacbench.core import tree
from jacbench.core.arrays import Array
from jacbench.core.tree import Tree

SHARE = 0.1
"""How far a second point lies away, of each entry's own scale."""
FARTHEST = 5.0
"""Standard deviations at which a draw is cut off: half of an entry, so that none changes sign."""
NEARER = (1, 10, 100, 1000)
"""How many times nearer to x a second point is tried, in turn, where f has no value at one."""


def flat(x: Tree) -> Array:
    """Return the leaves of x as one float64 vector, in tree order."""
    own = [np.asarray(a, dtype=np.float64).reshape(-1) for a in tree.leaves(x)]
    return np.concatenate(own) if own else np.zeros(0)


def like(vector: Array, x: Tree) -> Tree:
    """Return the pieces of ``vector`` as a tree of the structure and the shapes of x."""
    leaves = tree.leaves(x)
    if not leaves:
        return x
    pieces = np.split(vector, np.cumsum([leaf.size for leaf in leaves])[:-1])
    return tree.unflatten(x, [p.reshape(a.shape) for p, a in zip(pieces, leaves, strict=True)])


def scale(leaf: Array) -> Array:
    """Return how far each entry of an array may be said to move: its size.

    An entry that is 0 tells no scale: it moves like its leaf, and by no more than 1, so that an
    angle of 0 beside a distance in metres does not turn round a million times. A step in proportion
    to the scale keeps the sign of what a log or a root is taken of.
    """
    sizes = np.abs(np.asarray(leaf, dtype=np.float64))
    typical = min(1.0, float(np.sqrt(np.mean(sizes**2)))) if sizes.size else 1.0
    return np.where(sizes > 0, sizes, typical or 1.0)


def units(x: Tree) -> Array:
    """Return the :func:`scale` of each entry of x, of shape (n,)."""
    return flat([scale(leaf) for leaf in tree.leaves(x)])


def moved(leaf: Array, rng: np.random.Generator) -> Array:
    """Return ``leaf`` with each entry moved by about a tenth of its scale; what is no float stays.

    No entry changes its sign.
    """
    array = np.asarray(leaf)
    if array.dtype.kind != "f":
        return array
    drawn = np.clip(rng.standard_normal(array.shape), -FARTHEST, FARTHEST)
    return np.asarray(array + SHARE * scale(array) * drawn)


def point(x: Tree, rng: np.random.Generator) -> Tree:
    """Return a second point: every leaf of x :func:`moved`."""
    return tree.map_leaves(lambda leaf: moved(leaf, rng), x)


def between(x: Tree, other: Tree, share: float) -> Tree:
    """Return the point at ``share`` of the way from x to ``other``; integers stay those of x."""
    pairs = zip(tree.leaves(x), tree.leaves(other), strict=True)
    return tree.unflatten(
        x, [a + share * (b - a) if a.dtype.kind == "f" else a.copy() for a, b in pairs]
    )


def nearer(x: Tree, other: Tree) -> Iterator[tuple[int, Tree]]:
    """Yield ``other``, and then points nearer and nearer to x, each with how many times nearer.

    At last those whose entries leave 0 on one side alone, or not at all: a root or a power has no
    value on the other side, however near.
    """
    for factor in NEARER:
        yield factor, other if factor == 1 else between(x, other, 1 / factor)
    start, end = flat(x), flat(other)
    for side in (1, -1, 0):
        if (start == 0).any():
            one_sided = like(np.where(start == 0, side * abs(end), end), x)
            yield NEARER[1], between(x, one_sided, 1 / NEARER[1])
