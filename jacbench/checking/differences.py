"""What difference quotients along a few directions say of a derivative, and how far to trust it.

Central differences are taken on a ladder of steps, and extrapolated over three steps in a row: a
window. Each window carries a bound on its own error: how far the extrapolations within it are
apart, the rounding of the values over the step, and what a kink at x would do. So an answer is one
of three: confirmed, denied, or that differences cannot tell here. A wrong derivative agrees with
no window; a right one is met by some window even where the function is steep, oscillates, has a
kink near by or is computed in float32 in part, and it is denied only by windows that have converged
and all say the same.

References: L. F. Richardson, The deferred approach to the limit, Philosophical Transactions of the
Royal Society A 226 (1927); C. Ridders, Accurate computation of F'(x) and F'(x) F''(x), Advances in
Engineering Software 4 (1982), for the bound.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from jacbench.core.arrays import Array
from jacbench.core.errors import JacbenchError
from jacbench.core.nearby import units
from jacbench.core.tree import Tree

Value: TypeAlias = Callable[[Array], Array]
"""The function on flat float64 vectors, (n,) to (m,); JacbenchError where it has no value."""

Verdict: TypeAlias = Literal["confirms", "denies", "cannot tell"]

TELLS = 1e-2
"""Share of a derivative that differences have to resolve: what is good to less is no evidence."""
RATIO = 4
"""A step over the next shorter one."""
LONGEST = 0.25
"""The longest step, in units of a direction."""
SAFETY = 5
"""The bound of a window over its estimated error."""
NOISY = 100
"""Machine epsilons above which the noise of values is not their rounding."""
_MATERIAL = {"float64": 1e-7, "float32": 1e-3}
"""Share of a row's own size below which nothing is denied: a derivative may come of a solver."""
_TINY = float(np.finfo(np.float64).tiny)
_OWN_ROUNDING = 30
"""Machine epsilons of y's natural slope by which the derivative in question may be off."""


@dataclass(frozen=True)
class Confirmation:
    """What differences say of products.

    Attributes
    ----------
    error
        ‖product - difference‖ / ‖difference‖: where it is confirmed, of the steps that agree best;
        else of the steps that are most precise. Of a zero that is confirmed, how large a slope may
        hide there, by the side of y.
    verdict
        ``confirms``, ``denies`` or ``cannot tell``.
    """

    error: float
    verdict: Verdict

    @property
    def holds(self) -> bool:
        """Whether differences confirm the products."""
        return self.verdict == "confirms"

    @property
    def denied(self) -> bool:
        """Whether differences that are good enough to tell say something else."""
        return self.verdict == "denies"

    def worse(self, other: Confirmation) -> Confirmation:
        """Return what both say together: of two points, say."""
        order: tuple[Verdict, ...] = ("denies", "cannot tell", "confirms")
        verdict = min((self.verdict, other.verdict), key=order.index)
        return Confirmation(max(self.error, other.error), verdict)


@dataclass(frozen=True)
class Claim:
    """What one way of differentiating says of the slopes along some directions.

    Attributes
    ----------
    product
        W J T for the directions T; of shape (k, K), or J T of shape (m, K) without weights.
    weights
        W, standard normal, (k, m); None: the identity.
    """

    product: Array
    weights: Array | None = None


@dataclass(frozen=True)
class Slopes:
    """The slopes along some directions by differences alone.

    Attributes
    ----------
    product
        J T, (m, K).
    good_to
        A bound on its normwise error; above :data:`TELLS` it is no evidence.
    """

    product: Array
    good_to: float


def limit(dtype: str, noise: float) -> float:
    """Return how near to plain central differences a right derivative is, mostly; normwise.

    A thousand times e^(2/3), the least sum of a truncation error h² and a rounding error e / h:
    the factor is for third derivatives. Nocedal and Wright, Numerical Optimization (2nd ed., 2006),
    section 8.1.
    """
    eps = float(np.finfo(dtype).eps)
    return min(0.1 * TELLS, 1000 * math.pow(max(eps, noise), 2 / 3))


def directions(x: Tree, seed: int, count: int) -> Array:
    """Return random directions that move every input in proportion to itself, (n, count)."""
    own = units(x)
    return own[:, None] * np.random.default_rng([seed, 0xD1F]).standard_normal((own.size, count))


def reach(along: Array, kink_distance: float | None) -> float:
    """Return the longest step along the columns of ``along`` that meets no kink.

    ``kink_distance`` is for one input at a time. Where the function is linear between its kinks,
    the smooth piece is convex: several may move by as much in all.
    """
    if kink_distance is None:
        return LONGEST
    farthest = float(np.abs(along).sum(axis=0).max())
    return min(LONGEST, 0.5 * kink_distance / (farthest or 1.0))


def confirm(
    value: Value,
    x: Array,
    along: Array,
    claims: Sequence[Claim],
    *,
    y: Array,
    dtype: str,
    noise: float,
    longest: float = LONGEST,
    go_on: Callable[[], bool] = lambda: True,
) -> list[Confirmation]:
    """Return what differences along the columns of ``along`` say of each claim.

    One step of each direction is tried first, and is enough for most that is right: 2 K calls.
    What does not agree with it at once is held against windows, at the least one.

    Parameters
    ----------
    value
        The function; ``value(x)`` is ``y``.
    x
        The point, flat, (n,).
    along
        Directions, (n, K): columns that move each input in proportion to its own size, so that a
        step of 1 is a long one.
    claims
        What is to be confirmed.
    y
        (m,), float64.
    dtype
        In which the function is computed: float64 or float32.
    noise
        How much neighbouring values scatter, relative to ‖y‖; 0: as rounding has it.
    longest
        The longest step that may be taken, in units of a direction: a kink is beyond.
    go_on
        Asked before every further step after the first window: False where time is over.
    """
    ladder = _Ladder(value, x, along, y, dtype, noise, longest)
    opinions = [_Opinion(claim, ladder) for claim in claims]
    first = ladder.rung(0)
    if first is not None:
        for opinion in opinions:
            opinion.glance(first)
    if not all(opinion.settled for opinion in opinions):
        for window in ladder.windows(go_on):
            for opinion in opinions:
                opinion.hear(window)
            if all(opinion.settled for opinion in opinions):
                break
    return [opinion.said for opinion in opinions]


def measure(
    value: Value,
    x: Array,
    along: Array,
    *,
    y: Array,
    dtype: str,
    noise: float,
    longest: float = LONGEST,
    go_on: Callable[[], bool] = lambda: True,
) -> Slopes:
    """Return the slopes of the window that is most precise, and how good they are.

    Windows that have converged to something else take that away. Parameters are those of
    :func:`confirm`.

    Raises
    ------
    JacbenchError
        The function's own, where it has no value near x.
    """
    ladder = _Ladder(value, x, along, y, dtype, noise, longest)
    windows: list[_Window] = []
    for window in ladder.windows(go_on):
        windows.append(window)
        if window.good_to <= limit(dtype, noise):
            break
    if not windows:
        raise ladder.failure or JacbenchError("there is no room for differences at x")
    best = min(windows, key=lambda window: window.good_to)
    size = float(np.linalg.norm(best.slopes)) or 1.0
    good_to = best.good_to
    for other in windows:
        gap = float(np.linalg.norm(other.slopes - best.slopes)) / size
        if other.good_to <= TELLS and gap > best.good_to + other.good_to:
            good_to = max(good_to, gap)
    return Slopes(best.slopes, good_to)


# --- steps ---


@dataclass(frozen=True)
class _Rung:
    """Central differences over one step.

    Attributes
    ----------
    slopes
        (f(x + h t) - f(x - h t)) / 2h, (m, K).
    bend
        |f(x + h t) + f(x - h t) - 2 f(x)| / h: shrinks with h where the function is smooth, and
        stays at a kink.
    rounding
        What the rounding of the values is worth in a slope.
    natural
        How large slopes are where none cancels: the size of y, or what the bend tells of.
    """

    slopes: Array
    bend: Array
    rounding: Array
    natural: Array


@dataclass(frozen=True)
class _Window:
    """Slopes extrapolated over three steps, and a bound on the error of each entry, (m, K)."""

    slopes: Array
    bound: Array
    natural: Array

    @property
    def good_to(self) -> float:
        """The bound relative to the slopes."""
        bound, size = (float(np.linalg.norm(part)) for part in (self.bound, self.slopes))
        return bound / size if size else (math.inf if bound else 0.0)


class _Ladder:
    """Steps from long to short: number k is ``first`` / 4^k. Each is taken once."""

    def __init__(
        self,
        value: Value,
        x: Array,
        along: Array,
        y: Array,
        dtype: str,
        noise: float,
        longest: float,
    ) -> None:
        self.value, self.x, self.along, self.y, self.dtype = value, x, along, y, dtype
        self.eps = float(np.finfo(dtype).eps)
        self.noise = max(self.eps, noise)
        self.limit = limit(dtype, noise)
        self.longest = min(LONGEST, longest)
        self.shortest = 0.5 * math.sqrt(self.eps)
        # between what is best for one step, e^(1/3), and for the three of a window
        self.first = min(math.pow(self.noise, 2 / 7), self.longest / RATIO)
        self.failure: JacbenchError | None = None
        self._rungs: dict[int, _Rung | None] = {}

    def rung(self, number: int) -> _Rung | None:
        """Return a step; None where it is out of range, or there is no value."""
        if number not in self._rungs:
            h = self.first / RATIO**number
            within = self.shortest <= h <= self.longest * (1 + self.eps)
            self._rungs[number] = self._taken(h) if within else None
        return self._rungs[number]

    def windows(self, go_on: Callable[[], bool]) -> Iterator[_Window]:
        """Yield a window in the middle, then shorter and longer ones in turn."""
        shorter, longer = itertools.count(0), itertools.count(-1, -1)
        begun = False
        ways = {1: shorter, -1: longer}
        while ways:
            for sign, numbers in list(ways.items()):
                if begun and not go_on():
                    return
                middle = next(numbers)
                window = self._window(middle)
                if window is not None:
                    begun = True
                    yield window
                # without a value on the way to longer steps there is none further on
                elif sign < 0 or self._past_the_shortest(middle + 1):
                    del ways[sign]

    def _past_the_shortest(self, number: int) -> bool:
        return bool(self.first / RATIO**number < self.shortest)

    def _window(self, middle: int) -> _Window | None:
        found = [self.rung(number) for number in (middle + 1, middle, middle - 1)]
        short, mid, long = found
        if short is None or mid is None or long is None:
            return None
        square = RATIO**2
        once, before = (
            (square * a.slopes - b.slopes) / (square - 1) for a, b in ((short, mid), (mid, long))
        )
        twice = (square**2 * once - before) / (square**2 - 1)
        apart = np.maximum(np.abs(twice - once), np.abs(twice - before))
        kinked = np.maximum(0.0, short.bend - mid.bend / 2)
        bound = SAFETY * (apart + short.rounding) + kinked
        natural = np.maximum(np.maximum(short.natural, mid.natural), long.natural)
        return _Window(twice, bound, natural)

    def _taken(self, h: float) -> _Rung | None:
        parts: list[tuple[Array, ...]] = []
        for direction in self.along.T:
            try:
                up, down = (
                    self.value(self.x + t * direction).astype(np.float64).reshape(-1)
                    for t in (h, -h)
                )
            except JacbenchError as exc:
                self.failure = self.failure or exc
                return None
            size = np.maximum(np.abs(up), np.abs(down))
            bend = np.abs((up - self.y) + (down - self.y)) / h
            scatter = self.noise * size
            if self.noise > NOISY * self.eps:  # it may all be in a few entries
                scatter += self.noise * float(np.linalg.norm(size))
            parts.append(((up - down) / (2 * h), bend, scatter / h, np.maximum(bend, size)))
        return _Rung(*(np.stack(columns, axis=1) for columns in zip(*parts, strict=True)))


# --- claims ---


class _Opinion:
    """What has been heard of a claim: of each row, and of all of them together as the last row."""

    def __init__(self, claim: Claim, ladder: _Ladder) -> None:
        self._product, self._weights = claim.product, claim.weights
        self._own, self._limit = _OWN_ROUNDING * ladder.eps, ladder.limit
        self._material = max(_MATERIAL[ladder.dtype], ladder.limit)
        rows = len(claim.product) + 1
        self._confirmed, self._denied = np.zeros(rows, bool), np.zeros(rows, bool)
        self._zero = self._moves = False
        self._still = math.inf
        self._finite = bool(np.isfinite(claim.product).all())
        self._least = self._finest = (math.inf, math.inf)

    @property
    def settled(self) -> bool:
        """Whether nothing that is heard further could change it.

        That all is zero is said once every step was heard: a longer one may show a small slope.
        """
        return not self._finite or (bool(self._confirmed[-1]) and self._verdict == "confirms")

    @property
    def _verdict(self) -> Verdict:
        if not self._finite or (self._denied & ~self._confirmed).any():
            return "denies"
        zero = self._zero and not self._moves
        return "confirms" if self._confirmed[-1] or zero else "cannot tell"

    @property
    def said(self) -> Confirmation:
        """What differences say."""
        verdict = self._verdict
        if verdict == "confirms" and not self._confirmed[-1]:  # a zero, at the size of y
            return Confirmation(self._still, verdict)
        return Confirmation((self._least if verdict == "confirms" else self._finest)[1], verdict)

    def glance(self, rung: _Rung) -> None:
        """Take in one step, which can but confirm: it has no bound."""
        if not self._finite:
            return
        seen, _, scale, natural = self._weighed(rung.slopes, rung.rounding, rung.natural)
        product = _with_norm(self._product)
        near = np.abs(product - seen) <= self._limit * scale + self._own * natural
        if near.all() and (TELLS * scale[-1] > self._own * natural[-1]).all():
            self._confirmed[-1] = True
            self._least = (0.0, self._error(rung.slopes))

    def hear(self, window: _Window) -> None:
        """Take in what a window says."""
        if not self._finite:
            return
        seen, bound, scale, natural = self._weighed(window.slopes, window.bound, window.natural)
        product = _with_norm(self._product)
        gap = np.abs(product - seen)
        gap[-1] = np.linalg.norm(gap[:-1], axis=0)
        size = np.maximum(np.abs(seen), np.abs(product))
        own = np.maximum(self._material * scale, self._own * natural)
        agrees = gap <= np.maximum(bound, own)
        resolved = bound <= TELLS * size.max(axis=1, keepdims=True)
        self._confirmed |= (agrees & resolved).all(axis=1)
        self._denied |= ((gap > np.maximum(2 * bound, own)) & resolved).all(axis=1)
        # nothing is left of a slope by the side of what y moves by without one: of a large y no
        # more than 1 counts, as it may be an offset to what moves
        least = self._limit * np.minimum(natural, 1.0)
        small = (np.abs(product) <= self._own * natural) & (bound <= least)
        if (agrees & small)[-1].all():
            self._zero = True
            self._still = min(
                self._still, float((bound[-1] / np.maximum(natural[-1], _TINY)).max())
            )
        self._moves |= bool((gap > 2 * bound)[-1].all())
        error = self._error(window.slopes)
        self._least = min(self._least, (error, error))
        self._finest = min(self._finest, (window.good_to, error))

    def _weighed(
        self, slopes: Array, bound: Array, natural: Array
    ) -> tuple[Array, Array, Array, Array]:
        """Return slopes, their bound, their scale and the natural one, as the claim sees them."""
        if self._weights is None:
            scale = np.broadcast_to(np.abs(slopes).max(axis=1, keepdims=True), slopes.shape)
        else:
            # W J t has the size ‖J t‖ for standard normal rows of W, whatever nearly cancels
            rows, squares = (len(self._weights), 1), self._weights**2
            scale = np.tile(np.linalg.norm(slopes, axis=0), rows)
            slopes = self._weights @ slopes
            bound, natural = (2 * np.sqrt(squares @ part**2) for part in (bound, natural))
        return _with_norm(slopes), _with_norm(bound), _with_norm(scale), _with_norm(natural)

    def _error(self, slopes: Array) -> float:
        spread = 1.0 if self._weights is None else math.sqrt(len(self._weights))
        seen = slopes if self._weights is None else self._weights @ slopes
        gap = float(np.linalg.norm(self._product - seen))
        return gap / (spread * float(np.linalg.norm(slopes)) or 1.0)


def _with_norm(entries: Array) -> Array:
    """Return ``entries`` with the norm of each column as a further row."""
    return np.concatenate([entries, np.linalg.norm(entries, axis=0, keepdims=True)])
