"""Samples that are apart: a Jacobian that is block-diagonal over a batch, found and made sure of.

Then one pass serves all samples, and a batch of B costs what one sample costs in passes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from jacbench.core import tree
from jacbench.core.arrays import Array, Shape
from jacbench.core.errors import JacbenchError
from jacbench.core.pattern import Pattern
from jacbench.core.tree import Tree
from jacbench.structure.points import further
from jacbench.structure.sample_coupling import coupled, seen

CAVEAT = (
    "samples were moved in groups at {points}, and no other sample's output changed: a coupling "
    "that is dead there (a branch not taken, a gate that is shut) is not seen"
)


@dataclass(frozen=True)
class Samples:
    """What was found out about the samples of a function.

    Attributes
    ----------
    axis
        The axis of every leaf of x that runs over samples, the first of y does; None: there is
        none along which no sample sees another.
    count
        The number of samples B; 0 where there is no axis.
    reason
        Why there is no axis, in one line; None where there is one.
    caveat
        What the answer rests on, in one line; None where it is exact.
    """

    axis: int | None
    count: int = 0
    reason: str | None = None
    caveat: str | None = None


def find(
    value: Callable[[Tree], Array],
    points: Sequence[Tree],
    *,
    axes: Sequence[int] | None = None,
    pattern: Pattern | None = None,
    dtype: str = "float64",
    seed: int = 0,
) -> Samples:
    """Look for an axis of x along which each sample has outputs of its own.

    Exact where a pattern is given. Else groups of samples are moved at each point, and at others of
    other signs and scales, and the other outputs watched: some 2 log2(B) evaluations for each point
    and axis, see :func:`jacbench.structure.sample_coupling.coupled`; most axes that are
    none are refuted by the first.

    Parameters
    ----------
    value
        The function of a tree of NumPy arrays, to y.
    points
        Where to look at least: x, and a second point.
    axes
        Those of x that may run over samples; None: all that are as long as the first of y.
    pattern
        Where the (m, n) Jacobian may be other than zero, if that is known.
    dtype
        Of the evaluation: a change within its rounding is none.
    """
    y = value(points[0])
    shapes: list[Shape] = [np.shape(leaf) for leaf in tree.leaves(points[0])]
    if y.ndim == 0:
        return Samples(None, reason="y is a number: its first axis would run over samples")
    count = y.shape[0]
    if count < 2:
        return Samples(None, reason=f"y has shape {y.shape}: there are no two samples along axis 0")
    possible = candidates(shapes, count) if axes is None else axes
    fitting = [axis for axis in possible if all(shape[axis] == count for shape in shapes)]
    if not fitting:
        asked = "" if axes is None else f", asked for along axis {', '.join(map(str, axes))}"
        told = f"y has shape {y.shape}, and no axis of x has {count} entries in every leaf{asked}"
        return Samples(None, reason=told)
    refuted = []
    if pattern is None:
        points = [*points, *further(points[0], value)]
    for axis in fitting:
        reason = (
            _coupling(value, points, axis, dtype, seed)
            if pattern is None
            else _crossing(pattern, shapes, count, axis)
        )
        if reason is None:
            seen_at = "one point" if len(points) == 1 else f"{len(points)} points"
            caveat = CAVEAT.format(points=seen_at) if pattern is None else None
            return Samples(axis, count, caveat=caveat)
        refuted.append(reason)
    return Samples(None, reason="; ".join(refuted))


def candidates(shapes: Sequence[Shape], count: int) -> list[int]:
    """Return the axes that have ``count`` entries in every leaf, those from the front first.

    An axis from the end is named only where the leaves differ in how many they have: (3, B) and
    (B,) share axis -1.
    """
    fewest = min(len(shape) for shape in shapes)
    found: list[int] = []
    seen: set[tuple[int, ...]] = set()
    for axis in (*range(fewest), *range(-fewest, 0)):
        places = tuple(axis % len(shape) for shape in shapes)
        if places not in seen and all(shape[axis] == count for shape in shapes):
            seen.add(places)
            found.append(axis)
    return found


def owners(shapes: Sequence[Shape], axis: int) -> Array:
    """Return the sample to which each column of the (m, n) Jacobian belongs, of shape (n,)."""
    numbered = []
    for shape in shapes:
        lengths = [1] * len(shape)
        lengths[axis] = shape[axis]
        samples = np.arange(shape[axis]).reshape(lengths)
        numbered.append(np.broadcast_to(samples, shape).reshape(-1))
    return np.concatenate(numbered)


def parts(shapes: Sequence[Shape], axis: int) -> Iterator[tuple[slice, Shape, int]]:
    """Yield for each leaf its columns of the (m, n) Jacobian, its shape, and its axis from 0."""
    ends = itertools.accumulate((math.prod(shape) for shape in shapes), initial=0)
    for (start, stop), shape in zip(itertools.pairwise(ends), shapes, strict=True):
        yield slice(start, stop), shape, axis % len(shape)


def _crossing(pattern: Pattern, shapes: Sequence[Shape], count: int, axis: int) -> str | None:
    """Return which sample's output may depend on another sample, by the pattern, or None."""
    outputs = pattern.rows // (pattern.shape[0] // count)
    inputs = owners(shapes, axis)[pattern.indices]
    others = np.flatnonzero(outputs != inputs)
    if not others.size:
        return None
    b, a = outputs[others[0]], inputs[others[0]]
    return f"samples interact along axis {axis}: sample {b} depends on sample {a}"


def _coupling(
    value: Callable[[Tree], Array], points: Sequence[Tree], axis: int, dtype: str, seed: int
) -> str | None:
    """Return which sample's output changed as others were moved, at the first such point."""
    for point in points:
        try:
            pair = coupled(lambda given: value(given[0]), [point], (axis,), dtype=dtype, seed=seed)
        except Exception as exc:  # noqa: BLE001 - whatever the user's function raises
            cause = exc.__cause__ if isinstance(exc, JacbenchError) and exc.__cause__ else exc
            told = type(cause).__name__
            return f"f raised {told} where some samples along axis {axis} were moved"
        if pair is not None:
            moved, changed = pair
            told = seen(moved, changed)
            return f"samples interact along axis {axis}: {told}" if moved else told
    return None
