"""What a native function returns: one array as it is, or a tree that goes to methods as one array.

Every method differentiates one array. The floating arrays of a tree are put side by side for it,
and its rows are given back by leaf; what else the tree holds has no derivative and is None there.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jacbench.backend import Backend, Native
from jacbench.core import tree
from jacbench.core.arrays import Shape
from jacbench.core.errors import JacbenchError
from jacbench.core.function_types import Namespace
from jacbench.core.tree import Tree
from jacbench.derivatives.point import FLOATING, dtype_of
from jacbench.problems.checked_value import checked


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """The structure of a function's value.

    Attributes
    ----------
    backend
        Whose arrays it holds.
    like
        The value as it was at the first point, without its floating leaves; None for a bare array.
    device
        Where those lie.
    traced
        Whether one of them stands for numbers that are not known yet.
    places
        Which of its leaves are floating, in tree order.
    shapes, dtypes
        Of those.
    alone
        True for a bare array, which methods take as it is.
    lead
        How many leading axes all leaves share, which stay: 1 where the first runs over samples.
    """

    backend: Backend
    like: Tree
    device: str
    traced: bool
    places: tuple[int, ...]
    shapes: tuple[Shape, ...]
    dtypes: tuple[str, ...]
    alone: bool
    lead: int = 0

    @property
    def shape(self) -> Shape:
        """The shape of the one array that methods see."""
        if self.alone:
            return self.shapes[0]
        return (*self.shapes[0][: self.lead], sum(self._sizes))

    @property
    def dtype(self) -> str:
        """The dtype of that array: the widest at hand."""
        if len(set(self.dtypes)) == 1:
            return self.dtypes[0]
        wide = [name for name in self.dtypes if name in {"float64", "float32"}]
        return max(wide, default="float32")

    @property
    def _sizes(self) -> list[int]:
        return [math.prod(shape[self.lead :]) for shape in self.shapes]

    def flat(self, value: Tree) -> Native:
        """Return the floating arrays of ``value``, a tree like that of the function, as one."""
        if self.alone:
            return value
        leaves = tree.leaves(value)
        return self.joined([leaves[place] for place in self.places])

    def joined(self, arrays: Sequence[Native]) -> Native:
        """Return floating leaves as the one array that methods see."""
        if self.alone:
            return arrays[0]
        return side_by_side(self.backend.xp, arrays, self.lead)

    def of(self, function: Callable[..., Any], *, has_aux: bool = False) -> Callable[..., Any]:
        """Return ``function`` with its value as one array."""
        if self.alone:
            return function
        if has_aux:

            def with_aux(x: Any) -> Any:
                value, aux = function(x)
                return self.flat(value), aux

            return with_aux
        return lambda x: self.flat(function(x))

    def by_leaf(self, blocks: Sequence[Native]) -> list[list[Native]]:
        """Return for each floating leaf its rows of every block.

        ``blocks`` have the shape that methods see, followed by axes of their own.
        """
        if self.alone:
            return [list(blocks)]
        ends = np.cumsum([0, *self._sizes]).tolist()
        inner = (slice(None),) * self.lead
        return [
            [
                block[(*inner, slice(start, stop))].reshape(shape + tuple(block.shape)[after:])
                for block in blocks
            ]
            for (start, stop), shape in zip(itertools.pairwise(ends), self.shapes, strict=True)
            for after in [self.lead + 1]
        ]

    def tree_of(self, parts: Sequence[Any], others: Sequence[Any] | None = None) -> Tree:
        """Return the tree with ``parts`` for the floating leaves, and None for the others."""
        if self.alone:
            return parts[0]
        leaves = [None] * len(tree.leaves(self.like)) if others is None else list(others)
        for place, part in zip(self.places, parts, strict=True):
            leaves[place] = part
        return tree.unflatten(self.like, leaves)

    def value_of(self, flat: Native) -> Tree:
        """Return the value as the function returns it; what has no derivative as it was at x."""
        if self.alone:
            return flat
        parts = [rows[0] for rows in self.by_leaf([flat])]
        return self.tree_of(parts, tree.leaves(self.like))

    def vector(self, who: str, given: Tree) -> list[Any]:
        """Return the leaves of ``given``, a cotangent like the value, that have a counterpart."""
        names, known = tree.names(given), tree.names(self.like)  # '' of a bare array, as of None
        if names != known:
            told = ", ".join(f"v{name}" for name in names) or "nothing"
            raise JacbenchError(
                f"{who}: v holds {told}: give a tree like y, which holds "
                f"{', '.join(f'y{name}' for name in known)}"
            )
        leaves = tree.leaves(given)
        return [leaves[place] for place in self.places]


def side_by_side(xp: Namespace, arrays: Sequence[Native], lead: int = 0) -> Native:
    """Return arrays that share ``lead`` leading axes as one, each flattened behind those."""
    rows = [xp.reshape(leaf, (*leaf.shape[:lead], -1)) for leaf in arrays if _size(leaf)]
    return rows[0] if len(rows) == 1 else xp.concat(rows, axis=lead)


def of(who: str, backend: Backend, value: Tree, *, samples: bool = False) -> Outputs:
    """Return the structure of ``value``, or raise the line that says why it has no derivative.

    Parameters
    ----------
    who
        Whose function, for the message.
    backend
        Whose arrays it returns.
    samples
        True where the first axis of every array runs over samples.
    """
    if tree.is_leaf(value):
        checked(who, backend, value)
        return _of_arrays(backend, None, [value], (0,), alone=True, lead=0)
    leaves, names = tree.leaves(value), tree.names(value)
    for leaf, name in zip(leaves, names, strict=True):
        if backend.is_array(leaf) and _has_derivative(leaf):
            checked(who, backend, leaf, name)
    places = [
        i for i, leaf in enumerate(leaves) if backend.is_array(leaf) and dtype_of(leaf) in FLOATING
    ]
    if not places:
        held = ", ".join(f"y{name}" for name in names) or "nothing"
        raise JacbenchError(
            f"{who}: its function returned a {type(value).__name__} that holds {held}, of which "
            "none is an array of floats: return at least one"
        )
    arrays = [leaves[i] for i in places]
    if samples:
        _check_samples(who, [names[i] for i in places], [tuple(leaf.shape) for leaf in arrays])
    kept = [None if i in places else leaf for i, leaf in enumerate(leaves)]
    like = tree.unflatten(value, kept)
    return _of_arrays(backend, like, arrays, tuple(places), alone=False, lead=int(samples))


def _of_arrays(
    backend: Backend,
    like: Tree,
    arrays: Sequence[Native],
    places: tuple[int, ...],
    *,
    alone: bool,
    lead: int,
) -> Outputs:
    return Outputs(
        backend=backend,
        like=like,
        device=backend.device_of(arrays[0]),
        traced=any(map(backend.traced, arrays)),
        places=places,
        shapes=tuple(tuple(leaf.shape) for leaf in arrays),
        dtypes=tuple(dtype_of(leaf) for leaf in arrays),
        alone=alone,
        lead=lead,
    )


def _has_derivative(leaf: Native) -> bool:
    return dtype_of(leaf) in FLOATING or dtype_of(leaf).startswith("complex")


def _check_samples(who: str, names: Sequence[str], shapes: Sequence[Shape]) -> None:
    if len({shape[:1] for shape in shapes}) > 1 or not shapes[0]:
        told = ", ".join(
            f"y{name} of shape {shape}" for name, shape in zip(names, shapes, strict=True)
        )
        raise JacbenchError(
            f"{who}: its function returned {told}: the first axis of each must run over samples"
        )


def _size(leaf: Native) -> int:
    return math.prod(tuple(leaf.shape))
