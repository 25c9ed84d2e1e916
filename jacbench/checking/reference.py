"""What is right: a problem's value and its Jacobian in float64, at two points."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from jacbench.checking.evidence.ground import Ground
from jacbench.checking.standing import Entries, matrix
from jacbench.core import nearby, tree
from jacbench.core.arrays import Array
from jacbench.core.errors import JacbenchError
from jacbench.core.tree import Tree
from jacbench.problems.checked_value import same_outputs
from jacbench.problems.counted_function import Calls, held_in, rounded
from jacbench.problems.problem import Problem


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

    @property
    def seen(self) -> Array:
        """All that is known of the Jacobian here, to be compared with another point's."""
        return self.jacobian


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
        A bound on the reference's own normwise error, beyond rounding; 0 but for the last, and for
        a consensus on a function that is itself noisy.
    doubt
        One line where differences of the function's values cannot confirm it; else empty.
    """

    here: Point
    elsewhere: Point
    kind: str
    error: float
    doubt: str = ""

    @property
    def compared_on(self) -> str:
        """What answers are compared on where that is not every entry; empty where it is."""
        return ""

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
    shape: tuple[int, ...] = Calls(problem, backend).value(problem.x, problem.constants).shape
    return shape


def reference(problem: Problem, dtype: str, backend: str = "numpy") -> Reference:
    """Compute the reference of ``problem`` for cells of ``dtype``, at both points.

    The analytic Jacobian where there is one. Otherwise the complex step over NumPy, or what
    independent methods of ``backend`` agree on where the function is written for that library
    alone. Each is held against differences of the function's values, which outrank it where they
    can tell: :mod:`jacbench.checking.standing`. Never the answer of one contestant by itself.

    Raises
    ------
    JacbenchError
        In one line: the function has no value, or the Jacobian written by hand is wrong, or what is
        right cannot be told.
    """
    ground, aux = stand(problem, dtype, backend)
    standing = Entries(ground).standing()
    here, elsewhere = (
        Point(x, ground.problem.constants, y, matrix(problem, jacobian, y.size), beside)
        for x, y, beside, jacobian in zip(
            ground.points, ground.y, aux, standing.jacobians, strict=True
        )
    )
    return Reference(here, elsewhere, standing.kind, standing.error, standing.doubt)


def stand(problem: Problem, dtype: str, backend: str) -> tuple[Ground, list[Tree]]:
    """Call the function at both points; return that as the ground of evidence, and aux at each.

    Raises
    ------
    JacbenchError
        In one line: the function has no value.
    """
    held = held_in(problem, dtype)
    calls = Calls(held, backend)
    points, values = [held.x], [calls.value_and_aux(held.x)]
    for elsewhere in _second_points(problem):
        points[1:] = [rounded(elsewhere, dtype)]
        try:
            values.append(calls.value_and_aux(points[1]))
            break
        except JacbenchError as exc:
            refused = exc
    if len(values) < 2:
        raise refused
    same_outputs(f"problem {problem.name!r}", values[0][0].shape, values[1][0].shape)
    y, aux = [y for y, _ in values], [beside for _, beside in values]
    return Ground(held, calls, points, y, value=calls.value), aux


def _second_points(problem: Problem) -> Iterator[Tree]:
    """Yield the second point; nearer ones too if it was drawn: it may lie out of the domain."""
    for factor, point in nearby.nearer(problem.x, problem.elsewhere):
        if factor == 1 or problem.draws_elsewhere:
            yield point
