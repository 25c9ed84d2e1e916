"""``jacobian``: the derivative of every output by every input."""

from __future__ import annotations

from jacbench.core.arrays import Array, Shape
from jacbench.core.operators.operator import Operator, Sizes


class Jacobian(Operator):
    """The (m, n) matrix; the 1 x n Jacobian of a scalar output is its gradient."""

    name = "jacobian"

    def shapes(self, sizes: Sizes) -> tuple[Shape, list[Shape]]:
        """Return y.shape, and the shapes of the leaves of x."""
        return sizes.y_shape, list(sizes.leaf_shapes)

    def expected(self, jacobian: Array, sizes: Sizes, vector: Array | None) -> Array:
        """Return the Jacobian itself."""
        del sizes, vector
        return jacobian


OPERATOR = Jacobian()
