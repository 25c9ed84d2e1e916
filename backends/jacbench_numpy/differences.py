"""Central differences: column by column, or along one direction.

The step eps^(1/3), in units of the input, balances the truncation error, of order h^2, against the
rounding error, of order eps / h. Reference: Nocedal and Wright, Numerical Optimization (2nd ed.,
2006), section 8.1.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jacbench.backend import Prepared, Target
from jacbench.core import tree
from jacbench.core.arrays import Array
from jacbench_numpy.method import NumpyMethod, ProductMethod, flat, parts

if TYPE_CHECKING:
    from jacbench.backend.method import ProblemFacts


class Difference(NumpyMethod):
    """A method that computes the function at two points and divides."""

    def unsupported(
        self, problem: ProblemFacts | None, operator: str, device: str, dtype: str
    ) -> str | None:
        """Refuse a cut, and a step that would cross a kink: a difference of two functions."""
        if problem is not None and problem.stops_gradient:
            return (
                "differences see through the cut: the function stops gradients on purpose, and its "
                "values change all the same"
            )
        if problem is not None and problem.kink_distance is not None:
            points = (flat(problem.x), flat(problem.elsewhere))
            step = relative_step(dtype) * max(self.reach(_units(point)) for point in points)
            if step >= problem.kink_distance:
                return (
                    f"the {dtype} step of {step:.1g} would cross a kink of the function, "
                    f"{problem.kink_distance:.1g} away"
                )
        return super().unsupported(problem, operator, device, dtype)

    @abstractmethod
    def reach(self, units: Array) -> float:
        """Return how far x moves at most, summed over its entries, in relative steps.

        The kink distance is for one input at a time. Where the function is linear between its
        kinks, it is then safe to move several by as much in all: the smooth piece around x is
        convex, and holds whatever lies between the points reached by one of them.
        """

    def tolerance(self, dtype: str) -> float:
        """Return 100 eps^(2/3): both errors are of that order, times derivatives of order 1."""
        eps = float(np.finfo(dtype).eps)
        return 100 * math.pow(eps, 2 / 3)


def relative_step(dtype: str) -> float:
    """Return eps^(1/3)."""
    return math.cbrt(float(np.finfo(dtype).eps))


def _units(entries: Array) -> Array:
    """Return the unit of each input, max(1, |x_j|)."""
    return np.maximum(1.0, np.abs(entries))


class CentralDifference(Difference):
    """Column j is (f(x + h e_j) - f(x - h e_j)) / 2h with h = eps^(1/3) max(1, |x_j|)."""

    def reach(self, units: Array) -> float:
        """Return the largest unit: one input moves at a time."""
        return float(units.max())

    def prepare(self, target: Target) -> Prepared:
        """Choose the relative step for the dtype."""
        function, constants = target.function, target.constants
        relative = relative_step(target.dtype)

        def call(x: Any) -> Any:
            # in C order, so that the flat view below is one
            work = tree.map_leaves(lambda leaf: np.array(leaf, order="C"), x)
            columns = []
            for leaf in tree.leaves(work):
                entries = leaf.reshape(-1)
                for j, middle in enumerate(entries.tolist()):
                    h = relative * max(1.0, abs(middle))
                    ends, values = [], []
                    for end in (middle + h, middle - h):
                        entries[j] = end
                        ends.append(entries[j])
                        values.append(np.array(function(work, *constants)).reshape(-1))
                    entries[j] = middle
                    columns.append(_quotient(values, ends[0] - ends[1]))
            return np.stack(columns, axis=1)

        return Prepared(call)


def _quotient(values: Sequence[Array], width: Any) -> Array:
    """Return the difference over the width that was really taken, after rounding."""
    quotient: Array = (values[0] - values[1]) / width
    return quotient


class CentralDifferenceJvp(Difference, ProductMethod):
    """(f(x + h t) - f(x - h t)) / 2h: two evaluations.

    h is the longest that moves no input further than its own column above would.
    """

    def reach(self, units: Array) -> float:
        """Return the sum of the units: at worst every input moves as far as it may."""
        return float(units.sum())

    def prepare(self, target: Target) -> Prepared:
        """Flatten the tangent."""
        function, constants, y_shape = target.function, target.constants, target.y_shape
        relative, tangent = relative_step(target.dtype), flat(target.vector)
        single = tangent.dtype.type

        def call(x: Any) -> Any:
            middle = flat(x)
            longest = float(np.abs(tangent / _units(middle)).max())
            h = single(relative / (longest or 1.0))
            values = [
                np.array(function(parts(end, x), *constants))
                for end in (middle + h * tangent, middle - h * tangent)
            ]
            return _quotient(values, 2 * h).reshape(y_shape)

        return Prepared(call)


METHODS = (
    CentralDifference("numpy.central-difference"),
    CentralDifferenceJvp("numpy.central-difference-jvp"),
)
