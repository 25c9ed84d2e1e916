"""The NumPy side of a problem: its value and its Jacobian in float64, at two points."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from jacbench import registry, tree
from jacbench.backend import Target
from jacbench.errors import JacbenchError
from jacbench.layout import Array
from jacbench.problem import Problem
from jacbench.tree import Tree
from jacbench.value import evaluate, same_outputs

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
    """

    x: Tree
    constants: tuple[Tree, ...]
    y: Array
    jacobian: Array


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
        ``analytic``, ``complex-step`` or ``central-difference``.
    error
        A bound on the reference's own normwise error, beyond rounding; 0 for the first two.
    """

    here: Point
    elsewhere: Point
    kind: str
    error: float

    @property
    def m(self) -> int:
        """The number of outputs."""
        return self.here.y.size


def outputs(problem: Problem) -> tuple[int, ...]:
    """Return the shape of the function's value at its point, evaluated in NumPy."""
    shape: tuple[int, ...] = _value(problem, problem.x, problem.constants).shape
    return shape


def reference(problem: Problem, dtype: str) -> Reference:
    """Compute the reference of ``problem`` for cells of ``dtype``, at both points.

    The analytic Jacobian where there is one. Otherwise the complex step over NumPy, if central
    differences in random directions confirm it; otherwise central differences.
    """
    constants = tuple(_rounded(constant, dtype) for constant in problem.constants)
    points = [_rounded(problem.x, dtype), _rounded(problem.elsewhere, dtype)]
    values = [_value(problem, x, constants) for x in points]
    same_outputs(f"problem {problem.name!r}", values[0].shape, values[1].shape)
    kind, error, jacobian = _source(problem, points[0], constants, values[0].shape)
    here, elsewhere = (
        Point(x, constants, y, _checked_matrix(problem, jacobian(x, *constants), y.size))
        for x, y in zip(points, values, strict=True)
    )
    return Reference(here, elsewhere, kind, error)


def _rounded(value: Tree, dtype: str) -> Tree:
    def convert(leaf: Array) -> Array:
        return leaf.astype(dtype).astype(np.float64) if leaf.dtype.kind == "f" else leaf

    return tree.map_leaves(convert, value)


def _value(problem: Problem, x: Tree, constants: tuple[Tree, ...]) -> Array:
    numpy_backend = registry.load("numpy")
    copies = tree.map_leaves(np.array, x)
    return evaluate(
        f"problem {problem.name!r}",
        numpy_backend,
        lambda: problem.function(numpy_backend.xp, copies, *constants),
    )


def _source(
    problem: Problem, x: Tree, constants: tuple[Tree, ...], y_shape: tuple[int, ...]
) -> tuple[str, float, Callable[..., Array]]:
    if problem.jacobian is not None:
        return "analytic", 0.0, problem.jacobian
    complex_step = _numeric(problem, "numpy.complex-step", y_shape)
    differences = _numeric(problem, "numpy.central-difference", y_shape)
    tolerance = registry.method("numpy.central-difference").tolerance("float64") or 0.0
    try:
        candidate = complex_step(x, *constants)
    except Exception:  # noqa: BLE001 - a function that takes no complex numbers
        candidate = None
    if candidate is not None and _confirmed(problem, candidate, x, constants, tolerance):
        return "complex-step", 0.0, complex_step
    return "central-difference", tolerance, differences


def _numeric(problem: Problem, name: str, y_shape: tuple[int, ...]) -> Callable[..., Array]:
    xp = registry.load("numpy").xp

    def function(x: Any, *constants: Any) -> Any:
        return problem.function(xp, x, *constants)

    def jacobian(x: Tree, *constants: Tree) -> Array:
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

    return jacobian


def _confirmed(
    problem: Problem, jacobian: Array, x: Tree, constants: tuple[Tree, ...], tolerance: float
) -> bool:
    """Hold J v against (f(x + h v) - f(x - h v)) / 2h for random directions v."""
    rng = np.random.default_rng(0)
    h = float(np.finfo(np.float64).eps) ** (1 / 3)
    for _ in range(ORACLE_DIRECTIONS):
        v = tree.map_leaves(lambda leaf: rng.standard_normal(leaf.shape), x)
        ends = []
        for sign in (1, -1):
            moved = [a + sign * h * b for a, b in zip(tree.leaves(x), tree.leaves(v), strict=True)]
            ends.append(_value(problem, tree.unflatten(x, moved), constants).reshape(-1))
        slope = (ends[0] - ends[1]) / (2 * h)
        product = jacobian @ np.concatenate([leaf.reshape(-1) for leaf in tree.leaves(v)])
        scale = math.sqrt(float(slope @ slope)) or 1.0
        if not np.linalg.norm(product - slope) <= 10 * tolerance * scale:
            return False
    return True


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
