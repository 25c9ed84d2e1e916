"""Slopes of a function along one line from its values alone, each with its own resolution.

Central differences at a ladder of steps are extrapolated to a step of 0. What a slope may be off by
is the error that is left of truncation, the rounding (and noise) of the values over the step, and
the kink that the values leave room for.

References: C. Ridders, Accurate computation of F'(x) and F'(x) F''(x), Advances in Engineering
Software 4 (1982), https://doi.org/10.1016/S0141-1195(82)80057-0, for the tableau.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from jacbench.core.arrays import Array
from jacbench.core.errors import JacbenchError

RATIO = 4
"""The longer of two steps over the shorter."""
ORDERS = 5
"""How often the tableau is extrapolated."""
CLEAR = 30
"""How many times what is left of truncation, by its estimate, a slope may be off."""
FLOAT32 = float(np.finfo(np.float32).eps)
"""What values may be rounded to inside of a function, whatever their own dtype is."""
ROUNDINGS = 4
"""How many times the noise of values over the step it may be off."""


@dataclass(frozen=True)
class Slopes:
    """Slopes along K directions.

    Attributes
    ----------
    value
        (m, K), float64; NaN where there are none.
    truncation
        What the extrapolation leaves, as two entries of the tableau tell it; inf where nothing is
        known.
    rounding
        The noise of the values, at least their rounding, over the step.
    kink
        By how much more they may be off if there is a kink at x: half the difference between the
        slopes on either side, as far as the values leave room for one.
    """

    value: Array
    truncation: Array
    rounding: Array
    kink: Array

    @property
    def seen_kink(self) -> Array:
        """The kink where there is one, beyond what noise makes of the two sides."""
        return np.where(self.kink > CLEAR * self.rounding, self.kink, 0.0)

    @property
    def error(self) -> Array:
        """What they may be off by."""
        return np.asarray(self.truncation + self.rounding + self.kink)

    @property
    def resolution(self) -> Array:
        """What is clearly beyond that."""
        clear = CLEAR * self.truncation + ROUNDINGS * self.rounding + 1.05 * self.kink
        return np.asarray(clear)


@dataclass
class Line:
    """Central differences along one direction, at the steps taken so far.

    Attributes
    ----------
    at
        Gives y, flat, at a distance; raises JacbenchError where there is none.
    y, eps
        Its value at 0, (m,), and the machine epsilon of what computes it.
    noise
        Gives by how much each entry of y may be off, (m,).
    first, farthest
        The step of power 0, and the longest that may be taken.
    found
        By power of the ratio: the step, the slope, and by how much both sides differ.
    failure
        What the function said where it had no value.
    """

    at: Callable[[float], Array]
    y: Array
    eps: float
    noise: Callable[[], Array]
    first: float
    farthest: float
    found: dict[int, tuple[float, Array, Array]] = field(default_factory=dict)
    failure: JacbenchError | None = None

    def extend(self, power: int) -> None:
        """Take one more step; what is too long, or leaves the domain, says nothing."""
        h = self.first * float(RATIO) ** power
        if power > 0 and h > self.farthest:
            return
        try:
            up, down = (self.at(t) for t in (h, -h))
        except JacbenchError as exc:
            self.failure = self.failure or exc
            return
        self.found[power] = (h, (up - down) / (2 * h), (up + down - 2 * self.y) / h)

    def plain(self) -> Array:
        """Return the slope over the first step; that of two longer ones, once they are taken.

        Those have less rounding, and are extrapolated; NaN where there is none.
        """
        if 0 not in self.found:
            return np.full(self.y.size, np.nan)
        if not {2, 3} <= self.found.keys():
            return self.found[0][1]
        near, far, square = self.found[2][1], self.found[3][1], RATIO**2
        return np.asarray((square * near - far) / (square - 1))

    def natural(self) -> Array:
        """Return what a slope would be at least that is not zero for good, (m,).

        What y moves by, or |y| where it does not: but no more than 1, as y may be an offset to what
        moves. Values that move by rounding do so as much over steps a sixteenth as long.
        """
        moved = self.moved()
        zero, size = np.zeros(self.y.size), np.abs(self.y)
        if not moved:
            return zero
        far = np.max(list(moved.values()), axis=0)
        short = [move for power, move in moved.items() if power <= max(moved) - 2]
        still = far <= np.max([zero, *short], axis=0) + self.eps * size
        return np.where(still, np.minimum(size, 1.0), far)

    def moved(self) -> dict[int, Array]:
        """Return by how much each output moves, by power of the ratio."""
        return {p: h * (np.abs(s) + np.abs(bend) / 2) for p, (h, s, bend) in self.found.items()}

    def flat(self) -> Array:
        """Return the longest step over which an output stands still to the bit, (m,).

        0 where it moves over most steps: those tell its slope.
        """
        longest, still = np.zeros(self.y.size), np.ones(self.y.size, bool)
        for power, move in sorted(self.moved().items()):
            still &= move == 0
            longest = np.where(still, self.found[power][0], longest)
        farthest = max((h for h, _, _ in self.found.values()), default=0.0)
        return np.where(longest >= farthest / RATIO**2, longest, 0.0)

    def rounding(self) -> Array:
        """Return by how much each output may be off for being rounded, (m,).

        What stands still to the bit over some steps and moves over others is rounded by what it
        moves by at the least, where that is no more than float32 explains: its noise may be missed,
        as values that stand still have none.
        """
        moves = np.array(list(self.moved().values())).reshape(-1, self.y.size)
        least = np.min(np.where(moves > 0, moves, np.inf), axis=0, initial=np.inf)
        coarse = (moves == 0).any(axis=0) & (least <= 2 * FLOAT32 * np.abs(self.y))
        return np.maximum(self.noise(), np.where(coarse, least, 0.0))

    def slopes(self) -> Slopes:
        """Return for each output the entry of the tableau that is known best."""
        m, off = self.y.size, self.rounding()
        best = np.full(m, np.nan), np.full(m, np.inf), np.full(m, np.inf)
        kink = np.full(m, np.inf)
        row: list[tuple[Array, Array]] = []
        before: tuple[int, float, Array, Array] | None = None
        for power in sorted(self.found, reverse=True):  # from the longest step to the shortest
            h, slope, bend = self.found[power]
            rounding = off / h
            chained = before is not None and before[0] == power + 1
            above, row = (row if chained else []), [(slope, rounding)]
            if chained and before is not None:
                best = _better(best, (slope, np.abs(slope - before[2]), rounding))
                # a kink stays as the step shrinks; what curves shrinks with it
                side = np.abs(RATIO * bend - before[3]) / (RATIO - 1)
                kink = np.minimum(kink, (side + 7 * rounding) / 2)
            for order in range(1, min(len(above), ORDERS) + 1):
                power_of = float(RATIO) ** (2 * order)
                (near, near_rounding), (far, far_rounding) = row[order - 1], above[order - 1]
                better = (power_of * near - far) / (power_of - 1)
                rounded = (power_of * near_rounding + far_rounding) / (power_of - 1)
                row.append((better, rounded))
                gap = np.maximum(np.abs(better - near), np.abs(better - far))
                best = _better(best, (better, gap, rounded))
            before = (power, h, slope, bend)
        return Slopes(*best, kink)


_Entry: TypeAlias = tuple[Array, Array, Array]
"""A slope, what is left of truncation in it, and its rounding."""


def _better(one: _Entry, other: _Entry) -> _Entry:
    """Return for each output the entry that is off by less."""
    take = other[1] + other[2] < one[1] + one[2]
    value, truncation, rounding = (np.where(take, b, a) for a, b in zip(one, other, strict=True))
    return value, truncation, rounding


def side_by_side(every: Sequence[Slopes]) -> Slopes:
    """Return the slopes along several directions, a column each."""
    names = ("value", "truncation", "rounding", "kink")
    return Slopes(*(np.stack([getattr(one, name) for one in every], axis=1) for name in names))


def hidden(lines: Sequence[Line]) -> Array:
    """Return how large a slope may hide where values stand still to the bit, (m, K).

    They may be rounded more coarsely than their dtype says, to float32: by the least that they are
    seen to move anywhere.
    """
    moves = np.array([move for line in lines for move in line.moved().values()])
    y = lines[0].y
    moves = moves.reshape(-1, y.size)
    least = np.min(np.where(moves > 0, moves, np.inf), axis=0, initial=np.inf)
    step = np.minimum(least, FLOAT32 * np.abs(y))
    flat = np.stack([line.flat() for line in lines], axis=1)
    return np.where(flat > 0, step[:, None] / np.where(flat > 0, flat, 1.0), 0.0)


def finer(lines: Sequence[Line]) -> list[tuple[Array, Array]]:
    """Return slopes over each step shorter than the first, and their rounding; both (m, K)."""
    powers = set.intersection(*({p for p in line.found if p < 0} for line in lines))
    off = [line.rounding() for line in lines]
    return [
        (
            np.stack([line.found[p][1] for line in lines], axis=1),
            np.stack([o / line.found[p][0] for o, line in zip(off, lines, strict=True)], axis=1),
        )
        for p in powers
    ]
