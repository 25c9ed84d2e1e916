"""What a function is called with, taken apart: x, constants on the device, and what stays as is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jacbench.backend import registry
from jacbench.core import tree
from jacbench.core.arrays import Array
from jacbench.core.errors import JacbenchError
from jacbench.core.tree import Tree
from jacbench.picking.loading.by_name import article
from jacbench.picking.loading.inputs import Inputs
from jacbench.picking.loading.recognition import owner_of


@dataclass(frozen=True, kw_only=True)
class Split:
    """A function of x and of constants, made of one with further arguments.

    Attributes
    ----------
    x
        NumPy arrays, in their own dtype.
    constants
        NumPy arrays: every other argument that is an array, or a tree with arrays in it.
    function
        ``f(x, *constants)``, or ``f(xp, x, *constants)`` of one over a namespace; the caller's own
        where that is what it takes.
    """

    x: Tree
    constants: tuple[Tree, ...]
    function: Any


def split(function: Any, given: Inputs, who: str, *, neutral: bool = False) -> Split:
    """Take apart what ``function`` is called with; numbers and strings stay with the function.

    Parameters
    ----------
    neutral
        True of a function that takes the namespace first.

    Raises
    ------
    JacbenchError
        In one line: an x that is no array of floats.
    """
    others = [a for i, a in enumerate(given.arguments) if i != given.argnum]
    held = [_Held.of(other) for other in others]
    constants = tuple(part.constant for part in held if part.places)
    plain = given.argnum == 0 and not given.keywords and all(part.whole for part in held)
    return Split(
        x=_point(given.x, who),
        constants=constants,
        function=function
        if plain
        else Arranged(function, given.argnum, tuple(held), given.keywords, int(neutral)),
    )


@dataclass(frozen=True, eq=False)  # what it holds need not be hashable
class Arranged:
    """``f(x, *constants)`` out of a function whose x stands elsewhere, or that takes more.

    Attributes
    ----------
    function
        The user's.
    argnum
        Where x stands among its arguments.
    held
        Its other arguments.
    keywords
        Those given by keyword.
    leading
        How many arguments go before all, such as ``xp``.
    """

    function: Any
    argnum: int
    held: tuple[_Held, ...]
    keywords: Mapping[str, Any]
    leading: int = 0

    def __call__(self, *given: Any) -> Any:
        """Call the function with x and the constants in their places."""
        first, x, constants = given[: self.leading], given[self.leading], given[self.leading + 1 :]
        rest = iter(constants)
        others = [part.rebuilt(next(rest)) if part.places else part.value for part in self.held]
        others.insert(self.argnum, x)
        return self.function(*first, *others, **self.keywords)


@dataclass(frozen=True)
class _Held:
    """An argument that is held constant.

    Attributes
    ----------
    value
        As it was given.
    places
        Which of its leaves are arrays, in tree order.
    constant
        Those, as NumPy arrays: the whole tree where all of them are, else a list.
    """

    value: Any
    places: tuple[int, ...]
    constant: Tree

    @classmethod
    def of(cls, value: Any) -> _Held:
        """Tell the arrays in ``value`` from what stays as it is."""
        leaves = tree.leaves(value)
        hosted = [_array(leaf) for leaf in leaves]
        places = tuple(i for i, leaf in enumerate(hosted) if leaf is not None)
        arrays = [hosted[i] for i in places]
        whole = len(places) == len(leaves)
        return cls(value, places, tree.unflatten(value, arrays) if whole else arrays)

    @property
    def whole(self) -> bool:
        """Whether there are arrays in it, and nothing else."""
        return bool(self.places) and len(self.places) == len(tree.leaves(self.value))

    def rebuilt(self, constant: Tree) -> Any:
        """Return the argument with the arrays of ``constant``."""
        if self.whole:
            return constant
        leaves = tree.leaves(self.value)
        for place, array in zip(self.places, constant, strict=True):
            leaves[place] = array
        return tree.unflatten(self.value, leaves)


def is_numbers(value: Any) -> bool:
    """Say whether ``value`` is a number, or a list of numbers, of Python's own."""
    leaves = tree.leaves(value)
    return bool(leaves) and all(type(leaf) in {int, float} for leaf in leaves)


def as_arrays(numbers: Any) -> Tree:
    """Return plain numbers as one array, or as a tree of them where they make no array."""
    try:
        return np.asarray(numbers, dtype=np.float64)
    except (TypeError, ValueError):  # a dict, or of unequal lengths
        return tree.map_leaves(lambda leaf: np.asarray(leaf, dtype=np.float64), numbers)


def host(leaf: Any, what: str) -> Array:
    """Return an array of any library as NumPy's."""
    owner = owner_of(leaf)
    try:
        array = np.asarray(leaf if owner is None else registry.load(owner).to_numpy(leaf))
    except (TypeError, ValueError, RuntimeError) as exc:
        told = " ".join(str(exc).split())[:150]
        raise JacbenchError(
            f"{what} is {article(leaf)} that NumPy cannot hold ({told}): pass floats"
        ) from exc
    return array


def _array(leaf: Any) -> Array | None:
    """Return what can go to a device as a NumPy array; None for numbers, strings, random keys."""
    if not hasattr(leaf, "dtype") or isinstance(leaf, np.dtype):
        return None
    try:
        array = host(leaf, "it")
    except JacbenchError:
        return None
    return array if array.dtype.kind in "biuf" else None


def _point(x: Any, who: str) -> Tree:
    if is_numbers(x):
        return as_arrays(x)
    names = [f"{who}: x{name}" for name in tree.names(x)]
    arrays = [host(leaf, name) for leaf, name in zip(tree.leaves(x), names, strict=True)]
    for array, leaf, name in zip(arrays, tree.leaves(x), names, strict=True):
        _check(array, leaf, name)
    return tree.unflatten(x, arrays)


def _check(array: Array, leaf: Any, what: str) -> None:
    if array.dtype.kind in "OUSV" and not hasattr(leaf, "dtype"):
        raise JacbenchError(
            f"{what} is {article(leaf)}, not an array: pass an array, or a dict, list or "
            "tuple of them"
        )
    if array.dtype.kind in "biu":
        raise JacbenchError(
            f"{what} is of dtype {array.dtype}, which has no derivative: pass floats, or make it a "
            "further argument of the function"
        )
    if array.dtype.kind == "c":
        raise JacbenchError(
            f"{what} is of dtype {array.dtype}: a complex input has no real Jacobian; pass its "
            "real and imaginary parts as two real inputs"
        )
    if str(array.dtype) not in {"float64", "float32"}:
        raise JacbenchError(
            f"{what} is of dtype {array.dtype}: Jacobians are computed in float64 or float32: "
            "convert it"
        )
