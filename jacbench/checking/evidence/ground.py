"""What evidence stands on: a function at the two points of its reference, by its values."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from jacbench.checking import matrix_error
from jacbench.checking.evidence.claims import FLOOR, GOOD
from jacbench.checking.evidence.differences import Differences
from jacbench.checking.evidence.judgement import LIMIT
from jacbench.core.arrays import Array
from jacbench.core.tree import Tree
from jacbench.problems.counted_function import Calls
from jacbench.problems.problem import Problem


def always() -> bool:
    """Go on, as no time is short."""
    return True


class Ground:
    """A function at both points, in the precision in which what is right is computed.

    Parameters
    ----------
    problem
        As the dtype of its cells can hold it.
    calls
        The function as the library that is asked for modes computes it, in that precision.
    points, y
        The points, and the function's values there.
    value
        Gives the values that differences are taken of; None: ``calls`` does.
    noise
        How much neighbouring values scatter, relative to ‖y‖; 0: it is found out once it matters.
    good, floor
        What differences must be good to, and below what they deny nothing.
    """

    def __init__(
        self,
        problem: Problem,
        calls: Calls,
        points: Sequence[Tree],
        y: Sequence[Array],
        *,
        value: Callable[[Tree], Array] | None = None,
        noise: float = 0.0,
        good: float = GOOD,
        floor: float = FLOOR,
    ) -> None:
        self.problem, self.calls, self.points, self.y = problem, calls, points, y
        self.precision = calls.dtype
        self.eps = float(np.finfo(self.precision).eps)
        self.noise = max(noise, self.eps)
        self._around = [
            Differences(
                value or calls,
                x,
                at,
                dtype=self.precision,
                kink_distance=problem.kink_distance,
                noise=noise,
                good=good,
                floor=floor,
            )
            for x, at in zip(points, y, strict=True)
        ]

    @property
    def limit(self) -> float:
        """Up to which two ways agree; in float32 each may be off by what a cell may be off."""
        if self.precision == "float64":
            return LIMIT
        return 5 * matrix_error.tolerance(self.precision, self.calls.device)

    def differences(self, at: int, go_on: Callable[[], bool] = always) -> Differences:
        """Return the differences at a point, which take further steps as ``go_on`` allows."""
        around = self._around[at]
        around.go_on = go_on
        return around
