"""Lines of Python to paste: what every library's recipes are written from.

Each recipe is plain code of its library, written out by hand beside the method that it stands for,
and assigns the Jacobian to ``J``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from jacbench.backend.user_code import Spelling

ONCE = "# outside of any loop: the first call traces and compiles"
BLOCKS = "# blocks, one for each sample, is all of J that is not zero"

_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_OWN_NAMES = frozenset(
    {
        *(
            "J",
            "autograd",
            "b",
            "basis",
            "block",
            "blocks",
            "chunk",
            "columns",
            "jacbench",
            "jacobian",
        ),
        *(
            "jax",
            "jnp",
            "leaf",
            "numpy",
            "one",
            "one_hot",
            "pull",
            "push",
            "rows",
            "sample",
            "samples",
        ),
        *("t", "tangents", "torch", "y"),
    }
)
"""What recipes assign: a user's f or x of such a name is called otherwise in what is pasted."""


@dataclass(frozen=True)
class Paste:
    """What a recipe is written from.

    Attributes
    ----------
    f, x
        Names, dotted or not, of the function and the point.
    chunk_size
        Rows, columns or samples at a time; None: all at once.
    in_axes
        The axes over samples of x and of what f holds beside it; empty where that is not known.
    way
        Which way a method chose as it was prepared, where it has several.
    tree
        True where x is a dict, list or tuple of arrays.
    returns_tree
        True where f returns a dict, list or tuple of arrays of one dtype.
    zero
        True where the Jacobian is 0 at x: y may not depend on x at all, nor have a graph then.
    """

    f: str
    x: str
    chunk_size: int | None = None
    in_axes: tuple[int | None, ...] = ()
    way: str = ""
    tree: bool = False
    zero: bool = False
    returns_tree: bool = False

    @property
    def axis(self) -> int:
        """The axis of x that runs over samples, the first where nothing is said."""
        return (self.in_axes[0] if self.in_axes else 0) or 0

    @property
    def after_rows(self) -> int:
        """The same axis once rows were stacked in front of it."""
        return self.axis + 1 if self.axis >= 0 else self.axis

    @property
    def after_y(self) -> str:
        """The same axis of an array that begins with the axes of ``y``, as the lines write it."""
        return f"y.ndim + {self.axis}" if self.axis >= 0 else str(self.axis)

    @property
    def alone(self) -> bool:
        """Whether f takes a batch of one: nothing that it holds runs over samples too."""
        return all(axis is None for axis in self.in_axes[1:])

    @property
    def chunked(self) -> str:
        """The chunk size as one more argument, or nothing."""
        return "" if self.chunk_size is None else f", chunk_size={self.chunk_size}"


Recipe: TypeAlias = Callable[[Paste], list[str] | None]
"""Gives the lines without their imports, or None where it has no plain form for this f or x."""


def to_array(lines: Recipe) -> Recipe:
    """Return the recipe, but for an f that returns a tree, which would have to be put together."""
    return lambda p: None if p.returns_tree else lines(p)


def of_array(lines: Recipe) -> Recipe:
    """Return the recipe, but for a tree x or a tree y: leaves would be taken apart and put back."""
    return to_array(lambda p: None if p.tree else lines(p))


def written(
    recipe: Recipe,
    imports: Mapping[str, str],
    spelling: Spelling,
    chunk_size: int | None,
    facts: Mapping[str, Any],
) -> list[str] | None:
    """Return the lines of ``recipe`` for what ``spelling`` names, with the imports they need.

    ``imports`` has for each name that recipes use the line that imports it; ``facts`` is what
    :meth:`jacbench.backend.Backend.recipe` says.
    """
    opening, f, x = _named(spelling)
    paste = Paste(
        f,
        x,
        chunk_size,
        tuple(facts.get("in_axes") or ()),
        str(facts.get("way") or ""),
        bool(facts.get("tree", False)),
        bool(facts.get("zero", False)),
        bool(facts.get("returns_tree", False)),
    )
    lines = recipe(paste)
    if lines is None:
        return None
    text = "\n".join(lines)
    needed = [line for name, line in imports.items() if re.search(rf"\b{name}\.", text)]
    fresh = [line for line in needed if line not in spelling.setup]
    return [*fresh, *([""] if fresh else []), *opening, *lines]


def through_jacbench(
    method: str,
    operator: str,
    spelling: Spelling,
    chunk_size: int | None,
    facts: Mapping[str, Any],
) -> list[str]:
    """Return the lines that ask jacbench for the same: for what has no plain form."""
    arguments = [spelling.f, spelling.x, f'"{method}"']
    if operator == "batch_jacobian":
        arguments.append(f"in_axis={(facts.get('in_axes') or (0,))[0]}")
    if facts.get("pattern"):
        arguments.append(f"pattern={facts['pattern']}")
    if chunk_size is not None:
        arguments.append(f"chunk_size={chunk_size}")
    line = "import jacbench"
    opening = [] if line in spelling.setup else [line, ""]
    return [
        *opening,
        "# once, outside of any loop: whatever can be done beforehand is done here",
        f"jacobian = jacbench.prepare({', '.join(arguments)})",
        f"J = jacobian({spelling.x})",
    ]


def _named(spelling: Spelling) -> tuple[list[str], str, str]:
    """Return lines that give f and x names where they have none of their own, and the names.

    An expression would be written several times, and computed as often.
    """
    f, x = spelling.f, spelling.x
    if not _usable(f) or f.partition(".")[0] == "x":  # recipes define functions of x
        f = _fresh("f", spelling.x)
    if not _usable(x) or x == f:
        x = _fresh("x", f)
    changed = [(name, of) for name, of in ((f, spelling.f), (x, spelling.x)) if name != of]
    if not changed:
        return [], f, x
    left, right = (", ".join(side) for side in zip(*changed, strict=True))
    return [f"{left} = {right}"], f, x


def _usable(expression: str) -> bool:
    root = expression.partition(".")[0]
    return _DOTTED.fullmatch(expression) is not None and root not in _OWN_NAMES


def _fresh(name: str, taken: str) -> str:
    while name == taken:
        name += "_"
    return name


def indented(lines: Sequence[str]) -> list[str]:
    """Return the lines as the body of what stands above them."""
    return [f"    {line}" if line else line for line in lines]
