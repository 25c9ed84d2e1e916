"""How many times faster the pick is than what is used today, by pairs of blocks."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from jacbench.picking.racing import sampling
from jacbench.picking.racing.budget import Budget
from jacbench.picking.racing.draws import Draws
from jacbench.picking.racing.field import Field, Known
from jacbench.picking.racing.measuring import Measuring
from jacbench.picking.racing.sampling import STRETCH_S
from jacbench.statistics import Interval, ratio_interval

PAIRS, LEAST_PAIRS = 6, 3
"""Pairs of blocks for the ratio to what is used today, and with how many it has an interval."""


class VersusToday:
    """The comparison of a pick with what is used today.

    Parameters
    ----------
    field
        Who is picked, and what is used today.
    budget
        The time there is.
    draws
        The order and the processor of each pair.
    measuring
        Lets another take the place of a pick that is lost here.

    Attributes
    ----------
    speedup
        The time of today's over that of the pick; without an interval where there was no time for
        some pairs; None where there is nothing to compare.
    """

    def __init__(self, field: Field, budget: Budget, draws: Draws, measuring: Measuring) -> None:
        self._field, self._budget, self._draws = field, budget, draws
        self._measuring = measuring
        self.speedup: Interval | None = None

    def compare(self) -> None:
        """Find the speed-up over what is used today, of whoever is picked in the end."""
        self.speedup, today = None, self._field.today()
        if today is None or not today.agrees:
            return
        picked = self._field.picked(today.format)
        if picked is None:
            return
        if today is picked:
            self.speedup = Interval(1.0, 1.0, 1.0)
            return
        ratios = self._paired(today, picked)
        if picked.lost:
            self._measuring.fill(picked.format)
            self.compare()
        elif not today.lost:
            self.speedup = _speedup(today, picked, ratios)

    def _paired(self, today: Known, picked: Known) -> list[float]:
        """Return one ratio for each pair of blocks there is time for, until one of two is lost."""
        ratios: list[float] = []
        slow_s = (today.call_s or 0.0) + (picked.call_s or 0.0)
        for _ in range(PAIRS):
            if self._budget.left() < (2 * slow_s if slow_s > STRETCH_S or ratios else 0.0):
                break
            self._draws.bind_to_one()
            pair = self._draws.order((today, picked))
            seconds = {k.candidate: sampling.block(k) for k in pair}
            if today.lost or picked.lost:
                break
            ratios.append(seconds[today.candidate] / seconds[picked.candidate])
        return ratios


def _speedup(today: Known, picked: Known, ratios: Sequence[float]) -> Interval:
    """Return the ratio by pairs; without an interval where there was no time for some."""
    if len(ratios) >= LEAST_PAIRS:
        return ratio_interval([ratios], confidence=0.95)
    rough = (today.call_s or 0.0) / (picked.call_s or math.inf)
    return Interval(statistics.median(ratios or [rough]), math.nan, math.nan)
