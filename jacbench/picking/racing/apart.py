"""Apart or not: how sure ratios are that were taken round after round, and may wander together."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from jacbench.measuring.statistics import Floats, Interval

LEAST = 5
"""Rounds below which nothing is said of how sure a ratio is."""
WANDERING = 0.95
"""The correlation of neighbouring rounds is taken for no more than this."""


def intervals(rounds: Sequence[Sequence[float]], miss: float) -> list[Interval]:
    """Return for each of several rivals the median of its ratios, and its interval.

    Parameters
    ----------
    rounds
        For each rival one ratio a round, in the order of time; as many for all, and above 0.
    miss
        How often, at the most, one of the rivals' lower ends may lie above the true ratio. Upper
        ends are as far off.

    Returns
    -------
    list of Interval
        With NaN for ends where there were fewer than :data:`LEAST` rounds.

    Notes
    -----
    Student's interval over the logarithms, as if there were fewer rounds: neighbours that hang
    together tell less. Of n rounds whose neighbours correlate by φ count n / g with
    g = 1 + 2 Σ (1 - k/n) φ^k (G. V. Bayley and J. M. Hammersley, 1946, "The effective number of
    independent observations in an autocorrelated time series", Supplement to the Journal of the
    Royal Statistical Society 8). φ is taken over all rivals at once, since it is the machine's, and
    freed of what centring takes from it, about (1 + 3 φ) / n (F. H. C. Marriott and J. A. Pope,
    1954, "Bias in the estimation of autocorrelations", Biometrika 41), and 1 / n more, for the
    products of neighbours are one fewer than the squares. That one of several rivals is wronged is
    as seldom as Bonferroni's inequality has it.
    """
    logs = np.log(np.asarray(rounds, dtype=np.float64))
    middles = [math.exp(float(np.median(own))) for own in logs]
    count = logs.shape[1] if logs.size else 0
    if count < LEAST:
        return [Interval(middle, math.nan, math.nan) for middle in middles]
    from scipy.special import stdtrit  # noqa: PLC0415 - slow to import

    means = logs.mean(axis=1)
    apart = logs - means[:, None]
    worth = count / _inflation(_correlation(apart), count)
    # what wanders little about its own mean may wander far about the true one
    variance = np.sum(apart**2, axis=1) / count / max(1 - 1 / worth, 0.05)
    half = np.sqrt(variance / worth) * stdtrit(max(worth - 1, 1.0), 1 - miss / len(logs))
    with np.errstate(over="ignore"):
        lows, highs = np.exp(means - half).tolist(), np.exp(means + half).tolist()
    return [
        Interval(middle, min(middle, low), max(middle, high))
        for middle, low, high in zip(middles, lows, highs, strict=True)
    ]


def _correlation(apart: Floats) -> float:
    """Return the correlation of neighbouring rounds, of rows that are centred."""
    count, squares = apart.shape[1], float(np.sum(apart**2))
    seen = float(np.sum(apart[:, 1:] * apart[:, :-1])) / squares if squares else 0.0
    freed = (seen + 2 / count) / (1 - 3 / count)
    return float(np.clip(freed, 0.0, WANDERING))


def _inflation(correlation: float, count: int) -> float:
    """Return for how many independent rounds it takes so many that hang together."""
    lags = np.arange(1, count)
    return float(1 + 2 * np.sum((1 - lags / count) * correlation**lags))
