"""What is right: a problem's value and its Jacobian in float64, at two points."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jacbench import consensus, registry, tree
from jacbench.backend import Target
from jacbench.errors import JacbenchError
from jacbench.evaluator import Evaluator
from jacbench.layout import Array
from jacbench.operators.operator import typical_product
from jacbench.problem import Problem
from jacbench.tree import Tree
from jacbench.value import same_outputs

ORACLE_DIRECTIONS = 3
"""Random directions in which a reference without an analytic Jacobian is confirmed."""


@dataclass(frozen=True)
class Point:
    """A point and what is right there.

    Attributes
    ----------
    x
        Float64 leaves; for float32 cells their values are representable in float32, so that the
        comparison sees errors of the computation and not of rounding the input.
    constants
        Likewise.
    y
        The function's value, float64.
    jacobian
        The (m, n) Jacobian, float64.
    aux
        What the function returns beside y; None where it returns y alone.
    """

    x: Tree
    constants: tuple[Tree, ...]
    y: Array
    jacobian: Array
    aux: Tree = None


@dataclass(frozen=True)
class Reference:
    """What every method's answer is held against.

    Attributes
    ----------
    here
        The problem's point: methods are prepared at it.
    elsewhere
        The second point: methods must answer for it first.
    kind
        ``analytic``, ``complex-step``, ``consensus`` or ``central-difference``.
    error
        A bound on the reference's own normwise error, beyond rounding; 0 but for the last.
    """

    here: Point
    elsewhere: Point
    kind: str
    error: float

    @property
    def m(self) -> int:
        """The number of outputs."""
        return self.here.y.size

    @functools.cached_property
    def unused(self) -> list[str]:
        """The names of the leaves of x that y does not depend on, at either point."""
        both = np.abs(self.here.jacobian) + np.abs(self.elsewhere.jacobian)
        blocks = tree.columns(self.here.x)
        return [name for name, columns in blocks.items() if not both[:, columns].any()]


def outputs(problem: Problem, backend: str = "numpy") -> tuple[int, ...]:
    """Return the shape of the function's value at its point."""
    shape: tuple[int, ...] = Evaluator(problem, backend).value(problem.x, problem.constants).shape
    return shape


def reference(problem: Problem, dtype: str, backend: str = "numpy") -> Reference:
    """Compute the reference of ``problem`` for cells of ``dtype``, at both points.

    The analytic Jacobian where there is one. Otherwise, confirmed by central differences in
    random directions, the complex step over NumPy, or what independent methods of ``backend``
    agree on where the function is written for that library alone. Otherwise central differences.
    Never the answer of one contestant by itself.
    """
    evaluator = Evaluator(problem, backend)
    constants = tuple(_rounded(constant, dtype) for constant in problem.constants)
    points = [_rounded(problem.x, dtype), _rounded(problem.elsewhere, dtype)]
    values = [evaluator.value_and_aux(x, constants) for x in points]
    same_outputs(f"problem {problem.name!r}", values[0][0].shape, values[1][0].shape)
    kind, error, jacobians = _source(evaluator, points, constants, values[0][0].shape)
    here, elsewhere = (
        Point(x, constants, y, _checked_matrix(problem, jacobian, y.size), aux)
        for x, (y, aux), jacobian in zip(points, values, jacobians, strict=True)
    )
    return Reference(here, elsewhere, kind, error)


def _rounded(value: Tree, dtype: str) -> Tree:
    def convert(leaf: Array) -> Array:
        return leaf.astype(dtype).astype(np.float64) if leaf.dtype.kind == "f" else leaf

    return tree.map_leaves(convert, value)


def _source(
    evaluator: Evaluator,
    points: Sequence[Tree],
    constants: tuple[Tree, ...],
    y_shape: tuple[int, ...],
) -> tuple[str, float, list[Array]]:
    """Return the kind of the reference, its own error, and the Jacobian at each point."""
    problem = evaluator.problem
    if problem.jacobian is not None:
        return "analytic", 0.0, [problem.jacobian(x, *constants) for x in points]
    if problem.stops_gradient:
        raise JacbenchError(
            f"problem {problem.name!r}: it stops gradients, which no difference quotient sees: "
            "give its Jacobian as jacobian="
        )
    kind, candidates = _candidates(evaluator, points, constants, y_shape)
    tolerance = registry.method("numpy.central-difference").tolerance("float64") or 0.0
    # at both: another branch of the function may be taken at the second
    if candidates is not None and all(
        _confirmed(evaluator, jacobian, x, constants, tolerance)
        for jacobian, x in zip(candidates, points, strict=True)
    ):
        return kind, 0.0, candidates
    differences = [
        _numeric("numpy.central-difference", evaluator, x, constants, y_shape) for x in points
    ]
    return "central-difference", tolerance, differences


def _candidates(
    evaluator: Evaluator,
    points: Sequence[Tree],
    constants: tuple[Tree, ...],
    y_shape: tuple[int, ...],
) -> tuple[str, list[Array] | None]:
    """Return what is better than differences, if it is confirmed, and what it is called."""
    problem = evaluator.problem
    if problem.function is None:
        return "consensus", consensus.agreed(evaluator, points, constants, y_shape)
    function = problem.value_alone(problem.neutral(registry.load("numpy").xp))
    try:
        return "complex-step", [
            _numeric("numpy.complex-step", function, x, constants, y_shape) for x in points
        ]
    except Exception:  # noqa: BLE001 - a function that takes no complex numbers
        return "complex-step", None


def _numeric(
    name: str,
    function: Callable[..., Array],
    x: Tree,
    constants: tuple[Tree, ...],
    y_shape: tuple[int, ...],
) -> Array:
    target = Target(
        function=function,
        x=x,
        constants=constants,
        y_shape=y_shape,
        device="cpu",
        dtype="float64",
    )
    result: Array = registry.method(name).prepare(target).call(x)
    return result


def _confirmed(
    evaluator: Evaluator,
    jacobian: Array,
    x: Tree,
    constants: tuple[Tree, ...],
    tolerance: float,
) -> bool:
    """Hold J v against (f(x + h v) - f(x - h v)) / 2h for random directions v."""
    errors = direction_errors(evaluator, jacobian, x, constants)
    return all(error <= 10 * tolerance for error in errors)


def direction_errors(
    evaluator: Evaluator, jacobian: Array, x: Tree, constants: tuple[Tree, ...]
) -> list[float]:
    """Return ‖J v - d‖ / ‖d‖ for central differences d along each of a few random directions v.

    Where J v nearly cancels, in place of ‖d‖ the size that it has for a typical v.
    """
    rng = np.random.default_rng(0)
    h = float(np.finfo(np.float64).eps) ** (1 / 3)
    errors = []
    for _ in range(ORACLE_DIRECTIONS):
        v = tree.map_leaves(lambda leaf: rng.standard_normal(leaf.shape), x)
        ends = []
        for sign in (1, -1):
            moved = [a + sign * h * b for a, b in zip(tree.leaves(x), tree.leaves(v), strict=True)]
            ends.append(evaluator.value(tree.unflatten(x, moved), constants).reshape(-1))
        slope = (ends[0] - ends[1]) / (2 * h)
        direction = np.concatenate([leaf.reshape(-1) for leaf in tree.leaves(v)])
        product = jacobian @ direction
        scale = max(float(np.linalg.norm(slope)), typical_product(jacobian, direction)) or 1.0
        error = float(np.linalg.norm(product - slope)) / scale
        errors.append(error if math.isfinite(error) else math.inf)
    return errors


def _checked_matrix(problem: Problem, jacobian: Any, m: int) -> Array:
    matrix = np.asarray(jacobian)
    if matrix.shape != (m, problem.n):
        raise JacbenchError(
            f"problem {problem.name!r}: its reference Jacobian has shape {matrix.shape}, not "
            f"({m}, {problem.n}): return one row per output and one column per input, in C order"
        )
    if not np.isfinite(matrix).all():
        raise JacbenchError(
            f"problem {problem.name!r}: its reference Jacobian is not finite: choose a point where "
            "the function is differentiable"
        )
    return matrix
