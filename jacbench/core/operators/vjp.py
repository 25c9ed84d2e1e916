"""``vjp``: a vector times the Jacobian, what ``y.backward(v)`` accumulates."""

from __future__ import annotations

from jacbench.core.arrays import Array, Shape
from jacbench.core.operators.operator import Operator, Sizes, random, typical_product


class Vjp(Operator):
    """``Σ_i v_i J_ij`` for a fixed cotangent v of shape y.shape; a tree like x."""

    name = "vjp"

    def shapes(self, sizes: Sizes) -> tuple[Shape, list[Shape]]:
        """Return no rows of its own, and the shapes of the leaves of x."""
        return (), list(sizes.leaf_shapes)

    def expected(self, jacobian: Array, sizes: Sizes, vector: Array | None) -> Array:
        """Return v J as one row."""
        del sizes
        assert vector is not None  # noqa: S101 - vector() gives one
        product: Array = vector[None, :] @ jacobian
        return product

    def scale(self, jacobian: Array, vector: Array | None) -> float:
        """Return the size of the product for a typical vector: this one's may nearly cancel."""
        return typical_product(jacobian, vector)

    def vector(self, sizes: Sizes, seed: int) -> list[Array]:
        """Return one seeded cotangent of shape y.shape."""
        return [random(sizes.y_shape, seed, 0)]


OPERATOR = Vjp()
