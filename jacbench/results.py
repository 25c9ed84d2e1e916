"""A run, and its results file: pytest-benchmark's format, with every cell and the fingerprint.

``results.schema.json`` beside this file describes the ``jacbench`` object.
"""

from __future__ import annotations

import math
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jacbench import fingerprint, selection
from jacbench.cell import Cell, CellResult, Verdict
from jacbench.suite import FULLNAME

SCHEMA = 2
"""Version of the ``jacbench`` object; a reader refuses what is newer."""


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
    samples
        Seconds per call, one per round, over all visits.
    interrupted
        True where the run was stopped before every cell had its turn.
    path
        The results file, once written.
    """

    cells: list[CellResult]
    fingerprint: dict[str, Any]
    absent: dict[str, str] = field(default_factory=dict)
    samples: dict[Cell, list[float]] = field(default_factory=dict)
    interrupted: bool = False
    path: Path | None = None

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
            "cells": [json_safe(result.to_json()) for result in self.cells],
        }


def block(cells: Sequence[CellResult], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ``jacbench`` object for cells measured in this process."""
    return Run(list(cells), describe(settings), selection.absent()).to_json()


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
    return Run(rows, describe({}), selection.absent(), interrupted=True)


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
        {**first.samples, **second.samples},
        first.interrupted or second.interrupted,
    )


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
            _benchmark(result, run.samples[result.cell], options)
            for result in run.cells
            if run.samples.get(result.cell)
        ],
        "datetime": datetime.now(UTC).isoformat(),
        "version": __version__,
        "jacbench": run.to_json(),
    }


def _benchmark(
    result: CellResult, samples: Sequence[float], options: Mapping[str, Any]
) -> dict[str, Any]:
    from pytest_benchmark.stats import Stats  # noqa: PLC0415

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
        "extra_info": result.extra_info(),
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


def pooled(result: CellResult, samples: Sequence[float], iterations: int | None) -> CellResult:
    """Return ``result`` with the median over all visits."""
    if not samples:
        return result
    quartiles = statistics.quantiles(samples, method="inclusive") if len(samples) > 1 else [0, 0, 0]
    return replace(
        result,
        median_s=statistics.median(samples),
        iqr_s=quartiles[2] - quartiles[0],
        rounds=len(samples),
        iterations=iterations,
    )
