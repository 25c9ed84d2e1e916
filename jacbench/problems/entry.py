"""What the catalogue knows of a problem without computing or importing it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A problem as ``jacbench list`` shows it.

    Attributes
    ----------
    name
        ``family/short-name``; with sizes of its own, ``family/short-name[batch=64]``.
    m, n
        The numbers of outputs and of inputs: the Jacobian is m x n. Those of the default sizes.
    summary
        One line.
    source
        Where the problem comes from: a paper, a book, a link, or that it was made up for this.
    build
        ``module:function``; the function takes this entry and returns the problem.
    parameters
        Sizes that can be asked for in brackets after the name, with their defaults; whole numbers
        of at least 1.
    batch
        True where the problem has samples, and so a ``batch_jacobian``.
    intermediate
        True where x is a shift of an intermediate value.
    """

    name: str
    m: int
    n: int
    summary: str
    source: str
    build: str
    parameters: Mapping[str, int] = field(default_factory=dict)
    batch: bool = False
    intermediate: bool = False
