"""Columns that share no row get one colour: as many products as colours give a whole matrix.

Reference: A. Curtis, M. Powell, J. Reid, On the estimation of sparse Jacobian matrices (1974),
IMA Journal of Applied Mathematics 13, 117-119; A. Gebremedhin, F. Manne, A. Pothen, What color is
your Jacobian? (2005), SIAM Review 47, 629-705.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from jacbench.core.arrays import Array
from jacbench.core.pattern import Pattern

CONFLICTS = 4_000_000
"""Pairs of columns that share a row, beyond which only what needs no pairs is tried."""

FOR_NETWORKX = 200_000
"""Such pairs beyond which NetworkX takes more than about a second."""

OFFSETS = 32
"""Different distances of such pairs, beyond which the pattern is no lattice."""

MORE, MOST = 8, 33
"""How many more colours than the fullest row has places, and how many at all, a lattice may take.

The search takes tenths of a second at worst with these.
"""


@dataclass(frozen=True, eq=False)
class Colouring:
    """A colour for each column of a pattern.

    Attributes
    ----------
    colours
        From 0 on; -1 for a column without places, which no product needs; of shape (n,).
    count
        The number of colours.
    order
        The order in which the columns were coloured.
    """

    colours: Array
    count: int
    order: str


def columns(pattern: Pattern) -> Colouring:
    """Return the best of a few colourings of the columns.

    No colouring has fewer colours than the fullest row has places: the columns of a row differ. The
    greedy passes meet that bound for bands and blocks, and the work ends there. Where they do not,
    the colours of a lattice are tried, and NetworkX's order by the smallest degree last. Both need
    every conflicting pair, of which a full row alone has n^2, and so are left out beyond a size.
    """
    own = transposed(pattern)
    fullest = int(np.diff(pattern.indptr).max(initial=0))
    best: Colouring | None = None
    for order, colours in _passes(pattern, own):
        found = Colouring(colours, int(colours.max(initial=-1)) + 1, order)
        if best is None or found.count < best.count:
            best = found
        if best.count <= fullest:
            break
    assert best is not None  # noqa: S101 - the first pass always gives one
    return best


def _passes(pattern: Pattern, own: Pattern) -> Iterator[tuple[str, Array]]:
    n = own.shape[0]
    standing = greedy(own, np.arange(n))
    yield "as they stand", standing
    fullest_first = np.argsort(-np.diff(own.indptr), kind="stable")
    yield "fullest first", greedy(own, fullest_first)
    count = int(np.sum(np.diff(pattern.indptr) ** 2))
    if count > CONFLICTS:
        return
    one, other = _conflicts(pattern)
    lattice = _lattice(pattern, own, one, other, int(standing.max(initial=-1)) + 1)
    if lattice is not None:
        yield "as a lattice", lattice
    if count <= FOR_NETWORKX:
        yield "smallest last", _smallest_last(own, one, other)


def greedy(own: Pattern, order: Array) -> Array:
    """Give each column in turn the lowest colour that none of its rows has seen; return them.

    One pass over the places, a set of colours per row held as the bits of a Python integer: 10 ms
    for a tridiagonal matrix of 10,000 columns, where the conflict graph alone takes NetworkX ten
    times that.

    Parameters
    ----------
    own
        The rows of each column: the transposed pattern, of shape (n, m).
    order
        The columns, each once; of shape (n,).
    """
    n, m = own.shape
    starts, rows = own.indptr.tolist(), own.indices.tolist()
    seen, colours = [0] * m, [-1] * n
    for column in order.tolist():
        places = rows[starts[column] : starts[column + 1]]
        if not places:
            continue
        taken = 0
        for row in places:
            taken |= seen[row]
        lowest_free = ~taken & (taken + 1)
        for row in places:
            seen[row] |= lowest_free
        colours[column] = lowest_free.bit_length() - 1
    return np.array(colours, dtype=np.int64)


def _conflicts(pattern: Pattern) -> tuple[Array, Array]:
    """Return the pairs of columns that share a row, the lower one first."""
    ones = pattern.csr(np.ones(pattern.nnz, dtype=np.int64))
    shared = (ones.T @ ones).tocoo()
    apart = shared.row < shared.col
    return shared.row[apart].astype(np.int64), shared.col[apart].astype(np.int64)


def _lattice(pattern: Pattern, own: Pattern, one: Array, other: Array, below: int) -> Array | None:
    """Return (a j + b (j // s)) mod k for column j: stripes over rows of s points; None: no such.

    A five-point stencil takes k = 5 colours so, (2 i + j) mod 5 at point (i, j) of its grid, where
    greedy passes in any simple order take 7. The smallest k from the fullest row's places on, and
    less than ``below``, for which all conflicting pairs differ is taken; s is one of their
    distances.
    """
    order = np.argsort(other - one, kind="stable")
    distances, starts = np.unique((other - one)[order], return_index=True)
    if distances.size > OFFSETS:
        return None
    lines = {s: _steps(distances, starts, one[order], s) for s in distances.tolist()}
    seen = np.diff(own.indptr) > 0
    fullest = int(np.diff(pattern.indptr).max(initial=0))
    places = np.arange(own.shape[0])
    for k in range(fullest, min(below, fullest + MORE, MOST)):
        a, b = (grid.reshape(-1, 1) for grid in np.meshgrid(np.arange(k), np.arange(k)))
        for s, (along, across) in lines.items():
            apart = ((a * along + b * across) % k != 0).all(axis=1)
            if apart.any():
                first = int(np.argmax(apart))
                colours = (a[first] * places + b[first] * (places // s)) % k
                return _renumbered(np.where(seen, colours, -1))
    return None


def _steps(distances: Array, starts: Array, one: Array, s: int) -> tuple[Array, Array]:
    """Return the different steps (j' - j, j' // s - j // s) from column j to a conflicting j'.

    ``one`` holds each j, by ascending distance, of which each begins at ``starts``. A step of a
    distance d goes over d // s line ends, or one more where j stands near enough to the end of its
    line.
    """
    stands = one % s
    room = s - distances % s
    stays = np.minimum.reduceat(stands, starts) < room
    crosses = np.maximum.reduceat(stands, starts) >= room
    along = np.concatenate([distances[stays], distances[crosses]])
    across = np.concatenate([distances[stays] // s, distances[crosses] // s + 1])
    return along, across


def _renumbered(colours: Array) -> Array:
    """Return the colours without gaps in their numbers; -1 stays."""
    used = np.unique(colours[colours >= 0])
    return np.where(colours >= 0, np.searchsorted(used, colours), -1)


def _smallest_last(own: Pattern, one: Array, other: Array) -> Array:
    import networkx  # noqa: PLC0415 - tenths of a second that most patterns do without

    graph: networkx.Graph[int] = networkx.Graph()
    graph.add_nodes_from(np.flatnonzero(np.diff(own.indptr)).tolist())
    graph.add_edges_from(zip(one.tolist(), other.tolist(), strict=True))
    found = networkx.greedy_color(graph, strategy="smallest_last")
    colours = np.full(own.shape[0], -1, dtype=np.int64)
    colours[list(found)] = list(found.values())
    return colours


def transposed(pattern: Pattern) -> Pattern:
    """Return the pattern of the transposed matrix, of shape (n, m)."""
    order = np.argsort(pattern.indices, kind="stable")
    counts = np.bincount(pattern.indices, minlength=pattern.shape[1])
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Pattern((pattern.shape[1], pattern.shape[0]), indptr, pattern.rows[order])
