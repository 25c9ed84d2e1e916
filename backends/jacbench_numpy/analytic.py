"""The hand-written Jacobian, and what each operator makes of it: the floor."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from jacbench.backend import Prepared, Target
from jacbench.core import tree
from jacbench.core.arrays import Array
from jacbench_numpy.method import NumpyMethod, ProductMethod, flat, parts

if TYPE_CHECKING:
    from jacbench.backend.method import ProblemFacts


class HandWritten(NumpyMethod):
    """A method that needs a hand-written Jacobian."""

    def unsupported(
        self, problem: ProblemFacts | None, operator: str, device: str, dtype: str
    ) -> str | None:
        """Refuse a problem that has none."""
        if problem is None or problem.jacobian is None:
            which = "a native function" if problem is None else f"problem {problem.name!r}"
            return f"{which} has no hand-written Jacobian"
        return super().unsupported(problem, operator, device, dtype)


def _by_hand(target: Target) -> Callable[[Any], Array]:
    """Return the hand-written Jacobian as a function of x alone."""
    jacobian, constants = target.analytic, target.constants
    assert jacobian is not None  # noqa: S101 - settled by unsupported()
    return lambda x: jacobian(x, *constants)


class Analytic(HandWritten):
    """The problem's hand-written Jacobian."""

    def prepare(self, target: Target) -> Prepared:
        """Bind the constants."""
        return Prepared(_by_hand(target))


class AnalyticValue(HandWritten):
    """The function and its hand-written Jacobian, one after the other."""

    def prepare(self, target: Target) -> Prepared:
        """Bind the constants."""
        function, constants, jacobian = target.function, target.constants, _by_hand(target)
        # with aux the function returns (y, aux), which is what stands beside J
        return Prepared(lambda x: (function(x, *constants), jacobian(x)))


class AnalyticBatch(HandWritten):
    """The diagonal blocks of the hand-written Jacobian, one sample below the other.

    The result has shape (m, n / B): row i holds the derivatives by the inputs of i's own sample.
    """

    def prepare(self, target: Target) -> Prepared:
        """Find the columns of each sample."""
        jacobian, axis = _by_hand(target), target.in_axes[0]
        if axis is None:
            return Prepared(jacobian)
        columns = _columns_of_samples(target.x, axis)[:, None, :]
        batch = len(columns)

        def call(x: Any) -> Any:
            J = jacobian(x)
            m, n = J.shape
            blocks = np.take_along_axis(J.reshape(batch, -1, n), columns, axis=2)
            return blocks.reshape(m, -1)

        return Prepared(call)


def _columns_of_samples(x: Any, axis: int) -> Array:
    """Return which columns of the (m, n) matrix belong to each sample, of shape (B, n / B)."""
    numbered = parts(np.arange(sum(leaf.size for leaf in tree.leaves(x))), x)
    rows = [np.moveaxis(leaf, axis, 0) for leaf in tree.leaves(numbered)]
    return np.concatenate([row.reshape(len(row), -1) for row in rows], axis=1)


class AnalyticVjp(HandWritten, ProductMethod):
    """The cotangent times the hand-written Jacobian."""

    def prepare(self, target: Target) -> Prepared:
        """Flatten the cotangent."""
        jacobian, cotangent = _by_hand(target), target.vector.reshape(-1)
        return Prepared(lambda x: parts(cotangent @ jacobian(x), x))


class AnalyticJvp(HandWritten, ProductMethod):
    """The hand-written Jacobian times the tangent."""

    def prepare(self, target: Target) -> Prepared:
        """Flatten the tangent."""
        jacobian, tangent, y_shape = _by_hand(target), flat(target.vector), target.y_shape
        return Prepared(lambda x: (jacobian(x) @ tangent).reshape(y_shape))


METHODS = (
    Analytic("numpy.analytic"),
    AnalyticValue("numpy.analytic-value"),
    AnalyticBatch("numpy.analytic-batch"),
    AnalyticVjp("numpy.analytic-vjp"),
    AnalyticJvp("numpy.analytic-jvp"),
)
