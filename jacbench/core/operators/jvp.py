"""``jvp``: the Jacobian times a vector, the derivative along a direction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jacbench.core import tree
from jacbench.core.arrays import Array, Shape
from jacbench.core.operators.operator import Operator, Sizes, random, typical_product
from jacbench.core.tree import Tree


class Jvp(Operator):
    """``Σ_j J_ij t_j`` for a fixed tangent t, a tree like x; an array of shape y.shape."""

    name = "jvp"

    def shapes(self, sizes: Sizes) -> tuple[Shape, list[Shape]]:
        """Return y.shape, and a single column."""
        return sizes.y_shape, [()]

    def expected(self, jacobian: Array, sizes: Sizes, vector: Array | None) -> Array:
        """Return J t as one column."""
        del sizes
        assert vector is not None  # noqa: S101 - vector() gives one
        product: Array = jacobian @ vector[:, None]
        return product

    def scale(self, jacobian: Array, vector: Array | None) -> float:
        """Return the size of the product for a typical vector: this one's may nearly cancel."""
        return typical_product(jacobian, vector)

    def vector(self, sizes: Sizes, seed: int) -> list[Array]:
        """Return one seeded tangent for each leaf of x."""
        return [random(shape, seed, 1 + i) for i, shape in enumerate(sizes.leaf_shapes)]

    def vector_like(self, arrays: Sequence[Any], x: Tree) -> Any:
        """Return the tangent as a tree like x."""
        return tree.unflatten(x, arrays)


OPERATOR = Jvp()
