"""How fast time or memory grows with size: the exponent of a power law, and how sure it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from jacbench.measuring import statistics
from jacbench.measuring.statistics import Floats, Interval

CONFIDENCE = 0.95
"""Of every interval of a sweep."""
FEWEST = 3
"""Sizes that an exponent needs: a line through two says nothing of how straight it is."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A power law: what was measured grows as ``x**exponent``.

    Attributes
    ----------
    exponent
        With its interval.
    first, last
        The smallest and the largest size of those fitted.
    sizes
        How many they are.
    """

    exponent: Interval
    first: float
    last: float
    sizes: int


def upper_half(xs: Sequence[float]) -> slice:
    """Return which of the sorted ``xs`` are fitted: the larger half, and no fewer than three.

    At small sizes what a call costs whatever its size hides how it grows.
    """
    return slice(max(0, len(xs) - max(FEWEST, math.ceil(len(xs) / 2))), len(xs))


def power_law(
    xs: Sequence[float], logs: Sequence[float], offs: Sequence[Floats] | None = None
) -> Fit | None:
    """Fit log y = a + p log x to the larger half of the sizes by least squares.

    Parameters
    ----------
    xs
        Sizes above 0, ascending, each once.
    logs
        Logarithms of what was measured, one for each size.
    offs
        Draws of how far the logarithm of each median may be off, an array for each size; None
        where what was measured has no noise of its own.

    Returns
    -------
    Fit or None
        None for fewer than three sizes.

    Notes
    -----
    Of two intervals the outer ends are taken. One resamples the points: their residuals, each over
    the root of one minus its leverage (A. C. Davison and D. V. Hinkley, "Bootstrap Methods and
    their Application", 1997, section 6.2.3), and as a few residuals have tails that resampling them
    cannot show, what comes out is stretched by Student's quantile over the normal one. It says how
    far the points are from a power law. The other draws each median anew: how sure each point
    is, which few points may hide by lying on a line by chance.
    """
    if len(xs) < FEWEST:
        return None
    kept = upper_half(xs)
    x = np.log(np.asarray(xs, dtype=np.float64))[kept]
    y = np.asarray(logs, dtype=np.float64)[kept]
    x = x - x.mean()
    squares = float(x @ x)
    slope = float(x @ y) / squares
    off = _of_points(x, y - y.mean() - slope * x) @ x / squares
    ends = [np.quantile(off, _tails())]
    if offs is not None:
        drawn = np.stack(offs[kept], axis=1)
        ends.append(np.quantile(drawn @ x / squares, _tails()))
    low, high = min(0.0, *(end[0] for end in ends)), max(0.0, *(end[1] for end in ends))
    return Fit(
        exponent=Interval(slope, slope + float(low), slope + float(high)),
        first=xs[kept][0],
        last=xs[-1],
        sizes=len(x),
    )


def _of_points(x: Floats, residuals: Floats) -> Floats:
    """Return resampled residuals, a row for each resample, as wide as their number asks for."""
    from scipy.special import stdtrit  # noqa: PLC0415 - slow to import

    count = len(x)
    leverage = 1 / count + x**2 / (x @ x)
    # A point far off the others has a leverage of 1 and no residual.
    spread = residuals / np.sqrt(np.maximum(1 - leverage, 1e-9))
    spread = spread - spread.mean()
    rng = np.random.default_rng(0)
    drawn: Floats = spread[rng.integers(count, size=(statistics.RESAMPLES, count))]
    _, tail = _tails()
    wider = float(stdtrit(count - 2, tail)) / NormalDist().inv_cdf(tail)
    return drawn * wider


def _tails() -> tuple[float, float]:
    return (1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2
