"""Trees of arrays: dict, list and tuple, in one order for every backend.

The order is that of ``jax.tree`` and of ``autograd.misc.flatten``: sequences as they stand, dicts
by sorted key. Anything that is not a dict, list or tuple is a leaf.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

Tree: TypeAlias = Any
"""An array, or a dict, list or tuple of trees. The leaves are arrays of one library."""


def leaves(tree: Tree) -> list[Any]:
    """Return the leaves of ``tree`` in tree order."""
    return [leaf for _, leaf in _walk(tree, "")]


def names(tree: Tree) -> list[str]:
    """Return where each leaf stands, in tree order: ``[0]['w']``; ``''`` for a bare array."""
    return [path for path, _ in _walk(tree, "")]


def paths(tree: Tree) -> list[str]:
    """Return where each leaf stands as keys and indices joined by dots: ``0.w``; ``''`` bare."""
    return [_dotted(path) for path, _ in _walk(tree, "")]


def _dotted(path: str) -> str:
    return ".".join(part.strip("'\"") for part in path[1:-1].split("]["))


def columns(tree: Tree) -> dict[str, slice]:
    """Return which columns of an (m, n) Jacobian belong to each leaf, by the leaf's name.

    The leaves are NumPy arrays or arrays with a ``shape``; ``''`` names a bare array.
    """
    blocks, start = {}, 0
    for name, leaf in _walk(tree, ""):
        stop = start + math.prod(leaf.shape)
        blocks[name] = slice(start, stop)
        start = stop
    return blocks


def first(tree: Tree) -> Any:
    """Return the first leaf of ``tree``, without walking the rest."""
    return next(_walk(tree, ""))[1]


def is_leaf(tree: Tree) -> bool:
    """Say whether ``tree`` is an array of its own and no container."""
    return not isinstance(tree, (dict, list, tuple))


def _walk(tree: Tree, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(tree, dict):
        for key in sorted(tree):
            yield from _walk(tree[key], f"{path}[{key!r}]")
    elif isinstance(tree, (list, tuple)):
        for index, child in enumerate(tree):
            yield from _walk(child, f"{path}[{index}]")
    else:
        yield path, tree


def map_leaves(function: Callable[[Any], Any], tree: Tree) -> Tree:
    """Return ``tree`` with ``function`` applied to each leaf; containers keep their types."""
    return unflatten(tree, [function(leaf) for leaf in leaves(tree)])


def unflatten(like: Tree, new: Sequence[Any]) -> Tree:
    """Return a tree of the structure of ``like`` with the leaves ``new``, given in tree order."""
    return _rebuild(like, iter(new))


def _rebuild(like: Tree, new: Iterator[Any]) -> Tree:
    if isinstance(like, dict):
        built = {key: _rebuild(like[key], new) for key in sorted(like)}
        return {key: built[key] for key in like}
    if isinstance(like, (list, tuple)):
        children = [_rebuild(child, new) for child in like]
        if hasattr(like, "_fields"):
            return type(like)(*children)
        return type(like)(children)
    return next(new)
