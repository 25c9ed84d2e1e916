"""What an operator must say of its result, so that every method of it can be checked."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jacbench.core import tree
from jacbench.core.arrays import Array, Shape
from jacbench.core.tree import Tree


@dataclass(frozen=True)
class Sizes:
    """The shapes that an operator's result follows from.

    Attributes
    ----------
    y_shape
        The shape of the function's value.
    leaf_shapes
        The shape of each leaf of x, in tree order.
    batch_axis
        The axis of every leaf of x that runs over samples; None where samples share x, or where
        there are none.
    """

    y_shape: Shape
    leaf_shapes: Sequence[Shape]
    batch_axis: int | None = None

    @property
    def m(self) -> int:
        """The number of outputs."""
        return math.prod(self.y_shape)

    @property
    def sample_shapes(self) -> list[Shape]:
        """The shape of each leaf of x for one sample."""
        if self.batch_axis is None:
            return list(self.leaf_shapes)
        return [_without(shape, self.batch_axis) for shape in self.leaf_shapes]


def _without(shape: Shape, axis: int) -> Shape:
    axis %= len(shape)
    return shape[:axis] + shape[axis + 1 :]


class Operator(ABC):
    """One thing that can be computed of a function at a point.

    A method's result is laid out as :class:`jacbench.core.layouts.Layout` says, over the shapes of
    ``rows`` and ``columns`` given here: a Jacobian has the outputs as rows and the inputs as
    columns, a vjp has one row, a jvp one column.

    Attributes
    ----------
    name
        By which it is selected.
    returns_value
        True where a method returns the function's value, and aux, beside the derivative.
    """

    name: str
    returns_value: bool = False

    @abstractmethod
    def shapes(self, sizes: Sizes) -> tuple[Shape, list[Shape]]:
        """Return the shape of the rows and the shapes of the columns of the result."""

    @abstractmethod
    def expected(self, jacobian: Array, sizes: Sizes, vector: Array | None) -> Array:
        """Return the right (rows, columns) matrix from the (m, n) Jacobian.

        ``vector`` is flat, of m or of n entries, for the operators that take one.
        """

    def scale(self, jacobian: Array, vector: Array | None) -> float:
        """Return a size below which the norm of the right result is an accident of the vector."""
        del jacobian, vector
        return 0.0

    def vector(self, sizes: Sizes, seed: int) -> list[Array] | None:
        """Return the float64 arrays of the fixed vector, or None where the operator has none.

        One array of shape y.shape, or one per leaf of x.
        """
        del sizes, seed
        return None

    def parts(self, native: Any, *, has_aux: bool) -> tuple[Any, Any, Any]:
        """Split a native result into value, aux and derivative; None for what it has not."""
        del has_aux
        return None, None, native

    def is_zero(self, native: Any, *, has_aux: bool) -> bool:
        """Say whether every entry of the derivative in a native result is 0."""
        derivative = self.parts(native, has_aux=has_aux)[2]
        return not any(bool((leaf != 0).any()) for leaf in tree.leaves(derivative))

    def vector_like(self, arrays: Sequence[Any], x: Tree) -> Any:
        """Return the vector's ``arrays`` in the structure in which methods take it."""
        del x
        return arrays[0]


def typical_product(jacobian: Array, vector: Array | None) -> float:
    """Return ‖J‖ ‖v‖ / √k, the root mean square of ‖J v‖ over the directions of v in R^k."""
    assert vector is not None  # noqa: S101 - asked only by operators that take one
    return float(np.linalg.norm(jacobian) * np.linalg.norm(vector)) / math.sqrt(vector.size)


def random(shape: Shape, seed: int, index: int) -> Array:
    """Return seeded standard normal entries: no direction of a fixed function is special."""
    return np.random.default_rng([seed, 0xD1EC, index]).standard_normal(shape)
