"""``factored_jacobian``: the Jacobian of f = g o h, left as the product of two."""

from __future__ import annotations

from jacbench.core.arrays import Array, Shape
from jacbench.core.operators.operator import Operator, Sizes


class FactoredJacobian(Operator):
    """``(Jg, Jh)`` of shapes (m, k) and (k, n), where f = g o h and h has k values.

    With k far below m and n the factors hold less, cost less to compute and less to multiply by
    than their product: (m + n) k numbers in place of m n.
    """

    name = "factored_jacobian"

    def shapes(self, sizes: Sizes) -> tuple[Shape, list[Shape]]:
        """Return y.shape, and the shapes of the leaves of x."""
        return sizes.y_shape, list(sizes.leaf_shapes)

    def expected(self, jacobian: Array, sizes: Sizes, vector: Array | None) -> Array:
        """Return the Jacobian itself, which the product has to be."""
        del sizes, vector
        return jacobian


OPERATOR = FactoredJacobian()
