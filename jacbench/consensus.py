"""What independent methods of one library agree on, where no other library has the function."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from jacbench import registry, tree
from jacbench.backend import Prepared, Target
from jacbench.evaluator import Evaluator
from jacbench.layout import Array
from jacbench.tree import Tree

LIMIT = 1e-11
"""Normwise difference below which two witnesses agree: ten times what a cell may be off."""


def witness(
    evaluator: Evaluator,
    points: Sequence[Tree],
    constants: tuple[Tree, ...],
    y_shape: tuple[int, ...],
) -> Callable[..., Array] | None:
    """Return a method's Jacobian that no other witness contradicts at any of ``points``, or None.

    The backend names its witnesses: one in reverse and one in forward mode, say. One that cannot
    do the function says nothing. The caller still has to confirm the answer by something that is
    no contestant: differences in random directions.
    """
    able: list[tuple[Callable[..., Array], list[Array]]] = []
    for name in evaluator.backend.witnesses:
        jacobian = _jacobian(evaluator, name, y_shape)
        try:
            able.append((jacobian, [jacobian(x, *constants) for x in points]))
        except Exception:  # noqa: BLE001, S112 - what a method cannot do is told in its own cell
            continue
    if not able:
        return None
    first, answers = able[0]
    for _, others in able[1:]:
        if not all(map(_same, answers, others)):
            return None
    return first


def _same(one: Array, other: Array) -> bool:
    scale = float(np.linalg.norm(one)) or 1.0
    return one.shape == other.shape and float(np.linalg.norm(one - other)) <= LIMIT * scale


def _jacobian(evaluator: Evaluator, name: str, y_shape: tuple[int, ...]) -> Callable[..., Array]:
    backend, method, problem = evaluator.backend, registry.method(name), evaluator.problem
    function = problem.bound(evaluator.name, backend.xp)

    def value(x: Tree, *constants: Tree) -> object:
        returned = function(x, *constants)
        return returned[0] if problem.has_aux else returned

    def put(leaf: Array) -> object:
        return backend.put(np.asarray(leaf), "cpu", "float64")

    made: list[tuple[Target, Prepared]] = []  # once for all points: it may be compiled

    def jacobian(x: Tree, *constants: Tree) -> Array:
        placed = tree.map_leaves(put, x)
        if not made:
            target = Target(
                function=value,
                x=placed,
                constants=tuple(tree.map_leaves(put, constant) for constant in constants),
                y_shape=y_shape,
                device="cpu",
                dtype="float64",
            )
            made.append((target, method.prepare(target)))
        target, prepared = made[0]
        native = [backend.to_numpy(array) for array in tree.leaves(prepared.call(placed))]
        return method.layout(target).matrix(native, int(np.prod(y_shape)))

    return jacobian
