"""What autograd's methods share: names, one-hot vectors and the loop over them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from jacbench.backend import Method, MethodInfo, Target
from jacbench.core import tree
from jacbench.core.arrays import Array, Shape
from jacbench_autograd import descriptor


class AutogradMethod(Method):
    """A named method of this backend.

    What it puts together by NumPy is cut off from an outer trace.
    """

    nests = False

    def __init__(self, name: str) -> None:
        self.info: MethodInfo = next(info for info in descriptor.methods if info.name == name)


def unary(target: Target) -> Callable[[Any], Any]:
    """Return the target's function of x alone, its constants bound."""
    function, constants = target.function, target.constants

    def of_x(x: Any) -> Any:
        return function(x, *constants)

    return of_x


def eye(size: int, target: Target) -> Any:
    """Return the identity of shape (size, size) in the dtype of x."""
    return np.eye(size, dtype=tree.first(target.x).dtype)


def output_basis(shape: Shape, target: Target) -> list[Any]:
    """Return one one-hot array of ``shape`` for each of its entries, in C order."""
    return list(eye(math.prod(shape), target).reshape(-1, *shape))


def pulled_back(pull: Callable[[Any], Any], cotangents: Iterable[Any]) -> list[Any]:
    """Return, for each leaf of x, what ``pull`` makes of each cotangent, stacked."""
    rows = [tree.leaves(pull(cotangent)) for cotangent in cotangents]
    return [np.stack(row) for row in zip(*rows, strict=True)]


def apart(result: Any, vector: Any) -> Any:
    """Return ``result``, copied where it lies in the memory of ``vector``.

    Autograd hands a vector through sums and reshapes as it is; the result belongs to the caller,
    and what is written to it must not change the next answer.
    """
    given = tree.leaves(vector)

    def own(leaf: Any) -> Any:
        return leaf.copy() if any(np.may_share_memory(leaf, part) for part in given) else leaf

    return own(result) if tree.is_leaf(result) else tree.map_leaves(own, result)


def same(one: Array, other: Array) -> bool:
    """Say whether two results differ by rounding alone: each mode has rules of its own."""
    limit = math.sqrt(np.finfo(one.dtype).eps)
    return bool(np.linalg.norm(one - other) <= limit * np.linalg.norm(one))
