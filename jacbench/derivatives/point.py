"""The point of a native function: what it is called with, and by which arrays it is differentiated.

What is not floating (tokens, masks, None, names) is a constant by itself, and so is what argnums
leave out. Methods differentiate by arrays, dicts, lists and tuples; of any other container they get
the list of arrays, and the function the container again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jacbench.backend import Backend, Native
from jacbench.core import tree
from jacbench.core.errors import JacbenchError
from jacbench.core.tree import Tree
from jacbench.problems.checked_value import numbers

NARROW = frozenset({"bfloat16", "float16"})
"""Dtypes that are computed in as they are; NumPy lacks the first."""
FLOATING = frozenset({"float64", "float32", *NARROW})

_NUMBERS = (bool, int, float, complex, np.generic)


@dataclass(frozen=True, kw_only=True)
class Point:
    """Arguments of a function, as arrays of one library.

    Attributes
    ----------
    arguments
        What the function is called with, in order.
    selected
        The arguments that x is of: a single tree, or a tuple where argnums is one.
    moving
        Which leaves of ``arguments`` it is differentiated by, in tree order.
    empty
        Which leaves of x hold no numbers: their part of a Jacobian is empty.
    own
        Which leaves are those of x, in the order of ``selected``.
    x
        What methods take: ``selected`` itself where they can, else those leaves.
    as_given
        Whether that is so, and the function is called with x alone.
    """

    arguments: tuple[Tree, ...]
    selected: Tree
    moving: tuple[int, ...]
    empty: tuple[int, ...]
    own: tuple[int, ...]
    x: Tree
    as_given: bool

    def of_x(self, f: Callable[..., Any]) -> Callable[[Tree], Any]:
        """Return ``f`` as a function of what methods take."""
        if self.as_given:
            return f
        arguments, moving, known = self.arguments, self.moving, tree.leaves(self.arguments)
        single = len(moving) == 1

        def function(x: Tree) -> Any:
            leaves = list(known)
            # by number, as autograd hands in a box that is no list
            for number, place in enumerate(moving):
                leaves[place] = x if single else x[number]
            return f(*tree.unflatten(arguments, leaves))

        return function

    def filled(self, parts: Sequence[Native], empty: Callable[[Native], Native]) -> Tree:
        """Return a tree of the structure of x: ``parts`` by array, None for what is constant.

        ``empty`` makes the part of an array without numbers.
        """
        if self.as_given:
            return tree.unflatten(self.x, parts)
        by_place = dict(zip(self.moving, parts, strict=True))
        leaves = tree.leaves(self.arguments)
        made = [
            empty(leaves[place]) if place in self.empty else by_place.get(place)
            for place in self.own
        ]
        return tree.unflatten(self.selected, made)

    def leaves_of(self, given: Tree, who: str, letter: str) -> list[Any]:
        """Return the arrays of ``given``, a tree like x, that stand where x is floating."""
        names, known = tree.names(given), tree.names(self.selected)
        if names != known:
            raise JacbenchError(
                f"{who}: {letter} holds {_listed(letter, names)}: give a tree like x, which holds "
                f"{_listed('x', known)}"
            )
        leaves = tree.leaves(given)
        moving = set(self.moving)
        return [leaf for place, leaf in zip(self.own, leaves, strict=True) if place in moving]

    def constants(self) -> list[Any]:
        """Return the leaves of all arguments, None for those that it is differentiated by."""
        moving = {*self.moving, *self.empty}
        leaves = enumerate(tree.leaves(self.arguments))
        return [None if place in moving else leaf for place, leaf in leaves]

    def names(self) -> list[str]:
        """Return what each leaf of the arguments is called, from x on."""
        alone = self.selected is self.arguments[0] and len(self.arguments) == 1
        return tree.names(self.selected if alone else self.arguments)


def of(
    who: str, backend: Backend, given: Tree, argnums: int | Sequence[int] | None = None
) -> Point:
    """Return the point that a user gave, or raise the line that says what is wrong with it.

    Parameters
    ----------
    who
        What was called, for the message.
    backend
        Whose arrays it holds; NumPy's are converted.
    given
        x, or with ``argnums`` the tuple of the function's arguments.
    argnums
        Which of the arguments x is; None: the function takes x alone.
    """
    arguments, chosen = _arguments(who, given, argnums)
    alone = argnums is None
    convert = functools.partial(_leaf, who, backend)
    places, leaves = list[tuple[int, str]](), list[Any]()
    for number, argument in enumerate(arguments):
        prefix = "x" if alone else f"argument {number}"
        bare = tree.is_leaf(argument)
        for name, leaf in zip(tree.names(argument), tree.leaves(argument), strict=True):
            places.append((number, f"{prefix}{name}"))
            leaves.append(convert(leaf, f"{prefix}{name}", bare=bare and number in chosen))
    arguments = tree.unflatten(arguments, leaves)
    order = [i for number in chosen for i, (owner, _) in enumerate(places) if owner == number]
    floating = [i for i in order if _is_floating(backend, leaves[i])]
    if not floating:
        told = "x" if alone else f"argument {' or '.join(map(str, chosen))}"
        raise JacbenchError(
            f"{who}: {told} holds no arrays of floats: a Jacobian needs at least one input"
        )
    moving = [i for i in floating if _size(leaves[i])]
    selected = (
        arguments[chosen[0]]
        if alone or isinstance(argnums, int)
        else tuple(arguments[number] for number in chosen)
    )
    as_given = alone and tree.is_plain(selected) and moving == list(range(len(leaves)))
    moved = [leaves[i] for i in moving]
    return Point(
        arguments=arguments,
        selected=selected,
        moving=tuple(moving),
        empty=tuple(i for i in floating if i not in moving),
        own=tuple(order),
        x=selected if as_given else (moved[0] if len(moved) == 1 else moved),
        as_given=as_given,
    )


def _arguments(
    who: str, given: Tree, argnums: int | Sequence[int] | None
) -> tuple[tuple[Tree, ...], tuple[int, ...]]:
    if argnums is None:
        return (given,), (0,)
    if type(given) not in {tuple, list}:
        raise JacbenchError(
            f"{who}: argnums is {argnums!r} and x is a {type(given).__name__}: give the tuple of "
            "f's arguments as x"
        )
    count = len(given)
    numbers = tuple(argnums) if isinstance(argnums, Sequence) else (argnums,)
    if not all(type(number) is int for number in numbers):
        raise JacbenchError(f"{who}: argnums is {argnums!r}: give a whole number, or a tuple")
    wrong = [number for number in numbers if not -count <= number < count]
    if wrong or not numbers or len({number % count for number in numbers}) < len(numbers):
        raise JacbenchError(
            f"{who}: argnums is {argnums!r}, and x holds {count} arguments: give numbers from 0 to "
            f"{count - 1}, each once"
        )
    return tuple(given), tuple(number % count for number in numbers)


def dtype_of(array: Native) -> str:
    """Return a dtype without its library: ``float32`` of ``torch.float32``."""
    return str(array.dtype).rpartition(".")[2]


def _is_array(backend: Backend, leaf: Any) -> bool:
    return isinstance(leaf, np.ndarray) or backend.is_array(leaf)


def _is_floating(backend: Backend, leaf: Any) -> bool:
    return _is_array(backend, leaf) and dtype_of(leaf) in FLOATING


def _size(leaf: Native) -> int:
    return int(np.prod(tuple(leaf.shape), dtype=np.int64))


def _leaf(who: str, backend: Backend, leaf: Any, what: str, *, bare: bool) -> Any:
    """Return a leaf as the library's array; one inside a container may be no array at all."""
    arrays = isinstance(leaf, _NUMBERS) or hasattr(leaf, "dtype") or _is_array(backend, leaf)
    if not bare and not arrays and not _is_container(leaf):
        return leaf
    if not bare and isinstance(leaf, (bool, int)):
        return leaf
    return array(who, backend, leaf, what, constant=not bare)


def _is_container(leaf: Any) -> bool:
    """Say whether ``leaf`` holds arrays and is no tree that anybody knows."""
    held = getattr(leaf, "__dict__", None)
    return isinstance(held, dict) and any(hasattr(value, "dtype") for value in held.values())


def array(
    who: str, backend: Backend, leaf: Any, what: str = "x", *, constant: bool = False
) -> Native:
    """Return one array of a point in the library's own, or raise the line that says why not.

    Parameters
    ----------
    what
        What it is called in the message.
    constant
        True where it may be of a dtype without a derivative.
    """
    if type(leaf) is float:  # it has no dtype of its own, and takes the library's
        return backend.put(np.asarray(leaf), "cpu", "float64")
    if isinstance(leaf, _NUMBERS):
        leaf = np.asarray(leaf)
    if not _is_array(backend, leaf):
        raise JacbenchError(
            f"{who}: {what} is a {type(leaf).__module__}.{type(leaf).__name__}, not one of this "
            f"library's arrays: convert it, or pass a NumPy array{_of_object(leaf)}"
        )
    dtype = dtype_of(leaf)
    if dtype in FLOATING:
        _check_finite(who, backend, leaf, what)
        return leaf if backend.is_array(leaf) else _placed(who, backend, leaf, what)
    if constant and not dtype.startswith("complex"):
        return leaf if backend.is_array(leaf) else backend.beside(leaf)
    if dtype in {"float128", "longdouble"}:
        return _placed(who, backend, leaf, what)
    raise JacbenchError(
        f"{who}: {what} is of dtype {dtype}, which has no real derivative: pass floats"
    )


def _of_object(leaf: Any) -> str:
    if not _is_container(leaf):
        return ""
    return (
        "; a class of your own is a tree once it is a dataclass, or registered with "
        "jax.tree_util or torch.utils._pytree"
    )


def _check_finite(who: str, backend: Backend, leaf: Native, what: str) -> None:
    if backend.is_array(leaf) and backend.traced(leaf):
        return
    value = leaf if isinstance(leaf, np.ndarray) else numbers(who, backend, leaf, f"{what} is")
    if not np.isfinite(value).all():
        raise JacbenchError(f"{who}: {what} is not finite: give a point without NaN or inf")


def _placed(who: str, backend: Backend, value: Any, what: str) -> Native:
    """Return a NumPy array as the library's, on the CPU and at its own dtype."""
    dtype = dtype_of(value)
    try:
        placed = backend.put(value, "cpu", dtype)
    except (KeyError, TypeError):  # extended precision
        raise JacbenchError(
            f"{who}: {what} is of dtype {dtype}, which is not converted: pass float64 or "
            "float32, or an array of the library's own"
        ) from None
    made = dtype_of(placed)
    if made != dtype:
        raise JacbenchError(
            f"{who}: {what} is {dtype} and the library made it {made}: "
            "for JAX run jax.config.update('jax_enable_x64', True) first, or pass float32"
        )
    return placed


def _listed(letter: str, names: Sequence[str]) -> str:
    return ", ".join(f"{letter}{name}" for name in names) or "nothing"
