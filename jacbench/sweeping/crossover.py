"""Which method is fastest at which sizes, and where one overtakes another."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jacbench.measuring.statistics import Floats, Interval
from jacbench.sweeping.fit import CONFIDENCE
from jacbench.sweeping.series import Series

MARGIN = 1.03
"""Two times are told apart where the interval of their ratio lies beyond this: addresses and the
like make a process a little faster or slower for all its life, which its visits cannot show."""


@dataclass(frozen=True, kw_only=True)
class Reign:
    """Neighbouring sizes at which nothing is told to be faster than one method.

    Attributes
    ----------
    method
        By name.
    first, last
        The smallest and the largest of these sizes.
    """

    method: str
    first: float
    last: float


@dataclass(frozen=True, kw_only=True)
class Crossover:
    """Where one method overtakes another.

    Attributes
    ----------
    below, above
        What wins below, and what above.
    at
        The size, with its interval, whose ends may be 0 and infinite: then even the sizes at that
        end of ``window`` do not tell the two apart. None where the two have no times that cross.
    window
        The smallest and the largest size at which both were looked at.
    """

    below: str
    above: str
    at: Interval | None
    window: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Race:
    """Who is fastest where.

    Attributes
    ----------
    among
        The backend whose methods took part; '' for all.
    reigns
        By size.
    crossovers
        Between each reign and the next.
    """

    among: str
    reigns: tuple[Reign, ...]
    crossovers: tuple[Crossover, ...]


def races(series: Sequence[Series]) -> tuple[Race, ...]:
    """Return the race of all methods, then that of each backend with several; no references."""
    contestants = [one for one in series if not one.oracle and one.times]
    backends = list(dict.fromkeys(one.backend for one in contestants))
    found = [_race("", contestants)] if contestants else []
    if len(backends) > 1:
        for backend in backends:
            own = [one for one in contestants if one.backend == backend]
            if len(own) > 1:
                found.append(_race(backend, own))
    return tuple(found)


def _race(among: str, contestants: Sequence[Series]) -> Race:
    found = reigns(contestants)
    by_name = {one.method: one for one in contestants}
    return Race(
        among=among,
        reigns=found,
        crossovers=tuple(
            crossover(by_name[a.method], by_name[b.method], (a.first, b.last))
            for a, b in itertools.pairwise(found)
        ),
    )


def reigns(contestants: Sequence[Series]) -> tuple[Reign, ...]:
    """Return the fewest methods that are, one after the other, as fast as the fastest.

    A method reigns on until something is told to be faster: with noise alone, another one would be
    ahead at each size. Of those that reign equally long, the fastest on average does.
    """
    xs = sorted({time.x for one in contestants for time in one.times})
    equal = [_as_fast(contestants, x) for x in xs]
    found: list[Reign] = []
    start = 0
    while start < len(xs):
        timed = [one.method for one in contestants if one.at(xs[start]) is not None]
        runs = {
            method: _length(method, equal[start:]) for method in timed if method in equal[start]
        }
        longest = max(runs.values())
        stop = start + longest
        method = min(
            (method for method, length in runs.items() if length == longest),
            key=lambda method: sum(among[method] for among in equal[start:stop]),
        )
        found.append(Reign(method=method, first=xs[start], last=xs[stop - 1]))
        start = stop
    return tuple(found)


def _length(method: str, equal: Sequence[dict[str, float]]) -> int:
    """Return at how many sizes on end, from the first, ``method`` is as fast as the fastest."""
    return next((i for i, among in enumerate(equal) if method not in among), len(equal))


def _as_fast(contestants: Sequence[Series], x: float) -> dict[str, float]:
    """Return the methods that nothing is told to be faster than at ``x``, with their log times."""
    times = {one.method: time for one in contestants if (time := one.at(x)) is not None}
    best = min(times, key=lambda method: times[method].log_s)
    found = {}
    for method, time in times.items():
        behind, off = time.log_s - times[best].log_s, time.off - times[best].off
        low = behind + min(0.0, float(np.quantile(off, (1 - CONFIDENCE) / 2)))
        if method == best or low <= math.log(MARGIN):
            found[method] = time.log_s
    for one in contestants:
        # A cell that had no turn between two that had: nothing tells against it.
        if one.method not in times and one.times[0].x < x < one.times[-1].x:
            found[one.method] = times[best].log_s
    return found


def crossover(below: Series, above: Series, window: tuple[float, float]) -> Crossover:
    """Return where ``above`` overtakes ``below`` within ``window``, and how sure that is.

    Between sizes the logarithm of the ratio of the two times is taken as linear in the logarithm
    of the size. Where it changes sign more than once, the crossover leaves the least of it on the
    wrong side. Its interval is that of the crossovers of resampled medians: it holds what the
    samples show, not how the ratio bends between two sizes.
    """
    pairs = [
        (time, other)
        for time in below.times
        if window[0] <= time.x <= window[1] and (other := above.at(time.x)) is not None
    ]
    none = Crossover(below=below.method, above=above.method, at=None, window=window)
    if len(pairs) < 2:
        return none
    x = np.log([time.x for time, _ in pairs])
    ahead = np.array([a.log_s - b.log_s for a, b in pairs])
    off = np.stack([a.off - b.off for a, b in pairs], axis=1)
    at = float(_crossings(x, ahead[None])[0])
    if not math.isfinite(at):
        return none
    drawn = _crossings(x, ahead + off)
    tails = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
    # No interpolation between resamples: some lie at infinity.
    low, high = np.quantile(drawn, tails, method="inverted_cdf")
    return Crossover(
        below=below.method,
        above=above.method,
        at=Interval(math.exp(at), math.exp(min(low, at)), math.exp(max(high, at))),
        window=(pairs[0][0].x, pairs[-1][0].x),
    )


def _crossings(x: Floats, ahead: Floats) -> Floats:
    """Return for each row of ``ahead``, (rows, sizes), where it goes from below 0 to above.

    With the row taken as linear between neighbours of ``x``: what a crossover at c leaves on the
    wrong side is the integral up to c, but for a constant. It is least where the row changes sign
    upwards, or at an end, which is told as minus or plus infinity.
    """
    left, right, step = ahead[:, :-1], ahead[:, 1:], np.diff(x)
    until = np.cumsum((left + right) / 2 * step, axis=1)
    before = np.concatenate([np.zeros((len(ahead), 1)), until[:, :-1]], axis=1)
    upwards = (left < 0) & (right >= 0)
    share = np.divide(-left, right - left, out=np.zeros_like(left), where=upwards)
    within = np.where(upwards, before + left * share * step / 2, np.inf)
    ends = np.concatenate([np.zeros((len(ahead), 1)), until[:, -1:], within], axis=1)
    rows = len(ahead)
    places = np.concatenate(
        [np.full((rows, 1), -np.inf), np.full((rows, 1), np.inf), x[:-1] + share * step], axis=1
    )
    found: Floats = np.take_along_axis(places, np.argmin(ends, axis=1)[:, None], axis=1)[:, 0]
    return found
