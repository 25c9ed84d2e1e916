"""The hand-written Jacobian, central differences and the complex step."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from jacbench import layout, tree
from jacbench.backend import Method, MethodInfo, Prepared, Target
from jacbench_numpy import descriptor

if TYPE_CHECKING:
    from jacbench.layout import Layout
    from jacbench.problem import Problem


class NumpyMethod(Method):
    """A named method of this backend, whose result is the canonical matrix."""

    def __init__(self, name: str) -> None:
        self.info: MethodInfo = next(info for info in descriptor.methods if info.name == name)

    def layout(self, target: Target) -> Layout:
        """Return (m, n)."""
        del target
        return layout.MATRIX


class Analytic(NumpyMethod):
    """The problem's hand-written Jacobian."""

    def unsupported(
        self, problem: Problem | None, operator: str, device: str, dtype: str
    ) -> str | None:
        """Refuse a problem that has none."""
        if problem is None or problem.jacobian is None:
            which = "a native function" if problem is None else f"problem {problem.name!r}"
            return f"{which} has no hand-written Jacobian"
        return super().unsupported(problem, operator, device, dtype)

    def prepare(self, target: Target) -> Prepared:
        """Bind the constants."""
        jacobian, constants = target.analytic, target.constants
        assert jacobian is not None  # noqa: S101 - settled by unsupported()
        return Prepared(lambda x: jacobian(x, *constants))


class CentralDifference(NumpyMethod):
    """Column j is (f(x + h e_j) - f(x - h e_j)) / 2h.

    The step h = eps^(1/3) max(1, |x_j|) balances the truncation error, of order h², against the
    rounding error, of order eps / h. Reference: Nocedal and Wright, Numerical Optimization
    (2nd ed., 2006), section 8.1.
    """

    def unsupported(
        self, problem: Problem | None, operator: str, device: str, dtype: str
    ) -> str | None:
        """Refuse a step that would cross a kink: the difference would be of two functions."""
        if problem is not None and problem.kink_distance is not None:
            entries = [*tree.leaves(problem.x), *tree.leaves(problem.elsewhere)]
            step = _relative_step(dtype) * max(1.0, *(float(np.abs(e).max()) for e in entries))
            if step >= problem.kink_distance:
                return (
                    f"the {dtype} step of {step:.1g} would cross a kink of the function, "
                    f"{problem.kink_distance:.1g} away"
                )
        return super().unsupported(problem, operator, device, dtype)

    def tolerance(self, dtype: str) -> float:
        """Return 100 eps^(2/3): both errors are of that order, times derivatives of order 1."""
        eps = float(np.finfo(dtype).eps)
        return 100 * math.pow(eps, 2 / 3)

    def prepare(self, target: Target) -> Prepared:
        """Choose the relative step for the dtype."""
        function, constants = target.function, target.constants
        relative = _relative_step(target.dtype)

        def call(x: Any) -> Any:
            work = tree.map_leaves(np.array, x)
            columns = []
            for entries, j in _entries(work):
                middle = entries[j]
                h = relative * max(1.0, abs(float(middle)))
                above, below = middle + middle.dtype.type(h), middle - middle.dtype.type(h)
                entries[j] = above
                right = np.array(function(work, *constants))
                entries[j] = below
                left = np.asarray(function(work, *constants))
                entries[j] = middle
                # Divided by the step that was really taken, after rounding.
                columns.append((right - left).reshape(-1) / (above - below))
            return np.stack(columns, axis=1)

        return Prepared(call)


def _relative_step(dtype: str) -> float:
    return math.cbrt(float(np.finfo(dtype).eps))


class ComplexStep(NumpyMethod):
    """Column j is Im f(x + i h e_j) / h: no subtraction, so that h can be tiny.

    Reference: Squire and Trapp, Using complex variables to estimate derivatives of real
    functions, SIAM Review 40 (1998), https://doi.org/10.1137/S003614459631241X
    """

    def prepare(self, target: Target) -> Prepared:
        """Choose a step whose square vanishes beside 1, and the complex dtype."""
        function, constants = target.function, target.constants
        wide = np.result_type(target.dtype, np.complex64)
        h = wide.type(1e-20j)

        def call(x: Any) -> Any:
            work = tree.map_leaves(lambda leaf: leaf.astype(wide), x)
            columns = []
            for entries, j in _entries(work):
                middle = entries[j]
                entries[j] = middle + h
                columns.append(np.imag(function(work, *constants)).reshape(-1) / h.imag)
                entries[j] = middle
            return np.stack(columns, axis=1)

        return Prepared(call)


def _entries(x: Any) -> Iterator[tuple[Any, int]]:
    """Yield (flat view of a leaf, index) for each input, in canonical order."""
    for leaf in tree.leaves(x):
        flat = leaf.reshape(-1)
        for j in range(flat.size):
            yield flat, j


METHODS: tuple[Method, ...] = (
    Analytic("numpy.analytic"),
    CentralDifference("numpy.central-difference"),
    ComplexStep("numpy.complex-step"),
)
