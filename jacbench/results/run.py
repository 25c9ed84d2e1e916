"""A run, and its results file: pytest-benchmark's format, with every cell and the fingerprint.

``results.schema.json`` beside this file describes the ``jacbench`` object.
"""

from __future__ import annotations

import math
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from jacbench.backend import registry
from jacbench.core.cell import FULLNAME, Cell, CellResult, Verdict
from jacbench.measuring import cautions, statistics
from jacbench.results import fingerprint

SCHEMA = 3
"""Version of the ``jacbench`` object; a reader refuses what is newer."""

ACTIVITIES = ("workers", "settling", "timing", "memory")
"""What a run's time is spent on, as far as it is no overhead of jacbench's own."""


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """One visit of a cell while its clock ran.

    Attributes
    ----------
    samples
        Seconds per call, one per round.
    iterations
        Calls per round; None where not known.
    cpu_s
        CPU time of the process over the number of calls, seconds.
    device_s
        Time of one call by the device's own events, seconds.
    """

    samples: Sequence[float]
    iterations: int | None = None
    cpu_s: float | None = None
    device_s: float | None = None


@dataclass
class Run:
    """Cells measured together, on one machine.

    Attributes
    ----------
    cells
        What became of each cell, in the order asked for.
    fingerprint
        The machine, the versions and the settings.
    absent
        Backends that were not there, and why.
    visits
        Seconds per call, one per round, a list for each visit; one list where visits are not
        known.
    interrupted
        True where the run was stopped before every cell had its turn.
    seconds
        What its time was spent on: ``wall``, of it ``workers`` (starting them), ``settling``
        (references, preparation, checks, first calls), ``timing`` (warm-up included), ``memory``,
        and ``other``, the harness's own overhead.
    options
        The :class:`~jacbench.running.settings.Settings` that it was made with.
    ending
        One line where a budget ended the run.
    path
        The results file, once written.
    """

    cells: list[CellResult]
    fingerprint: dict[str, Any]
    absent: dict[str, str] = field(default_factory=dict)
    visits: dict[Cell, list[list[float]]] = field(default_factory=dict)
    interrupted: bool = False
    seconds: dict[str, float] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    ending: str | None = None
    path: Path | None = None

    @property
    def samples(self) -> dict[Cell, list[float]]:
        """Seconds per call, one per round, over all visits."""
        return {cell: [s for visit in of for s in visit] for cell, of in self.visits.items()}

    @property
    def ok(self) -> bool:
        """True where no cell disagrees, failed, crashed or timed out."""
        return not any(result.verdict.is_fault for result in self.cells)

    def to_json(self) -> dict[str, Any]:
        """Return the ``jacbench`` object, what ``--json`` prints."""
        return {
            "schema": SCHEMA,
            "fingerprint": json_safe(self.fingerprint),
            "absent": self.absent,
            "interrupted": self.interrupted,
            "ending": self.ending,
            "seconds": json_safe(self.seconds),
            "options": json_safe(self.options),
            "cells": [json_safe(result.to_json()) for result in self.cells],
        }


def block(cells: Sequence[CellResult], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ``jacbench`` object for cells measured in this process."""
    return Run(list(cells), describe(settings), registry.absent()).to_json()


def describe(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fingerprint: machine, versions, settings of each backend's process, load."""
    return {
        "machine": fingerprint.machine(),
        "versions": fingerprint.versions(),
        "settings": dict(settings),
        "load": fingerprint.load(),
    }


def not_run(cells: Sequence[Cell]) -> Run:
    """Return the run of ``cells`` that an interrupt kept from their turn."""
    rows = [CellResult(cell=cell, verdict=Verdict.NOT_RUN, reason="interrupted") for cell in cells]
    return Run(rows, describe({}), registry.absent(), interrupted=True)


def joined(first: Run, second: Run) -> Run:
    """Return one run of the cells of both: those of workers, and those of this process."""
    settings = {
        "workers": first.fingerprint["settings"],
        "in_process": second.fingerprint["settings"],
    }
    return Run(
        [*first.cells, *second.cells],
        {**first.fingerprint, "settings": settings},
        first.absent,
        {**first.visits, **second.visits},
        first.interrupted or second.interrupted,
        added(first.seconds, second.seconds),
        first.options,
        first.ending or second.ending,
    )


def added(first: Mapping[str, float], second: Mapping[str, float]) -> dict[str, float]:
    """Return the sums of what two parts of a run spent."""
    return {name: first.get(name, 0.0) + second.get(name, 0.0) for name in {**first, **second}}


def accounted(wall: float, spent: Mapping[str, float]) -> dict[str, float]:
    """Return what ``wall`` seconds were spent on, the rest of them as ``other``."""
    parts = {name: spent.get(name, 0.0) for name in ACTIVITIES}
    other = max(0.0, wall - sum(parts.values()))
    found = {"wall": wall, **parts, "other": other}
    return {name: round(seconds, 3) for name, seconds in found.items()}


def json_safe(value: Any) -> Any:
    """Return ``value`` with NaN and infinities as None: JSON has neither."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): json_safe(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_safe(item) for item in value]
    return value


def document(run: Run, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the whole results file: readable by ``pytest-benchmark compare``."""
    from pytest_benchmark import __version__  # noqa: PLC0415 - only to write a file

    return {
        "machine_info": _machine_info(run.fingerprint["machine"]),
        "commit_info": _commit_info(),
        "benchmarks": [
            _benchmark(result, run.visits[result.cell], options)
            for result in run.cells
            if any(run.visits.get(result.cell, ()))
        ],
        "datetime": datetime.now(UTC).isoformat(),
        "version": __version__,
        "jacbench": run.to_json(),
    }


def _benchmark(
    result: CellResult, visits: Sequence[Sequence[float]], options: Mapping[str, Any]
) -> dict[str, Any]:
    from pytest_benchmark.stats import Stats  # noqa: PLC0415

    samples = [sample for visit in visits for sample in visit]
    stats = Stats()
    stats.data.extend(samples)
    name = f"test_cell[{result.cell.key}]"
    params = {key: str(value) for key, value in vars(result.cell).items()}
    row = {
        "group": result.cell.problem,
        "name": name,
        "fullname": FULLNAME + name,
        "params": params,
        "param": result.cell.key,
        "extra_info": {
            **result.extra_info(),
            "visit_rounds": [len(visit) for visit in visits if visit],
        },
        "options": dict(options),
        "stats": {
            **stats.as_dict(),
            "data": [float(f"{sample:.6g}") for sample in samples],
            "iterations": result.iterations,
        },
    }
    safe: dict[str, Any] = json_safe(row)
    return safe


def _machine_info(machine: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys that pytest-benchmark writes, without the host's name."""
    return {
        "processor": machine["cpu"],
        "machine": machine["architecture"],
        "python_implementation": machine["python_implementation"],
        "python_implementation_version": machine["python"],
        "python_version": machine["python"],
        "release": machine["release"],
        "system": machine["system"],
        "cpu": {"brand_raw": machine["cpu"], "count": machine["cores"]},
    }


def _commit_info() -> dict[str, Any]:
    """Return the commit of the folder that the run was started in; no branch, no author."""

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", *words], capture_output=True, text=True, check=True, timeout=10
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    commit = git("rev-parse", "HEAD")
    if commit is None:
        return {"id": "unversioned", "time": None, "dirty": False}
    return {
        "id": commit,
        "time": git("show", "-s", "--format=%cI", "HEAD"),
        "dirty": bool(git("status", "--porcelain", "--untracked-files=no")),
    }


def from_json(row: Mapping[str, Any]) -> CellResult:
    """Return what ``CellResult.to_json`` gave, after a passage through JSON."""
    return CellResult.from_json({**row, "cautions": tuple(row.get("cautions", ()))})


def untimed(result: CellResult) -> CellResult:
    """Return ``result`` without any figure of a time in steady state, and what is said of it."""
    return replace(
        result,
        median_s=None,
        low_s=None,
        high_s=None,
        iqr_s=None,
        cpu_s=None,
        device_s=None,
        visits=None,
        rounds=None,
        iterations=None,
        outliers={},
        cautions=cautions.without_own(result.cautions),
    )


def pooled(result: CellResult, stretches: Sequence[Stretch]) -> CellResult:
    """Return ``result`` with the median over all visits, how sure it is, and what to beware of."""
    kept = [stretch for stretch in stretches if len(stretch.samples)]
    if not kept:
        return result
    visits = [stretch.samples for stretch in kept]
    samples = np.concatenate([np.asarray(visit, dtype=np.float64) for visit in visits])
    interval = statistics.median_interval(visits)
    low_s, high_s = interval.ends
    first, third = np.quantile(samples, (0.25, 0.75))
    timed = replace(
        result,
        median_s=interval.estimate,
        low_s=low_s,
        high_s=high_s,
        iqr_s=float(third - first),
        cpu_s=_mean_per_call(kept),
        device_s=_median([s.device_s for s in kept if s.device_s is not None]),
        outliers=statistics.outliers(samples.tolist()),
        visits=len(kept),
        rounds=len(samples),
        iterations=kept[-1].iterations,
    )
    told = cautions.of(timed, mean_s=float(samples.mean()))
    return replace(timed, cautions=(*cautions.without_own(result.cautions), *told))


def _mean_per_call(stretches: Sequence[Stretch]) -> float | None:
    """Return the CPU time of one call over all stretches that know theirs, seconds."""
    known = [(s.cpu_s, len(s.samples) * (s.iterations or 1)) for s in stretches]
    timed = [(cpu_s, calls) for cpu_s, calls in known if cpu_s is not None]
    calls = sum(count for _, count in timed)
    return sum(cpu_s * count for cpu_s, count in timed) / calls if calls else None


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if values else None
