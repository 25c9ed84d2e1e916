"""How many times faster the pick is than what is used today, by stretches measured in turn."""

from __future__ import annotations

import math
from dataclasses import dataclass

from jacbench.measuring.statistics import Interval
from jacbench.picking.racing import pairs
from jacbench.picking.racing.candidates import Field


@dataclass(frozen=True)
class Speedup:
    """The time of what is used today over that of the pick of its format.

    Attributes
    ----------
    ratio
        With NaN for ends where there were too few pairs to say.
    pairs
        Pairs of stretches behind it; 0: from the first calls alone.
    """

    ratio: Interval
    pairs: int


def speedup(field: Field) -> Speedup | None:
    """Return it of whoever is picked in the end; None where there is nothing to compare."""
    today = field.today()
    picked = None if today is None else field.picked(today.format)
    if today is None or picked is None or not (today.agrees and picked.agrees):
        return None
    if today is picked:
        return Speedup(Interval(1.0, 1.0, 1.0), 0)
    count = len(pairs.ratios(today, picked))
    if count:
        return Speedup(pairs.ratio(today, picked), count)
    rough = (today.call_s or 0.0) / (picked.call_s or math.inf)
    return Speedup(Interval(rough, math.nan, math.nan), 0)
