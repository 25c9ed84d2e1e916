"""A wrong Jacobian that a library is known to give, and the verdict of its own that this is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from jacbench.core.arrays import Array


@dataclass(frozen=True, kw_only=True)
class KnownFault:
    """What a library answers instead of the right Jacobian, where its developers know of it.

    A method that gives just this is told apart from one that is wrong in a way nobody knows: its
    verdict is ``known fault``, it is never timed, and once the library is repaired it agrees.

    Attributes
    ----------
    methods
        Shell patterns over the names of methods.
    jacobian
        ``jacobian(x, *constants)``: the wrong (m, n) matrix, in NumPy.
    reason
        What goes wrong, in one line.
    link
        Where it, or what causes it, is reported.
    """

    methods: tuple[str, ...]
    jacobian: Callable[..., Array]
    reason: str
    link: str

    def concerns(self, method: str) -> bool:
        """Say whether ``method`` is known to have this fault."""
        return any(fnmatchcase(method, pattern) for pattern in self.methods)

    def told(self) -> str:
        """Return reason and link in one line."""
        return f"{self.reason}: see {self.link}"
