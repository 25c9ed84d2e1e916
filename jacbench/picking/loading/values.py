"""What a function returns as one array: an entry of it, the arrays of a tree side by side."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter, itemgetter
from typing import Any

from jacbench.backend import Backend
from jacbench.backend.adapted import is_field, selected
from jacbench.core import tree
from jacbench.core.errors import JacbenchError
from jacbench.derivatives import outputs
from jacbench.derivatives.outputs import Outputs
from jacbench.problems.checked_value import article


class OneArray:
    """A function with its value as one array, as methods take it.

    What the value consists of is settled by the first call that returns.

    Parameters
    ----------
    who
        Whose function, for messages.
    backend
        Whose arrays it returns first.
    output
        The key, index or field to take of what it returns; None: all of it.
    neutral
        True of a function that takes the namespace first.

    Attributes
    ----------
    outputs
        The structure of a tree; None where the value is one array, or as long as nobody knows.
    by_field
        True where ``output`` is a field of a dataclass and no key.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        who: str,
        backend: Backend,
        *,
        output: str | int | None = None,
        neutral: bool = False,
    ) -> None:
        self._function, self._who, self._backend = function, who, backend
        self._output, self._neutral = output, neutral
        self.outputs: Outputs | None = None
        self.by_field = False
        self._taking: Callable[[Any], Any] | None = None

    @property
    def needed(self) -> bool:
        """Whether the function itself returns something else."""
        return self.outputs is not None or self._output is not None

    def __call__(self, *given: Any) -> Any:
        """Return the one array."""
        value = self._function(*given)
        if self._output is not None:
            value = self._entry(value) if self._taking is None else self._taking(value)
        if tree.is_leaf(value):
            return value
        if self.outputs is None:
            self.outputs = outputs.of(self._who, self._backend, value)
        leaves = tree.leaves(value)
        if len(leaves) != len(tree.leaves(self.outputs.like)):
            raise JacbenchError(
                f"{self._who}: its function returned {len(leaves)} values here, and "
                f"{len(tree.leaves(self.outputs.like))} before: a Jacobian needs a fixed number"
            )
        xp = given[0] if self._neutral else self._backend.xp
        return outputs.side_by_side(xp, [leaves[place] for place in self.outputs.places])

    def _entry(self, value: Any) -> Any:
        """Return the entry asked for of the first value; of others it is taken by the same way."""
        entry = selected(value, self._output, self._who)
        self.by_field = is_field(value, self._output)
        where = self._output
        self._taking = attrgetter(str(where)) if self.by_field else itemgetter(where)
        return entry


def lines(found: Outputs) -> list[str]:
    """Return what the user should know of a tree that a function returns, a line each."""
    names, leaves = tree.names(found.like), tree.leaves(found.like)
    arrays = [
        f"y{names[place]} {shape}" for place, shape in zip(found.places, found.shapes, strict=True)
    ]
    told = [
        f"its value is {article(type(found.like).__name__)} of {_listed(arrays)}: J has their rows "
        "in this order, and the lines for dense give a Jacobian for each"
    ]
    constant = [
        f"y{name} ({_kind(leaf)})"
        for place, (name, leaf) in enumerate(zip(names, leaves, strict=True))
        if place not in found.places
    ]
    if constant:
        told.append(f"no derivative, so None in the Jacobian: {_listed(constant)}")
    dtypes = sorted(set(found.dtypes))
    if len(dtypes) > 1:
        told.append(f"y holds {' and '.join(dtypes)}: J is measured in {found.dtype}")
    return told


def _listed(parts: list[str], most: int = 4) -> str:
    more = [f"{len(parts) - most} more"] if len(parts) > most else []
    return ", ".join([*parts[:most], *more])


def _kind(leaf: Any) -> str:
    """Return why ``leaf`` has no derivative: a dtype, or what is no array of the library's."""
    dtype = str(getattr(leaf, "dtype", "")).rpartition(".")[2]
    if dtype and "float" not in dtype:
        return dtype
    return "None" if leaf is None else type(leaf).__name__


def is_plain(found: Outputs) -> bool:
    """Say whether a library's own transform takes the tree too: arrays of one dtype alone."""
    same = len(set(found.dtypes)) == 1 and len(found.places) == len(tree.leaves(found.like))
    return same and tree.is_plain(found.like) and all(0 not in shape for shape in found.shapes)
