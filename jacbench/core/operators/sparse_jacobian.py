"""``sparse_jacobian``: the entries of the Jacobian that may be other than zero."""

from __future__ import annotations

from jacbench.core.arrays import Array, Shape
from jacbench.core.operators.operator import Operator, Sizes


class SparseJacobian(Operator):
    """The data of a CSR matrix whose pattern was found, or given, when the method was prepared.

    One array of shape (nnz,), row by row; the pattern stands in the layout of the prepared call,
    see :class:`jacbench.core.layouts.SparseLayout`.
    """

    name = "sparse_jacobian"

    def shapes(self, sizes: Sizes) -> tuple[Shape, list[Shape]]:
        """Return y.shape, and the shapes of the leaves of x."""
        return sizes.y_shape, list(sizes.leaf_shapes)

    def expected(self, jacobian: Array, sizes: Sizes, vector: Array | None) -> Array:
        """Return the Jacobian itself: what the pattern leaves out has to be zero."""
        del sizes, vector
        return jacobian


OPERATOR = SparseJacobian()
