"""A run that was cut off goes on: what its file has is kept, what it lacks is measured."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from jacbench import problems
from jacbench.backend import registry
from jacbench.core.cell import CellResult, Verdict
from jacbench.core.errors import JacbenchError
from jacbench.core.progress import Progress
from jacbench.results import fingerprint, source_hash
from jacbench.results.reader import read
from jacbench.results.run import Run
from jacbench.results.writer import Store
from jacbench.running import driver
from jacbench.running.settings import Settings

COMPLETE = "nothing is missing: every cell has its verdict, and its time if it agrees"
"""Said of a run that needs no going on."""


def resume(
    path: str | os.PathLike[str],
    what: Sequence[object],
    total_s: float | None,
    progress: Progress,
) -> Run:
    """Measure what the results file ``path`` lacks, and write it there.

    Raises
    ------
    JacbenchError
        One line where the file cannot be read, was measured elsewhere or with other versions, or
        where a problem or a method has been edited since.
    """
    if what:
        raise JacbenchError(
            "--resume takes the problems from its file: leave out the patterns, or the file"
        )
    before = read(path)
    who = f"results file {str(path)!r}"
    try:
        settings = Settings.from_json(before.options)
    except (TypeError, ValueError, AttributeError):
        settings = None
    if settings is None or not before.options or not settings.timed:
        raise JacbenchError(f"{who} does not say how it was measured: make it again")
    if complete(before):
        return replace(before, ending=COMPLETE, path=Path(path))
    for line in filter(None, (_elsewhere(before), _edited(before))):
        raise JacbenchError(f"{who} {line}: make it again with jacbench run")
    settings = replace(settings, total_s=total_s or settings.total_s)
    cells = [result.cell for result in before.cells]
    save = Store(Path(path).parent, settings.benchmark_options(), Path(path))
    return driver.drive(cells, settings, progress, save, before)


def complete(run: Run) -> bool:
    """Say whether every cell has its verdict, and all visits if it agrees."""
    visits = run.options.get("visits", 1)
    return not any(
        _lacks(result, len(run.visits.get(result.cell, ())), visits) for result in run.cells
    )


def _lacks(result: CellResult, had: int, visits: int) -> bool:
    return result.verdict is Verdict.NOT_RUN or (result.verdict is Verdict.AGREES and had < visits)


def _elsewhere(run: Run) -> str | None:
    """Return how the machine or a version differs from this one's, or None."""
    here = {"machine": fingerprint.machine(), "versions": fingerprint.versions()}
    found = fingerprint.differences(run.fingerprint, here)
    named = f"jacbench: {run.fingerprint.get('versions', {}).get('jacbench')} → "
    own = [line for line in found.other if line.startswith(named)]
    for line in (*found.machine, *found.versions, *own):
        return f"was measured elsewhere or with something else ({line})"
    return None


def _edited(run: Run) -> str | None:
    """Return which problem or method has another source now, or None."""
    for name, known in {(r.cell.problem, r.problem_hash) for r in run.cells}:
        if known is not None and source_hash.of_problem(problems.get(name)) != known:
            return f"has problem {name!r}, which has been edited since"
    for name, known in {(r.cell.method, r.method_hash) for r in run.cells}:
        if known is not None and source_hash.of_method(registry.method(name)) != known:
            return f"has method {name!r}, which has been edited since"
    return None
