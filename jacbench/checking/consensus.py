"""What independent methods of one library agree on, where no other library has the function."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jacbench.backend import Target, registry
from jacbench.checking import matrix_error
from jacbench.core import tree
from jacbench.core.arrays import Array
from jacbench.core.tree import Tree
from jacbench.problems.evaluator import Evaluator

LIMIT = 1e-11
"""Normwise difference below which two witnesses agree: ten times what a cell may be off."""


@dataclass(frozen=True)
class Consensus:
    """What witnesses answer.

    Attributes
    ----------
    names
        The witnesses that answered.
    jacobians
        The (m, n) Jacobian at each point, as the first of them gives it.
    apart
        The largest normwise difference from that of any other, over the points; 0 for one alone.
    """

    names: tuple[str, ...]
    jacobians: list[Array]
    apart: float


def asked(
    evaluator: Evaluator,
    points: Sequence[Tree],
    constants: tuple[Tree, ...],
    y_shape: tuple[int, ...],
) -> Consensus | None:
    """Return what the backend's witnesses answer at ``points``; None where none can.

    One is in reverse and one in forward mode, say. One that cannot do the function, or gives what
    is not finite, says nothing. The caller still has to confirm the answer by something that is no
    contestant: differences.
    """
    answers: dict[str, list[Array]] = {}
    for name in evaluator.backend.witnesses:
        try:
            found = _jacobians(evaluator, name, points, constants, y_shape)
        except Exception:  # noqa: BLE001, S112 - what a method cannot do is told in its own cell
            continue
        if all(np.isfinite(one).all() for one in found):
            answers[name] = found
    if not answers:
        return None
    first, *others = answers.values()
    apart = max(
        (_apart(a, b) for other in others for a, b in zip(first, other, strict=True)), default=0.0
    )
    return Consensus(tuple(answers), first, apart)


def _apart(one: Array, other: Array) -> float:
    if one.shape != other.shape:
        return math.inf
    return matrix_error.compare(other, one).error


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
