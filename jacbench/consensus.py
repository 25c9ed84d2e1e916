"""What independent methods of one library agree on, where no other library has the function."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from jacbench import registry, tree
from jacbench.backend import Target
from jacbench.evaluator import Evaluator
from jacbench.layout import Array
from jacbench.tree import Tree

LIMIT = 1e-11
"""Normwise difference below which two witnesses agree: ten times what a cell may be off."""


def agreed(
    evaluator: Evaluator,
    points: Sequence[Tree],
    constants: tuple[Tree, ...],
    y_shape: tuple[int, ...],
) -> list[Array] | None:
    """Return the (m, n) Jacobians at ``points`` that no witness contradicts, or None.

    The backend names its witnesses: one in reverse and one in forward mode, say. One that cannot
    do the function says nothing. The caller still has to confirm the answer by something that is
    no contestant: differences in random directions.
    """
    answers: list[list[Array]] = []
    for name in evaluator.backend.witnesses:
        try:
            answers.append(_jacobians(evaluator, name, points, constants, y_shape))
        except Exception:  # noqa: BLE001, S112 - what a method cannot do is told in its own cell
            continue
    if not answers:
        return None
    first, *others = answers
    return first if all(all(map(_same, first, other)) for other in others) else None


def _same(one: Array, other: Array) -> bool:
    scale = float(np.linalg.norm(one)) or 1.0
    return one.shape == other.shape and float(np.linalg.norm(one - other)) <= LIMIT * scale


def _jacobians(
    evaluator: Evaluator,
    name: str,
    points: Sequence[Tree],
    constants: tuple[Tree, ...],
    y_shape: tuple[int, ...],
) -> list[Array]:
    """Return what the method ``name`` answers at each point, prepared once: it may be compiled."""
    backend, method, problem = evaluator.backend, registry.method(name), evaluator.problem

    def put(leaf: Array) -> object:
        return backend.put(np.asarray(leaf), "cpu", "float64")

    placed = [tree.map_leaves(put, x) for x in points]
    target = Target(
        function=problem.value_alone(problem.bound(evaluator.name, backend.xp)),
        x=placed[0],
        constants=tuple(tree.map_leaves(put, constant) for constant in constants),
        y_shape=y_shape,
        device="cpu",
        dtype="float64",
    )
    prepared = method.prepare(target)
    layout = prepared.layout or method.layout(target)
    natives = [tree.leaves(prepared.call(x)) for x in placed]
    return [
        layout.matrix([backend.to_numpy(array) for array in native], math.prod(y_shape))
        for native in natives
    ]
