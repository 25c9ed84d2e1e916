"""Trees of arrays: dict, list, tuple and what a library or a dataclass adds, in one fixed order.

The order is that of ``jax.tree`` and of ``autograd.misc.flatten``: sequences as they stand, dicts
by sorted key. Other containers are taken apart as the library does in which they are registered
(``jax.tree_util``, ``torch.utils._pytree``: Equinox modules, NNX states, dataclasses), and a
dataclass of nobody's by its fields. Anything else is a leaf; so are arrays, and None.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import sys
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

Tree: TypeAlias = Any
"""An array, or a container of trees. The leaves are arrays of one library."""

_PLAIN = (dict, list, tuple)
_ARRAYS = frozenset({"numpy", "torch", "jax", "jaxlib", "autograd", "builtins"})
"""Packages whose objects are leaves: arrays, numbers, strings, functions."""


@dataclass(frozen=True)
class _Opened:
    """A container taken apart by one level.

    Attributes
    ----------
    paths
        How Python reaches each child from the container: ``['w']``, ``[0]``, ``.weight``.
    children
        In tree order.
    rebuild
        Makes a container of the same kind of as many others.
    static
        What it holds beside its children, as far as the library says.
    """

    paths: Sequence[str]
    children: Sequence[Any]
    rebuild: Callable[[list[Any]], Any]
    static: Any = None


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
    steps = path.replace("].", "][").replace("[", ".").replace("]", "")
    return ".".join(part.strip("'\"") for part in steps.strip(".").split("."))


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
    return not isinstance(tree, _PLAIN) and _opened(tree) is None


def is_plain(tree: Tree) -> bool:
    """Say whether ``tree`` is of dicts, lists and tuples alone, which every library takes as is."""
    if type(tree) is dict:
        return all(map(is_plain, tree.values()))
    if type(tree) in {list, tuple}:
        return all(map(is_plain, tree))
    return is_leaf(tree)


def map_leaves(function: Callable[[Any], Any], tree: Tree) -> Tree:
    """Return ``tree`` with ``function`` applied to each leaf; containers keep their types."""
    return unflatten(tree, [function(leaf) for leaf in leaves(tree)])


def unflatten(like: Tree, new: Sequence[Any]) -> Tree:
    """Return a tree of the structure of ``like`` with the leaves ``new``, given in tree order."""
    return _rebuild(like, iter(new))


def alike(tree: Tree, other: Tree) -> bool:
    """Say whether two trees of the same leaves hold the same beside them: static fields."""
    one, two = _opened(tree), _opened(other)
    if one is None or two is None:
        return True
    if type(tree) is type(other) and not _equal(one.static, two.static):
        return False
    return all(map(alike, one.children, two.children))


def _equal(one: Any, other: Any) -> bool:
    """Say whether two structures are equal; those that cannot be compared are not."""
    try:
        return one is other or bool(one == other)
    except Exception:  # noqa: BLE001 - a static array has no truth value
        return False


def _walk(tree: Tree, path: str) -> Iterator[tuple[str, Any]]:
    kind = type(tree)
    if kind is dict:
        for key in sorted(tree):
            yield from _walk(tree[key], f"{path}[{key!r}]")
        return
    if kind is list or kind is tuple:
        for index, child in enumerate(tree):
            yield from _walk(child, f"{path}[{index}]")
        return
    opened = _opened(tree)
    if opened is None:
        yield path, tree
        return
    for step, child in zip(opened.paths, opened.children, strict=True):
        yield from _walk(child, f"{path}{step}")


def _rebuild(like: Tree, new: Iterator[Any]) -> Tree:
    kind = type(like)
    if kind is dict:
        built = {key: _rebuild(like[key], new) for key in sorted(like)}
        return {key: built[key] for key in like}
    if kind is list or kind is tuple:
        return kind(_rebuild(child, new) for child in like)
    opened = _opened(like)
    if opened is None:
        return next(new)
    return opened.rebuild([_rebuild(child, new) for child in opened.children])


def _opened(node: Any) -> _Opened | None:
    """Take a container apart by one level; None for a leaf."""
    kind = type(node)
    if kind.__module__.partition(".")[0] in _ARRAYS and not isinstance(node, _PLAIN):
        return None
    if node is None or isinstance(node, type):
        return None
    if isinstance(node, (OrderedDict, defaultdict)):
        return _of_mapping(node)
    if isinstance(node, tuple) and hasattr(node, "_fields"):
        return _Opened([f"[{i}]" for i in range(len(node))], node, lambda new: kind(*new))
    found = _in_jax(node) or _in_torch(node)
    if found is not None:
        return found
    if isinstance(node, dict):
        return _of_mapping(node)
    if isinstance(node, (list, tuple)):
        return _Opened([f"[{i}]" for i in range(len(node))], node, kind)
    return _of_dataclass(node)


def _of_mapping(node: dict[Any, Any]) -> _Opened:
    keys = sorted(node)

    def rebuild(new: list[Any]) -> Any:
        made = copy.copy(node)
        made.update(zip(keys, new, strict=True))
        return made

    return _Opened([f"[{key!r}]" for key in keys], [node[key] for key in keys], rebuild)


def _in_jax(node: Any) -> _Opened | None:
    """Take apart what is registered with JAX, which is imported where anything is."""
    util: Any = sys.modules.get("jax.tree_util")
    if util is None or util.all_leaves([node]):
        return None
    found, structure = util.tree_flatten_with_path(node, is_leaf=lambda child: child is not node)
    return _Opened(
        [util.keystr(path) for path, _ in found],
        [child for _, child in found],
        lambda new: util.tree_unflatten(structure, new),
        structure,
    )


def _in_torch(node: Any) -> _Opened | None:
    """Take apart what is registered with torch, likewise."""
    util: Any = sys.modules.get("torch.utils._pytree")
    if util is None or type(node) not in util.SUPPORTED_NODES:
        return None
    children, structure = util.tree_flatten(node, is_leaf=lambda child: child is not node)
    steps = [f"[{i}]" for i in range(len(children))]  # names of its own are optional there
    return _Opened(steps, children, lambda new: util.tree_unflatten(new, structure), structure)


def _of_dataclass(node: Any) -> _Opened | None:
    """Take a dataclass apart by its fields; its ``__init__`` is not called again."""
    if not dataclasses.is_dataclass(node):
        return None
    fields = [f.name for f in dataclasses.fields(node)]

    def rebuild(new: list[Any]) -> Any:
        made = copy.copy(node)
        for name, child in zip(fields, new, strict=True):
            object.__setattr__(made, name, child)
        return made

    return _Opened([f".{name}" for name in fields], [getattr(node, f) for f in fields], rebuild)
