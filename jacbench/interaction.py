"""Samples that see each other: where a per-sample Jacobian is not the whole Jacobian.

A batch norm in train mode or a softmax over the batch makes the output of one sample depend on
another. The sum trick (one backward pass for all samples at once) is wrong there, and mapping the
function over batches of one computes another function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from jacbench import nearby, tree
from jacbench.evaluator import Evaluator
from jacbench.layout import Array
from jacbench.operators.batch_jacobian import by_sample
from jacbench.operators.operator import Sizes
from jacbench.problem import Problem
from jacbench.reference import Reference
from jacbench.tree import Tree

RELATIVE = 1e-9
"""Coupling below this share of the whole is rounding: another summation order, no dependence."""


def of_problem(problem: Problem, reference: Reference, backend: str) -> str | None:
    """Return why the samples of ``problem`` are not independent, in one line, or None.

    Exact where x runs over samples: the blocks off the diagonal of the reference at both points.
    Where samples share x, samples of the constants are moved and every other output watched.
    """
    assert problem.in_axes is not None  # noqa: S101 - asked only of problems with a batch
    y = reference.here.y
    count = batch_size(problem)
    if y.ndim == 0 or y.shape[0] != count:
        return (
            f"in_axes says that there are {count} samples, and y has shape {y.shape}: its first "
            "axis must run over samples"
        )
    if problem.in_axes[0] is not None:
        sizes = Sizes(y.shape, problem.leaf_shapes, problem.in_axes[0])
        for point in (reference.here, reference.elsewhere):
            told = _off_diagonal(point.jacobian, sizes, max(RELATIVE, 10 * reference.error))
            if told is not None:
                return told
    evaluator = Evaluator(problem, backend)
    here = reference.here
    pair = coupled(
        lambda arguments: evaluator.value(arguments[0], tuple(arguments[1:])),
        [here.x, *here.constants],
        problem.in_axes,
        seed=problem.seed,
    )
    return None if pair is None else told_of(*pair)


def told_of(moved: list[int], changed: int) -> str:
    """Return the line for samples found to interact by moving some of them."""
    which = f"sample {moved[0]}" if len(moved) == 1 else "other samples"
    return (
        f"samples interact: the output of sample {changed} changes with {which}, so that there is "
        "no Jacobian per sample (a batch norm in train mode, a softmax or a mean over the batch "
        "do this): ask for the jacobian"
    )


def batch_size(problem: Problem) -> int:
    """Return the number of samples."""
    axes = problem.in_axes or ()
    for axis, argument in zip(axes, (problem.x, *problem.constants), strict=True):
        if axis is not None and tree.leaves(argument):
            size: int = tree.first(argument).shape[axis]
            return size
    return 0


def _off_diagonal(jacobian: Array, sizes: Sizes, limit: float) -> str | None:
    """Return what lies off the diagonal blocks, and what the sum trick would make of it."""
    blocks = by_sample(jacobian, sizes)
    samples = np.arange(sizes.y_shape[0])
    own = [block[samples, :, samples] for block in blocks]
    # Entry (b, a): how much the outputs of sample b move with the inputs of sample a.
    pairs = np.sqrt(sum(np.sum(block**2, axis=(1, 3)) for block in blocks))
    whole, diagonal = float(np.linalg.norm(pairs)), float(np.linalg.norm(np.diag(pairs)))
    pairs[samples, samples] = 0.0
    off = float(np.linalg.norm(pairs))
    if off <= limit * whole:
        return None
    b, a = np.unravel_index(int(np.argmax(pairs)), pairs.shape)
    # One pass with ones for all samples sums over b: output i of all samples by input j of a.
    summed = [block.sum(axis=0).swapaxes(0, 1) for block in blocks]
    wrong = sum(float(np.sum((s - o) ** 2)) for s, o in zip(summed, own, strict=True)) ** 0.5
    told = _percent(wrong / diagonal) if diagonal else "infinitely"
    return (
        f"samples interact: the outputs of sample {b} depend on sample {a}; "
        f"{_percent((off / whole) ** 2)} of ‖J‖² lies off the diagonal blocks, and the sum trick "
        f"would be {told} wrong (a batch norm in train mode, a softmax over the batch do this): "
        "ask for the jacobian"
    )


def _percent(share: float) -> str:
    percent = 100 * share
    return f"{percent:.2g} %" if percent < 99.5 else f"{percent:.0f} %"


def coupled(
    value: Callable[[list[Tree]], Array],
    arguments: list[Tree],
    in_axes: tuple[int | None, ...],
    *,
    seed: int = 0,
    dtype: str = "float64",
) -> tuple[list[int], int] | None:
    """Move some samples and return them with the first other sample whose output changed, or None.

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
        difference = np.abs(value(moved) - before).reshape(count, -1).max(axis=1)
        # so that what is no longer a number has changed too
        changed = np.flatnonzero(~(difference <= limit * scale) & ~mask)
        if changed.size:
            return [int(i) for i in np.flatnonzero(mask)], int(changed[0])
    return None


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
