"""What a library's two modes give for a few random vectors, and whether they agree."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from jacbench.checking.evidence import differences
from jacbench.checking.evidence.modes import Witnesses
from jacbench.checking.matrix_error import unit_of
from jacbench.core.arrays import Array
from jacbench.core.tree import Tree

DIRECTIONS = 3
"""Random vectors on either side, where time allows as many."""
ROUNDING = 64
"""Machine epsilons of y that the rounding of a derivative of zeros is, at the most."""


@dataclass(frozen=True, kw_only=True)
class Products:
    """Products with the Jacobian at each of some points.

    Attributes
    ----------
    forward, reverse
        The methods that gave them; empty where none could.
    tangents
        V, standard normal, (n, K), for K vectors a side.
    cotangents
        U, standard normal, (K, m).
    along
        At each point a W that moves every input in proportion to itself, (n, K).
    pushed, pushed_along
        J V and J W at each point, (m, K); nothing without a forward mode.
    pulled
        U J at each point, (K, n); nothing without a reverse mode.
    rounded
        True where they were but the rounding of zeros, and are zeros now.
    """

    forward: str
    reverse: str
    tangents: Array
    cotangents: Array
    along: Sequence[Array]
    pushed: Sequence[Array]
    pushed_along: Sequence[Array]
    pulled: Sequence[Array]
    rounded: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The methods that answered."""
        return tuple(name for name in (self.forward, self.reverse) if name)

    @property
    def count(self) -> int:
        """K, the number of vectors on either side."""
        return len(self.cotangents)

    @property
    def agreement(self) -> float | None:
        """How far (U J) V is from U (J V), over its size for typical vectors; None without both.

        Both are K x K numbers, each a sum over all of J: a wrong entry in either shows.
        """
        if not (self.forward and self.reverse):
            return None
        errors = []
        for JV, UJ in zip(self.pushed, self.pulled, strict=True):
            unit = unit_of(JV, UJ)
            size = max(float(np.linalg.norm(unit * JV)), float(np.linalg.norm(unit * UJ)))
            gap = float(np.linalg.norm(self.cotangents @ (unit * JV) - (unit * UJ) @ self.tangents))
            errors.append(gap / (size * math.sqrt(self.count) or 1.0))
        return max(errors)

    def are_rounding(self, at: int, y: Array, units: Array, eps: float) -> bool:
        """Say whether those at a point are no more than the rounding of y makes of a zero.

        ``units`` are the sizes of the inputs, (n,): what moves one by its own size may move y by a
        few ``eps`` of itself.
        """
        most = ROUNDING * eps * float(np.max(np.abs(y), initial=0.0))
        seen = [self.pushed_along[at]] if self.forward else []
        seen += [self.pulled[at] * units / math.sqrt(y.size)] if self.reverse else []
        return all(bool(np.all(np.abs(one) <= most)) for one in seen)

    def zeros(self) -> Products:
        """Return the same of a Jacobian that is zero."""
        return replace(
            self,
            pushed=[0 * one for one in self.pushed],
            pushed_along=[0 * one for one in self.pushed_along],
            pulled=[0 * one for one in self.pulled],
            rounded=True,
        )


def multiply(
    witnesses: Witnesses,
    points: Sequence[Tree],
    n: int,
    m: int,
    seed: int,
    *,
    count: int = DIRECTIONS,
    forward_too: Callable[[], bool] = lambda: True,
) -> Products:
    """Ask the library for products at each of ``points``.

    Parameters
    ----------
    count
        K.
    forward_too
        Asked once the reverse mode has answered: False leaves the forward mode out. Where the
        reverse mode cannot, forward mode is asked in any case.
    """
    rng = np.random.default_rng([seed, 0x7247])
    tangents = rng.standard_normal((n, count))
    cotangents = rng.standard_normal((count, m))
    along = [differences.directions(x, seed, count) for x in points]
    both = [np.concatenate([tangents, moves], axis=1) for moves in along]
    reverse, pulled = witnesses.reverse(points, cotangents)
    forward, found = "", list[Array]()
    if not reverse or forward_too():
        forward, found = witnesses.forward(points, both)
    return Products(
        forward=forward,
        reverse=reverse,
        tangents=tangents,
        cotangents=cotangents,
        along=along,
        pushed=[product[:, :count] for product in found],
        pushed_along=[product[:, count:] for product in found],
        pulled=pulled,
    )
