"""Samples that see each other: where a per-sample Jacobian is not the whole Jacobian.

A batch norm in train mode or a softmax over the batch makes the output of one sample depend on
another. The sum trick (one backward pass for all samples at once) is wrong there, and mapping the
function over batches of one computes another function.
"""

from __future__ import annotations

import numpy as np

from jacbench.checking.reference import Reference
from jacbench.core import tree
from jacbench.core.arrays import Array
from jacbench.core.operators.batch_jacobian import by_sample
from jacbench.core.operators.operator import Sizes
from jacbench.problems.counted_function import Calls
from jacbench.problems.problem import Problem
from jacbench.structure.sample_coupling import RELATIVE, coupled, told_of


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
    if problem.in_axes[0] is not None and not reference.compared_on:
        sizes = Sizes(y.shape, problem.leaf_shapes, problem.in_axes[0])
        for point in (reference.here, reference.elsewhere):
            told = _off_diagonal(point.jacobian, sizes, max(RELATIVE, 10 * reference.error))
            if told is not None:
                return told
    calls = Calls(problem, backend)
    here = reference.here
    pair = coupled(
        lambda arguments: calls.value(arguments[0], tuple(arguments[1:])),
        [here.x, *here.constants],
        problem.in_axes,
        seed=problem.seed,
    )
    return None if pair is None else told_of(*pair)


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
