"""What each method took at each size of a sweep."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jacbench.backend import registry
from jacbench.core.cell import CellResult, Verdict
from jacbench.measuring import statistics
from jacbench.measuring.statistics import Floats
from jacbench.results.run import Run
from jacbench.sweeping.sizes import Plan


@dataclass(frozen=True, kw_only=True)
class Time:
    """What one call took at one size.

    Attributes
    ----------
    x
        Where the size lies on the axis of the sweep.
    log_s
        Logarithm of the median in seconds.
    off
        Draws of how far it may be off; zeros where the samples do not say.
    """

    x: float
    log_s: float
    off: Floats


@dataclass(frozen=True, kw_only=True)
class Series:
    """One method over all sizes.

    Attributes
    ----------
    method, backend
        By name.
    oracle
        True for references, which are shown and not ranked.
    results
        What became of each size, by x.
    times
        Of the sizes that have one, by x.
    """

    method: str
    backend: str
    oracle: bool
    results: tuple[tuple[float, CellResult], ...]
    times: tuple[Time, ...]

    def at(self, x: float) -> Time | None:
        """Return the time at ``x``, None where there is none."""
        return next((time for time in self.times if time.x == x), None)

    @property
    def peaks(self) -> list[tuple[float, int]]:
        """The peak memory of one call in bytes at each size where it is known and not 0."""
        return [
            (x, result.peak_bytes)
            for x, result in self.results
            if result.verdict is Verdict.AGREES and result.peak_bytes
        ]


@dataclass(frozen=True, kw_only=True)
class Group:
    """The methods of one operator, device, dtype and number of threads: what may be compared."""

    operator: str
    device: str
    dtype: str
    threads: int
    series: tuple[Series, ...]


def groups(run: Run, plan: Plan) -> tuple[Group, ...]:
    """Return what was measured, method by method and by size."""
    positions = {point.problem: point.x for point in plan.points}
    found: dict[tuple[str, str, str, int], dict[tuple[str, str], list[CellResult]]] = {}
    for result in run.cells:
        cell = result.cell
        key = cell.operator, cell.device, cell.dtype, cell.threads
        found.setdefault(key, {}).setdefault((cell.method, cell.backend), []).append(result)
    oracles = {name for name, descriptor in registry.descriptors().items() if descriptor.oracle}
    return tuple(
        Group(
            operator=operator,
            device=device,
            dtype=dtype,
            threads=threads,
            series=tuple(
                _series(run, method, backend, oracles, [(positions[r.cell.problem], r) for r in of])
                for (method, backend), of in methods.items()
            ),
        )
        for (operator, device, dtype, threads), methods in found.items()
    )


def _series(
    run: Run,
    method: str,
    backend: str,
    oracles: set[str],
    results: Sequence[tuple[float, CellResult]],
) -> Series:
    ordered = sorted(results, key=lambda pair: pair[0])
    return Series(
        method=method,
        backend=backend,
        oracle=backend in oracles,
        results=tuple(ordered),
        times=tuple(
            _time(x, result.median_s, run.visits.get(result.cell, ()))
            for x, result in ordered
            if result.verdict is Verdict.AGREES and result.median_s
        ),
    )


def _time(x: float, median_s: float, visits: Sequence[Sequence[float]]) -> Time:
    off = None
    if any(map(len, visits)):
        _, off = statistics.log_medians(visits)
    still = np.zeros(statistics.RESAMPLES)
    return Time(x=x, log_s=math.log(median_s), off=still if off is None else off)
