"""Samples that see each other, found by moving some and watching the outputs of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from jacbench.core import nearby, tree
from jacbench.core.arrays import Array
from jacbench.core.tree import Tree

RELATIVE = 1e-9
"""Coupling below this share of the whole is rounding: another summation order, no dependence."""


def seen(moved: list[int], changed: int) -> str:
    """Return what was seen of the output of a sample: what it changes with."""
    if not moved:
        return (
            f"the output of sample {changed} changes from call to call at one x (a dropout in "
            "train mode does this)"
        )
    which = f"sample {moved[0]}" if len(moved) == 1 else "other samples"
    return f"the output of sample {changed} changes with {which}"


def told_of(moved: list[int], changed: int) -> str:
    """Return the line for what :func:`coupled` found."""
    if not moved:
        return (
            f"{seen(moved, changed)}, so that there is no one Jacobian per sample: call eval(), or "
            "seed it in f"
        )
    return (
        f"samples interact: {seen(moved, changed)}, so that there is "
        "no Jacobian per sample (a batch norm in train mode, a softmax or a mean over the batch "
        "do this): ask for the jacobian"
    )


def coupled(
    value: Callable[[list[Tree]], Array],
    arguments: list[Tree],
    in_axes: tuple[int | None, ...],
    *,
    seed: int = 0,
    dtype: str = "float64",
) -> tuple[list[int], int] | None:
    """Move some samples and return them with the first other sample whose output changed, or None.

    None are named as moved where that output changes without any move: f draws random numbers.

    For each bit of the samples' numbers, those that have it are moved, then those that have not:
    any two samples differ in a bit, so that every pair is tried in both directions with
    2 log2(B) evaluations. A random half of the samples misses a given pair half the time. It sees
    a coupling that has no effect at this point as little as any other evaluation here does.

    Parameters
    ----------
    value
        The function of NumPy arguments, to y of shape (B, ...).
    arguments
        x and the constants.
    in_axes
        The axis of each that runs over samples, or None.
    dtype
        Of the evaluation: a change within its rounding is none.
    """
    limit = max(RELATIVE, 100 * float(np.finfo(dtype).eps))
    before = value(arguments)
    count = before.shape[0]
    rng = np.random.default_rng([seed, 0xB17])
    scale = float(np.max(np.abs(before))) or 1.0
    for mask in masks(count):
        moved = [
            _moved(argument, axis, mask, rng)
            for argument, axis in zip(arguments, in_axes, strict=True)
        ]
        changed = _changed(value(moved), before, limit * scale, ~mask)
        if changed.size:
            again = _changed(value(arguments), before, limit * scale, ~mask)
            if again.size:
                return [], int(again[0])
            return [int(i) for i in np.flatnonzero(mask)], int(changed[0])
    return None


def _changed(after: Array, before: Array, limit: float, among: Array) -> Array:
    """Return which samples ``among`` those marked have another output than before."""
    difference = np.abs(after - before).reshape(len(before), -1).max(axis=1)
    # so that what is no longer a number has changed too
    return np.flatnonzero(~(difference <= limit) & among)


def masks(count: int) -> Iterator[Array]:
    """Yield for each bit of 0 … count - 1 the samples that have it, and those that have not."""
    numbers = np.arange(count)
    for bit in range(max(0, count - 1).bit_length()):
        have = (numbers >> bit) & 1 == 1
        yield have
        yield ~have


def _moved(argument: Tree, axis: int | None, mask: Array, rng: np.random.Generator) -> Tree:
    def moved(leaf: Any) -> Any:
        array = np.array(leaf)
        if axis is None:
            return array
        front = np.moveaxis(array, axis, 0)
        if array.dtype.kind != "f":  # labels, indices: those of a neighbour are valid as well
            front[mask] = np.roll(front, 1, axis=0)[mask]
            return array
        front[mask] = np.moveaxis(nearby.moved(array, rng), axis, 0)[mask]
        return array

    return tree.map_leaves(moved, argument)
