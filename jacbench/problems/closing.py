"""Constants that code uses as Python values: masks, indices and sizes, which must not be traced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from jacbench.backend import Backend
from jacbench.core import tree
from jacbench.core.function_types import NativeFunction
from jacbench.core.tree import Tree

Held: TypeAlias = Sequence[Sequence[Any]]
"""For each constant its leaves in tree order: NumPy's, or None for one taken as it comes."""


def fixed(constants: Sequence[Tree], in_axes: Sequence[int | None] | None) -> Held:
    """Return those that are not floating and do not run over samples; empty where none is."""
    axes = [None] * len(constants) if in_axes is None else in_axes[1:]
    found = [
        [_own(leaf) if axis is None else None for leaf in tree.leaves(constant)]
        for axis, constant in zip(axes, constants, strict=True)
    ]
    return found if any(leaf is not None for leaves in found for leaf in leaves) else ()


def _own(leaf: Any) -> Any:
    """Return a constant that is not floating, a number where it is one; None for a floating one."""
    return None if leaf.dtype.kind == "f" else leaf[()]


def needed(
    backend: Backend, function: NativeFunction, arguments: tuple[Tree, ...], own: Held
) -> bool:
    """Say whether the library traces ``function`` only with ``own`` held in it."""
    closed = ClosedOver(function, own)
    return not backend.traces(function, arguments) and backend.traces(closed, arguments)


@dataclass(frozen=True, eq=False)  # what it holds need not be hashable
class ClosedOver:
    """``f(x, *constants)`` that has some of the constants by itself.

    Attributes
    ----------
    function
        The function of all of them.
    held
        Those that take the place of what is given.
    """

    function: NativeFunction
    held: Held

    def __call__(self, x: Any, *constants: Any, **tap: Any) -> Any:
        """Call the function with what is held in its place."""
        own = [_filled(*pair) for pair in zip(constants, self.held, strict=True)]
        return self.function(x, *own, **tap)


def _filled(constant: Tree, own: Sequence[Any]) -> Tree:
    pairs = zip(own, tree.leaves(constant), strict=True)
    return tree.unflatten(constant, [came if held is None else held for held, came in pairs])
