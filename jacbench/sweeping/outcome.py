"""What a sweep found; ``sweep.schema.json`` beside this file describes it as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jacbench.core.cell import Verdict
from jacbench.results.run import Run, json_safe
from jacbench.sweeping import crossover, series
from jacbench.sweeping.crossover import Crossover, Race
from jacbench.sweeping.fit import CONFIDENCE, Fit, power_law
from jacbench.sweeping.series import Group, Series
from jacbench.sweeping.sizes import Plan

SCHEMA = 1
"""Version of the ``sweep`` object."""


@dataclass(frozen=True, kw_only=True)
class Growth:
    """How one method grows with size.

    Attributes
    ----------
    series
        What it took.
    time, memory
        The exponents; None with fewer than three sizes to fit.
    """

    series: Series
    time: Fit | None
    memory: Fit | None


@dataclass(frozen=True, kw_only=True)
class Panel:
    """What was found of one operator, device, dtype and number of threads.

    Attributes
    ----------
    group
        What was measured.
    growths
        Of each method, in the order of the group.
    races
        Who is fastest where: of all methods, and within each backend.
    """

    group: Group
    growths: tuple[Growth, ...]
    races: tuple[Race, ...]


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A run over sizes, and what it shows.

    Attributes
    ----------
    plan
        The sizes.
    run
        Every cell of every size.
    panels
        What was found, for each operator, device, dtype and number of threads.
    """

    plan: Plan
    run: Run
    panels: tuple[Panel, ...]

    @property
    def ok(self) -> bool:
        """True where no cell disagrees, failed or crashed; some sizes take too long, or too much.

        That is what a sweep is there to find out.
        """
        return not any(
            result.verdict.is_fault and result.verdict is not Verdict.TIMED_OUT
            for result in self.run.cells
        )

    def found(self) -> dict[str, Any]:
        """Return the ``sweep`` object: sizes, exponents and crossovers."""
        shapes = {r.cell.problem: (r.m, r.n) for r in self.run.cells if r.m is not None}
        content = {
            "schema": SCHEMA,
            "problem": self.plan.problem,
            "axis": self.plan.axis,
            "confidence": CONFIDENCE,
            "points": [
                {
                    "problem": point.problem,
                    "x": point.x,
                    "sizes": dict(point.sizes),
                    **dict(zip("mn", shapes.get(point.problem, (None, None)), strict=True)),
                }
                for point in self.plan.points
            ],
            "panels": [_panel(panel) for panel in self.panels],
        }
        safe: dict[str, Any] = json_safe(content)
        return safe

    def to_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints: the run under ``jacbench``, and the ``sweep`` object."""
        return {"jacbench": self.run.to_json(), "sweep": self.found()}


def outcome(run: Run, plan: Plan) -> Sweep:
    """Return what ``run`` shows of the sizes of ``plan``."""
    return Sweep(plan=plan, run=run, panels=tuple(map(_found, series.groups(run, plan))))


def _found(group: Group) -> Panel:
    return Panel(
        group=group,
        growths=tuple(map(_growth, group.series)),
        races=crossover.races(group.series),
    )


def _growth(one: Series) -> Growth:
    times, peaks = one.times, one.peaks
    return Growth(
        series=one,
        time=power_law([t.x for t in times], [t.log_s for t in times], [t.off for t in times]),
        memory=power_law([x for x, _ in peaks], [math.log(peak) for _, peak in peaks]),
    )


def _panel(panel: Panel) -> dict[str, Any]:
    group = panel.group
    return {
        "operator": group.operator,
        "device": group.device,
        "dtype": group.dtype,
        "threads": group.threads,
        "methods": [
            {
                "method": growth.series.method,
                "backend": growth.series.backend,
                "time": _fit(growth.time),
                "memory": _fit(growth.memory),
            }
            for growth in panel.growths
        ],
        "fastest": [_race(race) for race in panel.races],
    }


def _fit(fit: Fit | None) -> dict[str, Any] | None:
    if fit is None:
        return None
    return {
        "exponent": fit.exponent.estimate,
        "low": fit.exponent.low,
        "high": fit.exponent.high,
        "first": fit.first,
        "last": fit.last,
        "sizes": fit.sizes,
    }


def _race(race: Race) -> dict[str, Any]:
    return {
        "among": race.among or None,
        "reigns": [vars(reign) for reign in race.reigns],
        "crossovers": [_crossover(one) for one in race.crossovers],
    }


def _crossover(one: Crossover) -> dict[str, Any]:
    ends: Sequence[float | None] = (None, None, None)
    if one.at is not None:
        # 0 is beyond the smallest size, as infinity is beyond the largest.
        ends = (one.at.estimate, one.at.low or None, one.at.high)
    at, low, high = ends
    return {"below": one.below, "above": one.above, "at": at, "low": low, "high": high}
