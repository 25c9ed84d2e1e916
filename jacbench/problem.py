"""A problem: a function from R^n to R^m, a point, and where possible its analytic Jacobian."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any, TypeAlias

import numpy as np

from jacbench import tree
from jacbench.errors import JacbenchError
from jacbench.layout import Array
from jacbench.tree import Tree

Namespace: TypeAlias = ModuleType | SimpleNamespace
NeutralFunction: TypeAlias = Callable[..., Any]
"""``f(xp, x, *constants)``, written over the operations of :mod:`jacbench.namespace`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """A function ``f: R^n -> R^m``, a point, its constants, its source and its Jacobian.

    Attributes
    ----------
    name
        ``family/short-name``; patterns on the command line select by it.
    function
        ``f(xp, x, *constants) -> y``: ``xp`` is a backend's namespace, ``x`` an array or a tree of
        arrays, ``y`` one floating-point array of any shape. It is called with every backend's
        arrays and must keep nothing between calls. It may index and unpack a tree, but not ask
        for its type: autograd hands in boxes that are no dict, list or tuple.
    x
        The point: a float64 array or a tree of them, n entries in all. Lists of Python floats are
        trees of scalars; pass ``numpy.array``.
    constants
        Further arguments of ``function``, each an array or a tree of arrays; they are placed on
        the device in float64 or float32 as the cell asks.
    jacobian
        ``jacobian(x, *constants)`` gives the (m, n) matrix in NumPy float64, column j belonging to
        entry j of the leaves of x in tree order. None where nobody has written one: the reference
        is then a numerical Jacobian, see :mod:`jacbench.reference`.
    elsewhere
        A second point of the same structure; every method is prepared at ``x`` and must answer
        for this one too. None: ``x`` plus seeded noise of a tenth of its scale.
    kink_distance
        How far any one input may move from either point before the function meets a kink; None
        where it is smooth. Finite differences with a longer step are not asked.
    source
        Where the problem comes from: a paper, a book, a link.
    summary
        One line for ``jacbench list``.
    """

    name: str
    function: NeutralFunction
    x: Tree
    constants: tuple[Tree, ...] = ()
    jacobian: Callable[..., Array] | None = None
    elsewhere: Tree | None = None
    kink_distance: float | None = None
    source: str = ""
    summary: str = ""
    seed: int = field(default=0, repr=False)

    def __post_init__(self) -> None:
        """Turn the point and the constants into float64 arrays; refuse what has no derivative."""
        if not callable(self.function):
            raise JacbenchError(
                f"problem {self.name!r}: function is a {type(self.function).__name__}: "
                "give a callable f(xp, x, *constants)"
            )
        object.__setattr__(self, "x", self._as_float64("x", self.x, differentiable=True))
        constants = tuple(
            self._as_float64(f"constants[{i}]", c) for i, c in enumerate(self.constants)
        )
        object.__setattr__(self, "constants", constants)
        elsewhere = self._nearby() if self.elsewhere is None else self.elsewhere
        elsewhere = self._as_float64("elsewhere", elsewhere, differentiable=True)
        if [a.shape for a in tree.leaves(elsewhere)] != self.leaf_shapes:
            raise JacbenchError(
                f"problem {self.name!r}: elsewhere has leaves of other shapes than x: "
                "give a second point of the same structure, or leave it out"
            )
        object.__setattr__(self, "elsewhere", elsewhere)

    @property
    def leaf_shapes(self) -> list[tuple[int, ...]]:
        """The shape of each leaf of x, in tree order."""
        return [leaf.shape for leaf in tree.leaves(self.x)]

    @property
    def n(self) -> int:
        """The number of inputs, over all leaves of x."""
        return sum(math.prod(shape) for shape in self.leaf_shapes)

    def _nearby(self) -> Tree:
        rng = np.random.default_rng([self.seed, 0x5EED])

        def perturbed(leaf: Array) -> Array:
            scale = 0.1 * (float(np.std(leaf)) or float(np.max(np.abs(leaf))) or 1.0)
            return leaf + scale * rng.standard_normal(leaf.shape)

        return tree.map_leaves(perturbed, self.x)

    def _as_float64(self, what: str, value: Tree, *, differentiable: bool = False) -> Tree:
        def convert(leaf: Any) -> Array:
            array = np.asarray(leaf)
            where = f"problem {self.name!r}: {what} is"
            if array.dtype.kind not in "biuf":
                raise JacbenchError(
                    f"{where} of dtype {array.dtype}, not a real array: pass float64 arrays"
                )
            if differentiable and array.dtype.kind != "f":
                raise JacbenchError(
                    f"{where} of dtype {array.dtype}, which has no derivative: pass floats, "
                    "e.g. x.astype(float)"
                )
            if differentiable and array.size == 0:
                raise JacbenchError(
                    f"{where} empty (shape {array.shape}): a Jacobian needs at least one input"
                )
            if differentiable and not np.isfinite(array).all():
                raise JacbenchError(f"{where} not finite: give a point without NaN or inf")
            return array.astype(np.float64) if array.dtype.kind == "f" else array

        if differentiable and not tree.leaves(value):
            raise JacbenchError(
                f"problem {self.name!r}: {what} holds no arrays: a Jacobian needs an input"
            )
        return tree.map_leaves(convert, value)
