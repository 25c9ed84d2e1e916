"""Two results files, cell by cell: what became wrong, what vanished, what became slower.

The two were measured one after the other, and the machine had its own mood each time: the interval
of a ratio holds what the samples of each side show, and nothing of that. Hence ``jacbench gate``,
which runs both versions side by side in one job, and not this, decides whether a change made
something slower. Figures of different machines or settings are trends, and never a violation.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from jacbench.comparing import sides as comparable
from jacbench.comparing.cell_change import Outcome, Quantity, Row, change
from jacbench.comparing.sides import Entry, Side, Source
from jacbench.measuring import statistics
from jacbench.results import fingerprint
from jacbench.results.fingerprint import Differences
from jacbench.results.policy import DEFAULT, Policy

__all__ = ["Comparison", "Outcome", "Quantity", "Row", "compare"]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two runs, cell by cell.

    Attributes
    ----------
    base, new
        The two sides.
    differences
        Of their fingerprints.
    trend
        Why no time can be compared, ``other CPU``; None where they can.
    rows
        Of every cell of either side, what matters most first.
    notes
        What is worth knowing before reading them, a line each.
    """

    base: Side
    new: Side
    differences: Differences
    trend: str | None
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """False where a cell became wrong, or slower than the policy allows."""
        return not any(row.fails for row in self.rows)

    @property
    def counts(self) -> dict[Outcome, int]:
        """How many cells have which outcome, of those that any has."""
        found = Counter(row.outcome for row in self.rows)
        return {outcome: found[outcome] for outcome in Outcome if found[outcome]}


def compare(base: Source, new: Source, policy: Policy = DEFAULT) -> Comparison:
    """Compare two runs, or results files, cell by cell.

    Two runs on one machine still differ by what the machine did meanwhile, which no interval here
    knows: only ``jacbench gate``, which runs both versions side by side, decides for CI.

    Parameters
    ----------
    base, new
        Runs, or paths of files that ``jacbench run`` or pytest-benchmark wrote.
    policy
        What may change by how much.

    Raises
    ------
    JacbenchError
        One line where a file cannot be read or is no results file.
    """
    old, fresh = comparable.side(base), comparable.side(new)
    notes = _notes(old, fresh, one=comparable.same_file(base, new))
    if old.timed != fresh.timed:
        old, fresh = old.without_times(), fresh.without_times()
    found = fingerprint.differences(old.fingerprint, fresh.fingerprint)
    trend = _trend(found)
    keys = dict.fromkeys([*old.entries, *fresh.entries])
    pairs = [(old.entries.get(key), fresh.entries.get(key)) for key in keys]
    cells = [entry.cell for pair in pairs if (entry := pair[1] or pair[0])]
    rows = [
        change(one, other, policy.limits(cell), trend)
        for (one, other), cell in zip(pairs, cells, strict=True)
    ]
    return Comparison(
        base=old,
        new=fresh,
        differences=found,
        trend=trend,
        rows=tuple(sorted(_renamed(_believed(rows), pairs), key=_rank)),
        notes=(*notes, *policy.unused(cells)),
    )


def _believed(rows: Sequence[Row]) -> list[Row]:
    """Return the rows; of many cells, what some would show by chance is no change.

    Of those that are told slower or faster, one in twenty is by chance, and not one in twenty of
    all cells.
    """
    told = (Outcome.SLOWER, Outcome.FASTER)
    kinds = (*told, Outcome.SAME, Outcome.INCONCLUSIVE)
    chances = [r.time.chance for r in rows if r.outcome in kinds and r.time.chance is not None]
    limit = statistics.believed(chances)
    note = f"of {len(chances)} cells, some differ so much by chance"
    return [
        replace(
            row,
            outcome=Outcome.INCONCLUSIVE,
            time=replace(row.time, violated=False),
            notes=(*row.notes, note),
        )
        if row.outcome in told and (row.time.chance or 0.0) > limit
        else row
        for row in rows
    ]


def _renamed(rows: Sequence[Row], pairs: Sequence[tuple[Entry | None, Entry | None]]) -> list[Row]:
    """Return the rows; one that vanished says which new one has the same sources, if one has."""
    appeared: dict[tuple[object, ...], list[str]] = {}
    for base, new in pairs:
        if base is None and new is not None and (source := _source(new)):
            appeared.setdefault(source, []).append(new.name)
    return [
        replace(row, notes=(*row.notes, f"renamed? {names[0]} has the same sources"))
        if base is not None and new is None and len(names := appeared.get(_source(base), [])) == 1
        else row
        for row, (base, new) in zip(rows, pairs, strict=True)
    ]


def _source(entry: Entry) -> tuple[object, ...]:
    """Return what tells a cell whatever its problem is called; empty where it is not known."""
    result, cell = entry.result, entry.cell
    if result is None or result.problem_hash is None:
        return ()
    return (result.problem_hash, *(vars(cell)[part] for part in vars(cell) if part != "problem"))


def _notes(old: Side, fresh: Side, *, one: bool) -> list[str]:
    """Return what is worth knowing before reading any row."""
    notes = []
    if one:
        notes.append("base and new are one file: nothing can differ")
    elif not old.entries.keys() & fresh.entries.keys():
        kinds = " (one is a file of plain pytest-benchmark)" if old.plain != fresh.plain else ""
        notes.append(f"base and new have no cell in common{kinds}")
    for name, own, other in (("base", old, fresh), ("new", fresh, old)):
        if other.timed and not own.timed:
            notes.append(f"{name} has no times, as after a check: verdicts alone are compared")
    sides = (("base", old), ("new", fresh)) if not one else (("the file", old),)
    return notes + [f"{name} {note}" for name, side in sides for note in side.notes]


def _trend(found: Differences) -> str | None:
    """Return what keeps times from being compared; other versions are compared on purpose."""
    if found.machine:
        part = found.machine[0].partition(":")[0]
        return {"cpu": "other CPU", "gpus": "other GPU"}.get(part, "other machine")
    return "other settings" if found.settings else None


def _rank(row: Row) -> tuple[float, ...]:
    """Return the place of a row: by outcome, what is beyond a limit first, then by size."""
    ratio = row.time.ratio
    size = abs(math.log(ratio)) if ratio else 0.0
    order = list(Outcome).index(row.outcome)
    if row.beyond and row.outcome not in (Outcome.BECAME_WRONG, Outcome.ONLY_IN_BASE):
        order = list(Outcome).index(Outcome.SLOWER)
    return (order, not row.time.violated, not row.beyond, -size)
