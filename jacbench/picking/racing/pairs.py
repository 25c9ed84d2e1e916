"""Pairs: two candidates measured in turn, visit by visit."""

from __future__ import annotations

import math
import statistics

from jacbench.measuring.statistics import Interval, paired_interval
from jacbench.picking.racing.candidates import Known

LEAST_PAIRS = 4
"""Pairs below which a ratio has no interval: of three it would be as wide as to say little."""


def ratios(one: Known, other: Known, one_more_s: float = 0.0, more_s: float = 0.0) -> list[float]:
    """Return the time of one over that of the other in every visit that both had.

    Parameters
    ----------
    one_more_s, more_s
        What is added to the time of a call of either: its share of the preparation, seconds.
    """
    return [
        (statistics.median(one.visits[visit]) + one_more_s)
        / (statistics.median(other.visits[visit]) + more_s)
        for visit in sorted(one.visits.keys() & other.visits.keys())
    ]


def ratio(one: Known, other: Known, one_more_s: float = 0.0, more_s: float = 0.0) -> Interval:
    """Return the same over all those visits, of which there is one at least.

    Without an interval, NaN, where they are fewer than :data:`LEAST_PAIRS`.
    """
    found = ratios(one, other, one_more_s, more_s)
    if len(found) >= LEAST_PAIRS:
        return paired_interval(found)
    return Interval(statistics.geometric_mean(found), math.nan, math.nan)
