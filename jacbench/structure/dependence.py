"""Where a Jacobian may be other than zero, from the program text: a pattern that holds for every x.

Which inputs each entry of a value may depend on is carried from step to step, as a sparse boolean
matrix of a row for each entry and a column for each input. Of a choice all branches count, and of
a step that is not known everything that it reads: the pattern may be wider than need be, and is
never too narrow.

Reference: A. Griewank and A. Walther, Evaluating Derivatives (2nd ed., 2008), section 7.3.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from jacbench.backend import UnfitError
from jacbench.core.arrays import Array
from jacbench.core.pattern import Pattern
from jacbench.structure.program import Program, Step

MOST = 20_000_000
"""Places of one value beyond which nothing is gained any more."""

STEPS = 3000
"""Steps beyond which a program is not walked through."""

SECONDS = 3.0
"""For all of it."""


@dataclass(frozen=True, eq=False)
class Link:
    """How the entries of a value depend on those of another.

    Attributes
    ----------
    value
        The one that is read.
    places
        For each entry the one that it depends on, -1 for none; of shape (entries,).
    matrix
        For each entry all that it depends on: a SciPy array of shape (entries, those of value).

    Neither means that each entry depends on all of them.
    """

    value: Hashable
    places: Array | None = None
    matrix: Any = None


Links: TypeAlias = Mapping[Hashable, Sequence[Link]]
"""For each value that a step writes, what it depends on."""


def pattern(program: Program, links: Callable[[Step], Links]) -> Pattern:
    """Return where the Jacobian of ``program`` may be other than zero.

    Parameters
    ----------
    links
        What the values that a step writes depend on; a value that is left out on nothing.

    Raises
    ------
    UnfitError
        Where that takes too long, or comes near everything.
    """
    found = walked(program, links)
    m = program.values[program.output].size if program.output in program.values else 0
    n = sum(program.values[leaf].size for leaf in program.inputs)
    seen = found.get(program.output)
    return Pattern.of(_none(m, n) if seen is None else seen)


def walked(program: Program, links: Callable[[Step], Links]) -> dict[Hashable, Any]:
    """Return for each value that depends on x the matrix that says of which of its entries."""
    import scipy.sparse  # noqa: PLC0415

    if len(program.steps) > STEPS:
        raise UnfitError(f"its {len(program.steps)} steps are too many to walk through")
    sizes = [program.values[leaf].size for leaf in program.inputs]
    whole = scipy.sparse.eye_array(sum(sizes), dtype=np.int32, format="csr")
    ends = np.cumsum([0, *sizes])
    seen: dict[Hashable, Any] = {
        leaf: whole[start : start + size]
        for leaf, start, size in zip(program.inputs, ends[:-1], sizes, strict=True)
    }
    until = time.monotonic() + SECONDS
    for step in program.steps:
        if seen.keys().isdisjoint(step.reads):
            continue
        if time.monotonic() > until:
            raise UnfitError(f"walking through its {len(program.steps)} steps takes too long")
        for written, read in links(step).items():
            if not program.values[written].carries:
                continue
            parts = [
                _through(link, seen[link.value], program.values[written].size)
                for link in read
                if link.value in seen
            ]
            if parts:
                seen[written] = _added(parts)
    return seen


def _through(link: Link, seen: Any, size: int) -> Any:
    import scipy.sparse  # noqa: PLC0415

    if link.matrix is not None:
        return link.matrix.astype(np.int32) @ seen
    if link.places is not None:
        return _rows(seen, link.places)
    of_all = np.unique(seen.indices)
    _check(size * of_all.size)
    indptr = np.arange(size + 1) * of_all.size
    indices = np.tile(of_all, size)
    ones = np.ones(indices.size, dtype=np.int32)
    return scipy.sparse.csr_array((ones, indices, indptr), shape=(size, seen.shape[1]))


def _rows(seen: Any, places: Array) -> Any:
    """Return the rows at ``places``, an empty one for -1."""
    import scipy.sparse  # noqa: PLC0415

    starts, lengths = seen.indptr[:-1], np.diff(seen.indptr)
    there = places >= 0
    safe = np.where(there, places, 0)
    counts = np.where(there, lengths[safe], 0) if lengths.size else np.zeros(places.size, int)
    indptr = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    _check(int(indptr[-1]))
    offsets = np.repeat((starts[safe] if starts.size else safe) - indptr[:-1], counts)
    indices = seen.indices[offsets + np.arange(indptr[-1])]
    ones = np.ones(indices.size, dtype=np.int32)
    return scipy.sparse.csr_array((ones, indices, indptr), shape=(places.size, seen.shape[1]))


def _added(parts: Sequence[Any]) -> Any:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    _check(total.nnz)
    total.data[:] = 1
    return total


def _none(m: int, n: int) -> Any:
    import scipy.sparse  # noqa: PLC0415

    return scipy.sparse.csr_array((m, n), dtype=np.int32)


def _check(places: int) -> None:
    if places > MOST:
        raise UnfitError(f"a value on the way has {places:.2g} places: next to nothing is zero")


# --- what steps do, by the shapes alone ---


def numbered(shape: Sequence[int]) -> Array:
    """Return 1, 2, ... in this shape: 0 then is what stands for no entry."""
    return np.arange(1, int(np.prod(shape, dtype=np.int64)) + 1).reshape(shape)


def places(moved: Any, size: int) -> Array:
    """Return the places of entries :func:`numbered` and then moved; what is none of them is -1."""
    flat = np.asarray(moved).reshape(-1).astype(np.int64) - 1
    return np.where((flat >= 0) & (flat < size), flat, -1)


def broadcast(shape: Sequence[int], to: Sequence[int]) -> Array:
    """Return the place that each entry of an array broadcast ``to`` a shape comes from."""
    return np.broadcast_to(numbered(shape), to).reshape(-1) - 1


def reduced(shape: Sequence[int], axes: Sequence[int]) -> Any:
    """Return which entries each result of a reduction over ``axes`` depends on."""
    kept = [1 if axis in axes else length for axis, length in enumerate(shape)]
    group = broadcast(kept, shape)
    return _of_groups(group, int(np.prod(kept, dtype=np.int64)))


def along(shape: Sequence[int], axes: Sequence[int]) -> Any:
    """Return the same for what keeps its shape, and depends on all of its line along ``axes``."""
    groups = reduced(shape, axes)
    return groups.T.tocsr() @ groups


def _of_groups(group: Array, count: int) -> Any:
    import scipy.sparse  # noqa: PLC0415

    ones = np.ones(group.size, dtype=np.int32)
    return scipy.sparse.csr_array((ones, (group, np.arange(group.size))), shape=(count, group.size))


def product(
    left: Sequence[int], right: Sequence[int], values: tuple[Array | None, Array | None]
) -> tuple[Any, Any]:
    """Return which entries of two stacks of matrices each entry of their product depends on.

    Parameters
    ----------
    left, right
        The shapes, (b, i, j) and (b, j, k).
    values
        The numbers of a factor that does not depend on x, whose zeros cut; None: of one that does.
    """
    import scipy.sparse as sp  # noqa: PLC0415

    (b, i, j), k = left, right[2]
    if values[0] is None and values[1] is None:
        _check(b * i * j * k)
    full = np.ones((b, i, j)), np.ones((b, j, k))
    A, B = (
        ones if v is None else np.reshape(v, ones.shape) != 0
        for v, ones in zip(values, full, strict=True)
    )
    of_left = [sp.kron(sp.eye_array(i), sp.csr_array(B[n].T), format="csr") for n in range(b)]
    of_right = [sp.kron(sp.csr_array(A[n]), sp.eye_array(k), format="csr") for n in range(b)]
    return tuple(sp.block_diag(blocks, format="csr") for blocks in (of_left, of_right))
