"""A function around a point, by its values alone: its slopes, and what they say of claims.

Reference: J. Moré and S. Wild, Estimating computational noise, SIAM Journal on Scientific Computing
33 (2011), for noise.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from jacbench.checking.evidence import claims as said
from jacbench.checking.evidence import line_probes
from jacbench.checking.evidence.claims import FLOOR, GOOD, TELLS, Claim, Confirmation, Demands
from jacbench.checking.evidence.slopes import Line, Slopes, finer, hidden, side_by_side
from jacbench.core import nearby
from jacbench.core.arrays import Array
from jacbench.core.errors import JacbenchError
from jacbench.core.tree import Tree

Value: TypeAlias = Callable[[Tree], Array]
"""Gives y at a point; raises JacbenchError where the function has none."""

LADDER = (0, 2, 3, 1, -1, -2, 4, -3, 5, -4, 6, -5, -6)
"""Steps in the order in which they are tried, as powers of their ratio over the first: shorter
ones for what curves strongly, longer ones for what is nearly linear, or noisy."""
WINDOW = 3
"""Steps that are taken at the least, where the first does not confirm."""
FAR = (0, 7, 6, 5)
"""Those that come first where a claim says that an output does not move: what is still over short
steps, for its values are coarse, may move over long ones."""
LONGEST = 0.1
"""The longest step: a tenth of an entry."""
NOISY = 100
"""Machine epsilons above which the noise of values is not their rounding."""
NOISES = 3
"""Size of a value's noise in standard deviations of what was seen of it."""
SHIFT = 0.37
"""Of the first step in a second opinion: rounding is another one at other steps."""


class Differences:
    """A function around one point.

    Parameters
    ----------
    value
        The function.
    x
        The point.
    y
        The function's value there.
    dtype
        In which it is computed.
    kink_distance
        How far any one input may move before the function meets a kink; None: it is not known to.
        Where the function is linear between its kinks, the smooth piece is convex: several inputs
        may move by as much in all.
    noise
        How much neighbouring values scatter, relative to ‖y‖, where that is known; where it is no
        more than rounding, it is found out once it matters, by some 40 calls.
    good
        Share of a row's scale that differences must be good to, if they are to confirm.
    floor
        Share of it below which they deny nothing.
    go_on
        Asked before every step beyond a first few: False where time is over.
    """

    def __init__(
        self,
        value: Value,
        x: Tree,
        y: Array,
        *,
        dtype: str = "float64",
        kink_distance: float | None = None,
        noise: float = 0.0,
        good: float = GOOD,
        floor: float = FLOOR,
        go_on: Callable[[], bool] = lambda: True,
    ) -> None:
        self.x, self.dtype, self.kink_distance = x, dtype, kink_distance
        self._value, self._start = value, nearby.flat(x)
        self.y = np.asarray(y, dtype=np.float64).reshape(-1)
        self.eps = float(np.finfo(dtype).eps)
        self.go_on = go_on
        self.limit = limit(dtype, 0.0)
        self.demands = Demands(good, floor, min(self.limit, floor), max(self.limit, GOOD))
        self._noise = max(noise, self.eps)

    def at(self, direction: Array, t: float) -> Array:
        """Return y, flat, at x + t ``direction``."""
        y = self._value(nearby.like(self._start + t * direction, self.x))
        flat = np.asarray(y, dtype=np.float64).reshape(-1)
        if flat.shape != self.y.shape:
            raise JacbenchError(f"the function returned {flat.size} outputs, not {self.y.size}")
        return flat

    def step(self, direction: Array) -> float:
        """Return the step that is tried first: eps^(1/3), or less where a kink is near.

        Nocedal and Wright, Numerical Optimization (2nd ed., 2006), section 8.1.
        """
        h = math.cbrt(self.eps)
        return min(h, self.farthest(direction))

    def farthest(self, direction: Array) -> float:
        """Return the longest step."""
        return reach(direction, self.kink_distance)

    @functools.cached_property
    def noise(self) -> Array:
        """By how much each entry of the flat y may be off, (m,)."""
        found = self._noise * np.abs(self.y)
        if self._noise > NOISY * self.eps:  # it may all be in a few entries
            return np.asarray(found + self._noise * float(np.linalg.norm(self.y)))
        for seed in range(2):
            if not self.go_on():
                break
            along = directions(self.x, seed, 1)[:, 0]
            try:
                seen = line_probes.scatter(functools.partial(self.at, along), self.dtype)
            except JacbenchError:  # the edge of where y is finite
                continue
            found = np.maximum(found, NOISES * seen)
        return found

    def slopes(self, direction: Array, good: float = 1e-10) -> Slopes:
        """Return the slope along one direction, to a share ``good`` of its norm if that can be."""
        return self._slopes(self._line(direction, 1.0), good)

    def _slopes(self, line: Line, good: float) -> Slopes:
        for number, power in enumerate(LADDER):
            if number >= WINDOW and not self.go_on():
                break
            line.extend(power)
            found = line.slopes()
            whole = float(np.linalg.norm(found.value))
            if np.linalg.norm(found.error) <= good * whole:
                break
        return found

    def _line(self, direction: Array, shift: float) -> Line:
        return Line(
            functools.partial(self.at, direction),
            self.y,
            self.eps,
            lambda: self.noise,
            shift * self.step(direction),
            self.farthest(direction),
        )

    def measure(self, along: Array) -> tuple[Array, float]:
        """Return J T for the directions T, (m, K), and a bound on its normwise error.

        A second opinion, at other steps, that is as sure of something else takes that away.

        Raises
        ------
        JacbenchError
            The function's own, where it has no value near x.
        """
        ladders, failures = [], []
        for shift in (1.0, SHIFT):
            if shift == 1.0 or self.go_on():
                lines = [self._line(direction, shift) for direction in along.T]
                ladders.append(side_by_side([self._slopes(line, self.limit) for line in lines]))
                failures += [line.failure for line in lines if line.failure]
        one, other = ladders[0], ladders[-1]
        if not np.isfinite(one.value).all():
            raise next(iter(failures), JacbenchError("there is no room for differences at x"))
        size = float(np.linalg.norm(one.value)) or 1.0
        good_to = float(np.linalg.norm(one.error)) / size
        gap = float(np.linalg.norm(other.value - one.value)) / size
        sure = float(np.linalg.norm(other.error)) / size
        if sure <= TELLS and gap > good_to + sure:
            good_to = gap
        return one.value, good_to

    def confirm(self, along: Array, claims: Sequence[Claim]) -> list[Confirmation]:
        """Return what differences along the columns of ``along``, (n, K), say of each claim.

        Two calls for each direction where one step shows that all hold; more where it does not.
        What is denied is so by two whole ladders of steps: a slope that looks settled over steps
        longer than what the function does is another one over shorter ones.
        """
        told = self._confirmed(along, claims, 1.0)
        if not any(one.denied for one in told) or not self.go_on():
            return told
        again = self._confirmed(along, claims, SHIFT)
        return [
            other if one.denied and not other.denied else one
            for one, other in zip(told, again, strict=True)
        ]

    def _confirmed(self, along: Array, claims: Sequence[Claim], shift: float) -> list[Confirmation]:
        lines = [self._line(direction, shift) for direction in along.T]
        still = [claim.still(self.eps * np.abs(self.y)) for claim in claims]
        powers: tuple[int, ...] = LADDER
        least = WINDOW
        if any(rows.any() for rows in still):
            powers, least = (*FAR, *(power for power in LADDER if power not in FAR)), len(FAR)
        told = [Confirmation() for _ in claims]
        for number, power in enumerate(powers):
            if number >= least and not self.go_on():
                break
            for line in lines:
                line.extend(power)
            if number in (0, 2):
                plain = np.stack([line.plain() for line in lines], axis=1)
                told = [said.quick(plain, claim, self.demands) for claim in claims]
            if number >= least - 1 and not all(one.near for one in told):
                told = self._heard(lines, claims, still)
            if all(one.near for one in told):
                break
        return told

    def _heard(
        self, lines: Sequence[Line], claims: Sequence[Claim], still: Sequence[Array]
    ) -> list[Confirmation]:
        found = side_by_side([line.slopes() for line in lines])
        natural = np.stack([line.natural() for line in lines], axis=1)
        coarse, short = hidden(lines), finer(lines)
        return [
            said.confirmation(
                found,
                claim,
                self.demands,
                natural=natural,
                hidden=coarse,
                still=rows,
                finer=short,
            )
            for claim, rows in zip(claims, still, strict=True)
        ]


def directions(x: Tree, seed: int, count: int) -> Array:
    """Return random directions that move every input in proportion to itself, (n, count)."""
    own = nearby.units(x)[:, None]
    drawn = np.random.default_rng([seed, 0xD1F]).standard_normal((own.size, count))
    return np.asarray(own * drawn)


def reach(along: Array, kink_distance: float | None) -> float:
    """Return the longest step along ``along``, or its columns, that meets no kink.

    ``kink_distance`` is for one input at a time. Where the function is linear between its kinks,
    the smooth piece is convex: several may move by as much in all.
    """
    if kink_distance is None:
        return LONGEST
    farthest = float(np.abs(along).sum(axis=0).max())
    return min(LONGEST, 0.5 * kink_distance / (farthest or 1.0))


def limit(dtype: str, noise: float) -> float:
    """Return how near to plain central differences a right derivative is, mostly; normwise.

    A thousand times e^(2/3), the least sum of a truncation error h² and a rounding error e / h:
    the factor is for third derivatives. Nocedal and Wright, Numerical Optimization (2nd ed., 2006),
    section 8.1.
    """
    eps = float(np.finfo(dtype).eps)
    return min(0.1 * TELLS, 1000 * math.pow(max(eps, noise), 2 / 3))
