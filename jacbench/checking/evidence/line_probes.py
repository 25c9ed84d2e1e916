"""A function along one line: how much it scatters, and whether it is smooth where the line starts.

Everything here is relative to a step: what shrinks with the step is curvature, what stays is a
kink, what grows is a jump or noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from jacbench.core.arrays import Array
from jacbench.core.errors import JacbenchError

Line: TypeAlias = Callable[[float], Array]
"""``line(t)`` gives f(x + t v) as a flat float64 vector; it raises JacbenchError where f fails."""

Kind: TypeAlias = Literal["smooth", "kink", "jump", "edge"]

RATIO = 16
"""The longer step over the shorter: a kink's one-sided slopes differ by as much at both."""
POINTS = 7
"""Values in a row from which noise is told."""
APART = 64
"""How much further apart values are taken once more: noise stays, a root grows eightfold."""
FAR = 2e-3
"""How far apart values are taken of an output that stands still to the bit nearer by."""
STILL = 30
"""Scatters of y within which it is said to stand still."""
WORTH = 1e-4
"""Share of the slope below which two sides are not said to differ."""


@dataclass(frozen=True)
class Sides:
    """The slopes on either side of a point, along one direction.

    Attributes
    ----------
    kind
        ``smooth``; ``kink``: they differ, however short the step; ``jump``: the value differs,
        however short the step; ``edge``: f has no finite value on one side.
    size
        ‖slope‖ over the shorter step, the larger of both sides; 0 at an edge.
    still
        True where y did not move beyond its own scatter, at either step on either side.
    index
        The entry of the flat y where the sides differ most.
    up, down
        Its slopes on the far and on the near side, over the shorter step.
    """

    kind: Kind
    size: float = 0.0
    still: bool = False
    index: int = 0
    up: float = 0.0
    down: float = 0.0


def steps(dtype: str) -> tuple[float, float]:
    """Return the longer and the shorter step, in units of the input: eps^(1/3) and a 16th of it.

    Nocedal and Wright, Numerical Optimization (2nd ed., 2006), section 8.1, for the first.
    """
    longer = math.cbrt(float(np.finfo(dtype).eps))
    return longer, longer / RATIO


def sides(line: Line, y: Array, dtype: str, scatter: float) -> Sides:
    """Return what the slopes on either side of t = 0 say.

    Parameters
    ----------
    line
        The function along a direction.
    y
        Its value at t = 0, flat.
    dtype
        In which it is computed.
    scatter
        Its noise relative to ‖y‖, at least the machine epsilon.
    """
    longer, shorter = steps(dtype)
    try:
        ends = {t: line(t) for h in (longer, shorter) for t in (h, -h)}
    except JacbenchError:
        return Sides("edge")
    gaps, slopes = [], []
    for h in (longer, shorter):
        up, down = (ends[h] - y) / h, (y - ends[-h]) / h
        gaps.append(float(np.linalg.norm(up - down)))
        slopes.append((up, down))
    up, down = slopes[1]
    size = max(float(np.linalg.norm(up)), float(np.linalg.norm(down)))
    floor = STILL * scatter * float(np.linalg.norm(y))
    still = max(float(np.linalg.norm(end - y)) for end in ends.values()) <= floor
    index = int(np.argmax(np.abs(up - down)))
    told = (size, still, index, float(up[index]), float(down[index]))
    if gaps[1] <= max(floor / shorter, WORTH * size) or gaps[1] < 0.35 * gaps[0]:
        return Sides("smooth", *told)
    return Sides("jump" if gaps[1] > 4 * gaps[0] else "kink", *told)


def noise(line: Line, dtype: str) -> float:
    """Return by how much values in a row scatter about a smooth curve, relative to ‖y‖.

    From a table of differences: those of order k of a smooth function vanish like h^k, those of
    noise of size e have the size e √((2k)!) / k!. All values lie on one side of t = 0, so that a
    kink there is none of them. What depends on the distance of the values is no noise, but a root
    or a kink near by.

    Reference: J. Moré and S. Wild, Estimating computational noise, SIAM Journal on Scientific
    Computing 33 (2011), section 2, https://doi.org/10.1137/100786125
    """
    near = steps(dtype)[1] / 4
    found = _scatter(line, near)
    if found <= float(np.finfo(dtype).eps) ** (2 / 3):
        return found
    again = _scatter(line, APART * near)
    return found if found / 30 < again < 6 * found else 0.0


def scatter(line: Line, dtype: str) -> Array:
    """Return by how much each output scatters about a smooth curve, as :func:`noise` tells it.

    Of shape (m,), in the units of y. An output that stands still to the bit is looked at over
    longer steps: what is rounded coarsely inside, to half precision say, has steps and plateaus.
    """
    near = steps(dtype)[1] / 4
    table = _in_a_row(line, near)
    found = _levels(table)
    again = _in_a_row(line, APART * near)
    # what depends on the distance of the values is curvature
    levels = np.where(_levels(again) < 30 * found, found, 0.0)
    still, wider = np.all(table == table[0], axis=0), again
    for h in (APART * near, FAR):
        if not still.any():
            break
        wider = again if h != FAR else _in_a_row(line, FAR)
        levels = np.where(still, _levels(wider), levels)
        still &= np.all(wider == wider[0], axis=0)
    return np.asarray(levels)


def _in_a_row(line: Line, h: float) -> Array:
    return np.stack([line(k * h) for k in range(1, POINTS + 1)])


def _levels(table: Array) -> Array:
    """Return for each output the median over the orders of a table of differences."""
    return np.asarray(np.sqrt(np.median(_squares(table), axis=0)))


def _scatter(line: Line, h: float) -> float:
    """Return the same of all outputs together, relative to ‖y‖."""
    table = _in_a_row(line, h)
    size = float(np.linalg.norm(table[0]))
    return float(np.median(np.sqrt(_squares(table).sum(axis=1)))) / size if size else 0.0


def _squares(table: Array) -> Array:
    """Return the square of the noise of each output, (orders, m), as orders from the third tell it.

    The values lie in rows, one below the other.
    """
    squares = []
    for order in range(1, POINTS):
        table = np.diff(table, axis=0)
        gamma = math.factorial(order) ** 2 / math.factorial(2 * order)
        squares.append(gamma * np.mean(table**2, axis=0))
    return np.asarray(squares[2:])
