"""One side of a comparison: what a run, a results file or a plain pytest-benchmark file holds."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from jacbench.core.cell import Cell, CellResult, Verdict
from jacbench.core.errors import JacbenchError
from jacbench.results import pytest_benchmark, reader
from jacbench.results.run import Run

Source = Run | str | os.PathLike[str]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One cell, or one benchmark of another project's, as far as it is compared.

    Attributes
    ----------
    name
        As shown: the cell's key, or the benchmark's full name.
    cell
        What a policy's patterns are held against; a plain benchmark has its name for the problem,
        and nothing else.
    result
        What became of the cell; None for a plain benchmark, of which nobody checked anything.
    visits
        Seconds per call, one per round, a sequence for each separate visit.
    median_s, iqr_s, rounds
        The time, where it may be shown: the cell agrees, or nobody checked.
    """

    name: str
    cell: Cell
    result: CellResult | None = None
    visits: tuple[tuple[float, ...], ...] = ()
    median_s: float | None = None
    iqr_s: float | None = None
    rounds: int | None = None

    @property
    def verdict(self) -> Verdict:
        """What became of the cell; a plain benchmark passes for one that agrees."""
        return Verdict.AGREES if self.result is None else self.result.verdict


@dataclass(frozen=True, kw_only=True)
class Side:
    """All that is compared of one side.

    Attributes
    ----------
    label
        The file as it was named, or ``a run``.
    plain
        True for a file of plain pytest-benchmark.
    entries
        By cell, or by the name of a benchmark.
    fingerprint
        The machine, the versions and the settings.
    commit
        Of the folder that the run was started in, ``4d57b27, uncommitted changes``.
    taken
        When, as the file says.
    notes
        What is worth knowing of this side, a line each.
    """

    label: str
    plain: bool
    entries: Mapping[Hashable, Entry]
    fingerprint: Mapping[str, Any]
    commit: str | None = None
    taken: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def timed(self) -> bool:
        """Say whether any cell has a time; in a check none has."""
        return any(entry.median_s is not None for entry in self.entries.values())

    def without_times(self) -> Side:
        """Return this side as a check would have left it."""
        entries = {
            key: replace(entry, visits=(), median_s=None, iqr_s=None, rounds=None)
            for key, entry in self.entries.items()
        }
        return replace(self, entries=entries)


def side(source: Source) -> Side:
    """Return what ``source``, a run or the path of a file, holds.

    Raises
    ------
    JacbenchError
        One line where a file cannot be read or is no results file.
    """
    if isinstance(source, Run):
        return _of_run(source, "a run" if source.path is None else str(source.path), {})
    content = pytest_benchmark.load(source)
    if pytest_benchmark.is_plain(content):
        return _of_plain(content, source)
    return _of_run(reader.read(source), str(source), content)


def _of_run(run: Run, label: str, content: Mapping[str, Any]) -> Side:
    visits = {**_visits_of_rows(content, label), **{c: v for c, v in run.visits.items() if v}}
    entries: dict[Hashable, Entry] = {}
    repeated = 0
    for result in run.cells:
        repeated += result.cell in entries
        entries.setdefault(result.cell, _entry(result, visits))
    notes = []
    left = sum(result.verdict is Verdict.NOT_RUN for result in run.cells)
    if run.interrupted or left:
        notes.append(f"stopped before its end: {left} of {len(run.cells)} cells not run")
    if repeated:
        notes.append(f"{repeated} cells stand in it twice: the first of each counts")
    if not any(result.problem_hash or result.method_hash for result in run.cells):
        notes.append("knows no sources: an edited problem or method would not be told")
    return Side(
        label=label,
        plain=False,
        entries=entries,
        fingerprint=run.fingerprint,
        commit=_commit(content),
        taken=_text(content.get("datetime")),
        notes=tuple(notes),
    )


def _entry(result: CellResult, visits: Mapping[Cell, Sequence[Sequence[float]]]) -> Entry:
    # A time is shown only for a Jacobian that agrees.
    if result.verdict is not Verdict.AGREES:
        return Entry(name=result.cell.key, cell=result.cell, result=result)
    return Entry(
        name=result.cell.key,
        cell=result.cell,
        result=result,
        visits=tuple(tuple(visit) for visit in visits.get(result.cell, ()) if visit),
        median_s=result.median_s,
        iqr_s=result.iqr_s,
        rounds=result.rounds,
    )


def _visits_of_rows(
    content: Mapping[str, Any], label: str
) -> dict[Cell, Sequence[Sequence[float]]]:
    """Return samples by cell from rows that are one visit each: ``pytest benchmarks/`` has those.

    Raises
    ------
    JacbenchError
        One line for a row that is not what pytest-benchmark writes.
    """
    found: dict[Cell, list[tuple[float, ...]]] = {}
    for row in pytest_benchmark.rows(content, label):
        parts = {part.name: row.extra.get(part.name) for part in fields(Cell)}
        threads = parts.pop("threads")
        if type(threads) is int and all(isinstance(part, str) for part in parts.values()):
            cell = Cell(**parts, threads=threads)  # type: ignore[arg-type] # just checked
            found.setdefault(cell, []).append(row.samples)
    return dict(found)


def _of_plain(content: Mapping[str, Any], path: str | os.PathLike[str]) -> Side:
    file = pytest_benchmark.parse(content, path)
    if not file.rows:
        raise JacbenchError(f"results file {str(path)!r} holds no benchmark: measure again")
    notes = [f"{name} stands in it more than once" for name in file.repeated]
    if not all(row.samples for row in file.rows.values()):
        notes.append("holds no samples: save them with --benchmark-save-data")
    return Side(
        label=str(path),
        plain=True,
        entries={name: _plain_entry(row) for name, row in file.rows.items()},
        fingerprint=file.fingerprint,
        commit=_commit(content),
        taken=_text(content.get("datetime")),
        notes=tuple(notes),
    )


def _plain_entry(row: pytest_benchmark.Row) -> Entry:
    return Entry(
        name=row.name,
        cell=Cell(row.name, "", "", "", "", "", 0),
        visits=(row.samples,) if row.samples else (),
        median_s=row.median_s,
        iqr_s=row.iqr_s,
        rounds=row.rounds,
    )


def _commit(content: Mapping[str, Any]) -> str | None:
    info = content.get("commit_info")
    found = _text(info.get("id")) if isinstance(info, dict) else None
    if found is None or found == "unversioned":
        return None
    return found[:12] + (", uncommitted changes" if info and info.get("dirty") is True else "")


def _text(value: Any) -> str | None:
    return value[:40] if isinstance(value, str) and value else None


def same_file(base: Source, new: Source) -> bool:
    """Say whether both are one file, or one run."""
    if isinstance(base, Run) or isinstance(new, Run):
        return base is new
    return Path(base).resolve() == Path(new).resolve()
