"""One place where a function loses what a library follows from x to y."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

MOST = 2
"""How many places are told: the first are those that matter."""


@dataclass(frozen=True)
class GraphCut:
    """A place where x is taken out of differentiation on its way to y.

    Attributes
    ----------
    what
        How it is written: ``.detach()``.
    where
        ``file.py:12``; empty where no line of the user's is known.
    meant
        True for what says that nothing is to be differentiated (``detach``, ``.data``, ``no_grad``,
        ``inference_mode``, ``stop_gradient``); False for a conversion that loses the graph.
    """

    what: str
    where: str = ""
    meant: bool = True

    def __str__(self) -> str:
        """Return what cuts and where."""
        return f"{self.what} at {self.where}" if self.where else self.what


def told(cuts: Iterable[GraphCut]) -> str:
    """Return the first places, in words; empty for none."""
    return " and ".join(str(cut) for cut in [*cuts][:MOST])
