"""Slopes of a function from its values alone, and what they say of a Jacobian that is claimed.

Central differences at a ladder of steps are extrapolated to a step of 0, and each slope carries its
own resolution: the error that is left of truncation, the rounding (and noise) of the values over
the step, and the kink that the values leave room for. A claim is denied only where it lies clearly
beyond that, and confirmed only where that is small; else differences cannot tell.

References: C. Ridders, Accurate computation of F'(x) and F'(x) F''(x), Advances in Engineering
Software 4 (1982), https://doi.org/10.1016/S0141-1195(82)80057-0, for the tableau; J. Moré and
S. Wild, Estimating computational noise, SIAM Journal on Scientific Computing 33 (2011), for noise.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from jacbench.checking import line_probes
from jacbench.core import nearby
from jacbench.core.arrays import Array
from jacbench.core.errors import JacbenchError
from jacbench.core.tree import Tree

Value: TypeAlias = Callable[[Tree], Array]
"""Gives y at a point; raises JacbenchError where the function has none."""

RATIO = 4
"""The longer of two steps over the shorter."""
LADDER = (0, 1, -1, 2, -2, 3, -3, 4, -4, 5, -5, 6, -6)
"""Steps in the order in which they are tried, as powers of :data:`RATIO` over the first: shorter
ones for what curves strongly, longer ones for what is nearly linear, or noisy."""
FAR = (0, 7, 6, 5)
"""Those that come first where a claim says that an output does not move: what is still over short
steps, for its values are coarse, may move over long ones."""
LONGEST = 0.1
"""The longest step: a tenth of an entry."""
ORDERS = 5
"""How often the tableau is extrapolated."""
QUICK = 3e-8
"""Share of a row's scale within which one central difference confirms a claim by itself."""
CLEAR = 30
"""How many times what is left of truncation, by its estimate, a slope may be off."""
ROUNDINGS = 4
"""How many times the noise of values over the step it may be off."""
FLOOR = 1e-9
"""Share of a row's scale below which nothing is denied: what is claimed has rounding of its own."""
GOOD = 1e-5
"""Share of a row's scale that a difference must be good to, if it is to confirm."""
NOISES = 3
"""Size of a value's noise in standard deviations of what was seen of it."""
FINER = 0.1
"""Share of a gap that the noise over a shorter step may be, if that step is to speak of the gap."""
SHIFT = 0.37
"""Of the first step in a second opinion: rounding is another one at other steps."""


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


@dataclass(frozen=True)
class Claim:
    """What is said of the slopes along some directions.

    Attributes
    ----------
    product
        W J T for the directions T, of shape (k, K); J T, of shape (m, K), without weights.
    weights
        W, standard normal, (k, m); None: the identity.
    scale
        The size of each row's products, below which they nearly cancel, of shape (k, K) or
        (k, 1); None: the root mean square over the directions.
    """

    product: Array
    weights: Array | None = None
    scale: Array | None = None

    @property
    def stands_still(self) -> bool:
        """Whether it says of some output that it does not move."""
        return not np.abs(self.product).max(axis=1).all()


@dataclass(frozen=True)
class Confirmation:
    """What differences say of a claim.

    Attributes
    ----------
    error
        ‖product - difference‖ over the larger of both; inf where there are no differences.
    resolution
        What differences can tell, likewise; a claim within it may still be wrong by as much.
    holds
        True where the claim is within a resolution that is good in every row.
    denied
        True where it is clearly beyond the resolution in some row.
    kink
        True where it is a kink at x that leaves the resolution poor.
    row
        The row of the product where it lies furthest beyond.
    """

    error: float = math.inf
    resolution: float = math.inf
    holds: bool = False
    denied: bool = False
    kink: bool = False
    row: int = 0

    @property
    def settled(self) -> bool:
        """True where differences can tell."""
        return self.holds or self.denied

    def worse(self, other: Confirmation) -> Confirmation:
        """Return what both say together."""
        return Confirmation(
            max(self.error, other.error),
            max(self.resolution, other.resolution),
            holds=self.holds and other.holds,
            denied=self.denied or other.denied,
            kink=self.kink or other.kink,
            row=other.row if other.denied and not self.denied else self.row,
        )


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
        How much each entry of the flat y scatters, (m,), where that is known; None: it is found
        out where it matters, by some 40 calls.
    """

    def __init__(
        self,
        value: Value,
        x: Tree,
        y: Array,
        *,
        dtype: str = "float64",
        kink_distance: float | None = None,
        noise: Array | None = None,
    ) -> None:
        self.x, self.dtype, self.kink_distance = x, dtype, kink_distance
        self._value, self._start = value, nearby.flat(x)
        self.y = np.asarray(y, dtype=np.float64).reshape(-1)
        self.eps = float(np.finfo(dtype).eps)
        self._given = noise

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
        if self.kink_distance is None:
            return LONGEST
        reach = float(np.abs(direction).sum())
        return min(LONGEST, 0.5 * self.kink_distance / (reach or 1.0))

    @functools.cached_property
    def noise(self) -> Array:
        """By how much each entry of the flat y may be off, (m,)."""
        rounding = self.eps * np.abs(self.y)
        if self._given is not None:
            return np.maximum(rounding, self._given)
        found = rounding
        for seed in range(2):
            along = directions(self.x, seed, 1)[:, 0]
            try:
                seen = line_probes.scatter(functools.partial(self.at, along), self.dtype)
            except JacbenchError:  # the edge of where y is finite
                continue
            found = np.maximum(found, NOISES * seen)
        return found

    def slopes(self, direction: Array, good: float = 1e-10) -> Slopes:
        """Return the slope along one direction, to a share ``good`` of its norm if that can be."""
        line = _Line(self, direction)
        for power in LADDER:
            line.extend(power)
            found = line.slopes()
            whole = float(np.linalg.norm(found.value))
            if np.linalg.norm(found.error) <= good * whole:
                break
        return found

    def confirm(self, along: Array, claims: Sequence[Claim]) -> list[Confirmation]:
        """Return what differences along the columns of ``along``, (n, K), say of each claim.

        Two calls for each direction where one step shows that all hold; more where it does not.
        What is denied is so by two whole ladders of steps: a slope that looks settled over steps
        longer than what the function does is another one over shorter ones.
        """
        told = self._confirmed(along, claims, 1.0)
        if not any(one.denied for one in told):
            return told
        again = self._confirmed(along, claims, SHIFT)
        return [
            other if one.denied and not other.denied else one
            for one, other in zip(told, again, strict=True)
        ]

    def _confirmed(self, along: Array, claims: Sequence[Claim], shift: float) -> list[Confirmation]:
        lines = [_Line(self, direction, shift) for direction in along.T]
        told = [Confirmation() for _ in claims]
        powers: Sequence[int] = LADDER
        if any(claim.stands_still for claim in claims):
            powers = (*FAR, *(power for power in LADDER if power not in FAR))
        for number, power in enumerate(powers):
            for line in lines:
                line.extend(power)
            if number == 0:
                plain = np.stack([line.plain() for line in lines], axis=1)
                quick = [_quick(plain, claim) for claim in claims]
                if all(one.holds for one in quick):
                    return quick
                continue
            if powers is not LADDER and number < len(FAR) - 1:
                continue
            every = [line.slopes() for line in lines]
            found = Slopes(
                *(
                    np.stack([getattr(one, name) for one in every], axis=1)
                    for name in ("value", "truncation", "rounding", "kink")
                )
            )
            natural = np.stack([line.natural() for line in lines], axis=1)
            told = [_confirmation(found, claim, natural, _finer(lines)) for claim in claims]
            if all(one.holds for one in told):
                break
        return told


class _Line:
    """Central differences along one direction, at the steps taken so far."""

    def __init__(self, of: Differences, direction: Array, shift: float = 1.0) -> None:
        self.of, self.direction = of, direction
        self.first, self.farthest = shift * of.step(direction), of.farthest(direction)
        self.found: dict[int, tuple[float, Array, Array]] = {}
        """By power of the ratio: the step, the slope, and by how much both sides differ."""

    def extend(self, power: int) -> None:
        """Take one more step; what is too long, or leaves the domain, says nothing."""
        h = self.first * float(RATIO) ** power
        if power > 0 and h > self.farthest:
            return
        try:
            up, down = (self.of.at(self.direction, t) for t in (h, -h))
        except JacbenchError:
            return
        self.found[power] = (h, (up - down) / (2 * h), (up + down - 2 * self.of.y) / h)

    def plain(self) -> Array:
        """Return the slope over the first step, NaN where there is none."""
        if 0 not in self.found:
            return np.full(self.of.y.size, np.nan)
        return self.found[0][1]

    def natural(self) -> Array:
        """Return what a slope would be at least that is not zero for good, (m,).

        What y moves by, or |y| where it does not: but no more than 1, as y may be an offset to what
        moves. Values that move by rounding do so as much over steps a sixteenth as long.
        """
        moved = {p: h * (np.abs(s) + np.abs(bend) / 2) for p, (h, s, bend) in self.found.items()}
        zero, size = np.zeros(self.of.y.size), np.abs(self.of.y)
        if not moved:
            return zero
        far = np.max(list(moved.values()), axis=0)
        short = [move for power, move in moved.items() if power <= max(moved) - 2]
        still = far <= np.max([zero, *short], axis=0) + self.of.eps * size
        return np.where(still, np.minimum(size, 1.0), far)

    def slopes(self) -> Slopes:
        """Return for each output the entry of the tableau that is known best."""
        m = self.of.y.size
        best = np.full(m, np.nan), np.full(m, np.inf), np.full(m, np.inf)
        kink = np.full(m, np.inf)
        row: list[tuple[Array, Array]] = []
        before: tuple[int, float, Array, Array] | None = None
        for power in sorted(self.found, reverse=True):  # from the longest step to the shortest
            h, slope, bend = self.found[power]
            rounding = self.of.noise / h
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


def _finer(lines: Sequence[_Line]) -> list[tuple[Array, Array]]:
    """Return slopes over each step shorter than the first, and their rounding; both (m, K)."""
    powers = set.intersection(*({p for p in line.found if p < 0} for line in lines))
    return [
        (
            np.stack([line.found[p][1] for line in lines], axis=1),
            np.stack([line.of.noise / line.found[p][0] for line in lines], axis=1),
        )
        for p in powers
    ]


def _seen(claim: Claim, found: Array) -> tuple[Array, Array]:
    """Return what differences say of the claim's product, and the scale of each of its rows."""
    seen, scale = found, claim.scale
    if claim.weights is not None:
        # W J t has the size ‖J t‖ for standard normal rows of W, whatever nearly cancels
        seen = claim.weights @ found
        scale = np.linalg.norm(found, axis=0, keepdims=True) if scale is None else scale
    if scale is None:
        larger = np.maximum(np.abs(claim.product), np.abs(seen))
        scale = np.sqrt(np.mean(larger**2, axis=1, keepdims=True))
    return seen, np.broadcast_to(scale, seen.shape)


def _quick(plain: Array, claim: Claim) -> Confirmation:
    seen, scale = _seen(claim, plain)
    gap = np.abs(claim.product - seen)
    holds = bool(np.all(np.isfinite(gap)) and np.all(gap <= QUICK * scale) and np.all(scale > 0))
    return Confirmation(_share(gap, claim.product, seen), QUICK, holds=holds)


def _confirmation(
    found: Slopes, claim: Claim, natural: Array, finer: Sequence[tuple[Array, Array]]
) -> Confirmation:
    if not np.isfinite(claim.product).all():
        return Confirmation(denied=True)

    def weighed(sizes: Array) -> Array:
        if claim.weights is None:
            return sizes
        return np.asarray(np.abs(claim.weights) @ sizes)

    seen, scale = _seen(claim, np.where(np.isfinite(found.value), found.value, 0.0))
    resolution, natural = weighed(found.resolution), weighed(natural)
    gap = np.abs(claim.product - seen)
    allowed = resolution + FLOOR * scale
    beyond = np.where(np.isfinite(allowed), gap - np.minimum(allowed, gap), 0.0)
    near = np.zeros(gap.shape)
    for slope, rounding in finer:
        short = _seen(claim, slope)[0]
        off = np.abs(claim.product - short)
        tells = weighed(rounding) <= FINER * gap
        # what looks like noise may be what the function does, if two steps give what is claimed;
        # values that do not move at all are too coarse for the step, and speak for no zero
        by_luck = (off < gap / 10) & (short != 0)
        near += np.where(tells & (off < gap / 2), 1.0, np.where(by_luck, 0.5, 0.0))
    # what the function does is shorter than the steps on which the slope looked settled
    beyond[near >= 1] = 0.0
    place = np.unravel_index(int(np.argmax(beyond)), beyond.shape)
    # of a row of zeros, the function tells the scale
    wanted = GOOD * np.where(scale > 0, scale, natural)
    return Confirmation(
        _share(gap, claim.product, seen),
        _share(resolution, claim.product, seen),
        holds=bool(np.all(gap <= allowed) and np.all(resolution <= wanted)),
        denied=bool(np.any(beyond > 0)),
        kink=bool(np.any(weighed(found.seen_kink) > np.maximum(resolution / 2, wanted))),
        row=int(place[0]),
    )


def _share(gap: Array, product: Array, seen: Array) -> float:
    size = max(float(np.linalg.norm(product)), float(np.linalg.norm(seen)))
    found = float(np.linalg.norm(gap)) / (size or 1.0)
    return found if math.isfinite(found) else math.inf


def directions(x: Tree, seed: int, count: int) -> Array:
    """Return random directions that move every input in proportion to itself, (n, count)."""
    own = nearby.units(x)[:, None]
    drawn = np.random.default_rng([seed, 0xD1F]).standard_normal((own.size, count))
    return np.asarray(own * drawn)
