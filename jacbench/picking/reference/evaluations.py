"""What evidence stands on: a function as one library computes it, and its value at two points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from jacbench.checking import consensus, differences, matrix_error
from jacbench.checking.claims import SOLVED, TELLS
from jacbench.checking.differences import Differences
from jacbench.core import tree
from jacbench.core.arrays import Array
from jacbench.picking.examining.examination import Examination
from jacbench.picking.loading.subject import Subject
from jacbench.picking.reference.mode_products import Products
from jacbench.problems.counted_function import Calls, rounded
from jacbench.problems.problem import Problem

FEW = 3
"""Values that have to end in zeros where a type of fewer digits is said of them: one may by chance,
once in thousands."""
RESOLVES = {"bfloat16": "0.8 %", "float16": "0.1 %"}
"""The step from 1 to the next number of a type."""


class Ground:
    """A function that was examined, called at both points in the precision of its reference.

    Attributes
    ----------
    examination
        Of the function.
    dtype, precision
        The dtype of its cells, and the one in which what is right is computed.
    noise
        The relative noise of its values, at the least their rounding.
    problem, points
        As the dtype can hold them.
    calls
        The function in ``precision``.
    y
        Its values at the points, in float64.
    call_s
        What a call takes, seconds.
    """

    def __init__(self, subject: Subject, backend: str, examination: Examination) -> None:
        self.examination = examination
        self.dtype, self.precision = examination.dtype, examination.precision
        self.noise = max(examination.noise, float(np.finfo(self.precision).eps))
        self.problem = _reachable(_rounded(examination.problem, self.dtype))
        self.points = (self.problem.x, self.problem.elsewhere)
        self.calls = Calls(
            self.problem,
            backend,
            dtype=self.precision,
            device=subject.device,
            lifted=examination.lifted,
        )
        self.y, taken = list[Array](), list[float]()
        for x in self.points:
            self.y.append(self.calls(x).astype(np.float64))
            taken.append(self.calls.last_s)
        self.call_s = min(taken)

    @property
    def limit(self) -> float:
        """Up to which two modes agree; in float32 each may be off by what a cell may be off."""
        if self.precision == "float64":
            return consensus.LIMIT
        return 5 * matrix_error.tolerance(self.precision, self.calls.device)

    def reaches(self, found: Products) -> list[float]:
        """Return the longest step that differences may take at each point."""
        distance = self.problem.kink_distance
        return [differences.reach(along, distance) for along in found.along]

    def differences(self, at: int, go_on: Callable[[], bool]) -> Differences:
        """Return the differences at a point, which take further steps as ``go_on`` allows."""
        return Differences(
            self.calls,
            self.points[at],
            self.y[at],
            dtype=self.precision,
            kink_distance=self.problem.kink_distance,
            noise=self.noise,
            good=TELLS,
            floor=SOLVED[self.precision],
            go_on=go_on,
        )

    @property
    def narrow(self) -> str | None:
        """The type of fewer digits in which all of its values are, ``bfloat16`` or ``float16``."""
        values = np.concatenate([one.reshape(-1) for one in self.y])
        whole = np.array_equal(values, np.rint(values))
        if np.count_nonzero(values) < FEW or whole or self.dtype == "float16":
            return None
        with np.errstate(over="ignore"):
            single, half = values.astype(np.float32), values.astype(np.float16)
        if np.array_equal(single, values) and not np.any(single.view(np.uint32) & 0xFFFF):
            return "bfloat16"  # of so few digits that float16 mostly holds them too
        return "float16" if np.array_equal(half, values) else None


def _rounded(problem: Problem, dtype: str) -> Problem:
    """Return ``problem`` with points and constants that ``dtype`` can hold."""
    if dtype == "float64":
        return problem
    return replace(
        problem,
        x=rounded(problem.x, dtype),
        elsewhere=rounded(problem.elsewhere, dtype),
        constants=tuple(rounded(constant, dtype) for constant in problem.constants),
    )


def _reachable(problem: Problem) -> Problem:
    """Return ``problem`` with a second point that x is a float64 step away from, exactly."""
    pairs = zip(tree.leaves(problem.x), tree.leaves(problem.elsewhere), strict=True)
    elsewhere = tree.unflatten(problem.x, [a + (b - a) for a, b in pairs])
    return replace(problem, elsewhere=elsewhere)
