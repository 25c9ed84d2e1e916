"""Measuring at length: the figures of who leads, who is next and what is used today."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace

from jacbench.core.cell import CellResult
from jacbench.core.progress import Progress
from jacbench.measuring.deadline import Deadline
from jacbench.measuring.statistics import median_interval, outliers
from jacbench.picking.racing import pairs, placing, sampling
from jacbench.picking.racing.candidates import Field, Known
from jacbench.picking.racing.draws import Draws
from jacbench.picking.racing.sampling import SLOW_S

VISITS = 6
"""Stretches in which those left are measured, in turn: as a run measures."""
SLOW_VISITS = 4
"""The same of those whose calls are slower than a stretch."""
MOST_MEASURED = 2
"""Candidates of one format that are measured at length, the fastest first."""


class Measuring:
    """Measures at length, as far as there is time.

    Parameters
    ----------
    field
        Who is there.
    deadline
        The time there is.
    draws
        The order and the processor of each visit.
    progress
        Is told what goes on.
    """

    def __init__(self, field: Field, deadline: Deadline, draws: Draws, progress: Progress) -> None:
        self._field, self._deadline, self._draws, self._progress = field, deadline, draws, progress

    def measure(self) -> None:
        """Measure those whose figures are shown; fill the places of those lost."""
        self._visit(self._chosen())
        for form in self._field.formats():
            self.fill(form)

    def _visit(self, chosen: Sequence[Known]) -> None:
        """Measure some in turn, and tell from that who is picked and who is tied."""
        before = 1 + max((number for k in self._field for number in k.visits), default=-1)
        for visit in range(VISITS):
            self._draws.bind_to_one()
            for known in self._draws.order(chosen):
                if known.lost or not self.has_time(known, visit):
                    continue
                self._progress.begin(f"measuring {known.candidate.label}")
                if samples := sampling.stretch(known):
                    known.visits[before + visit] = samples
        for known in chosen:
            known.result = _with_figures(known.result, list(known.visits.values()))
        for form in dict.fromkeys(known.format for known in chosen):
            placing.place(self._field, form)

    def _chosen(self) -> list[Known]:
        """Return the fastest of each format, and what is used today."""
        chosen = [k for form in self._field.formats() for k in self._fastest(form)]
        today = self._field.today()
        if today is not None and today.agrees and today not in chosen:
            chosen.append(today)
        return chosen

    def _fastest(self, form: str) -> list[Known]:
        raced = [k for k in self._field.of(form) if k.fate in ("picked", "equal", "open", "slower")]
        return sorted(raced, key=lambda k: (k.fate != "picked", k.call_s or 0.0))[:MOST_MEASURED]

    def has_time(self, known: Known, visit: int = 0) -> bool:
        """Say whether to measure one now: a slow one less often, and within the time limit."""
        call_s, left = known.call_s or 0.0, self._deadline.left() - known.again_s
        if call_s > SLOW_S:
            return visit < SLOW_VISITS and left > 2 * call_s
        return left > 0 or (not visit and not known.again_s)

    def fill(self, form: str) -> None:
        """Let somebody else take the place of a pick that was lost, and measure it."""
        while self._field.picked(form) is None and self._field.pick_next(form):
            known, today = self._field.picked(form), self._field.today()
            if known is None or known.result is None:
                return
            together = [known]
            if today is not None and today is not known and today.agrees and today.format == form:
                together.append(today)
            if known.visits and all(pairs.ratios(known, other) for other in together):
                placing.place(self._field, form)
            else:
                self._visit(together)


def _with_figures(
    result: CellResult | None, visits: Sequence[Sequence[float]]
) -> CellResult | None:
    """Return a result with the figures of its visits, where there were some."""
    pooled = [second for visit in visits for second in visit]
    if result is None or not pooled:
        return result
    interval = median_interval(visits)
    low_s, high_s = interval.ends
    quartiles = statistics.quantiles(pooled, n=4) if len(pooled) > 1 else [pooled[0]] * 3
    return replace(
        result,
        median_s=interval.estimate,
        low_s=low_s,
        high_s=high_s,
        iqr_s=quartiles[2] - quartiles[0],
        outliers=outliers(pooled),
        visits=sum(1 for visit in visits if visit),
        rounds=len(pooled),
    )
