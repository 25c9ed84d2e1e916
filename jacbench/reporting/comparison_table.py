"""A comparison for a terminal, for a page and for a program.

``compare.schema.json`` beside this file describes the object that a program gets.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from jacbench.comparing.cell_change import Outcome, Row
from jacbench.comparing.comparison import Comparison
from jacbench.comparing.sides import Side
from jacbench.core.units import format_seconds
from jacbench.measuring.memory import format_size
from jacbench.reporting.markup import escaped, markdown_lines, printable
from jacbench.results.run import json_safe

SCHEMA = 1
"""Version of the object that :func:`to_json` returns."""

COLUMNS = ("outcome", "cell", "base", "new", "ratio", "95 % interval", "limit", "beyond")
DISPENSABLE = ("limit", "base", "95 % interval")
"""Columns that a narrow terminal does without, the first of them first."""
LONG = 300
"""Characters of a name or of a note that are shown."""

LEGEND = (
    "ratio: new over base, medians of all rounds; its 95 % interval: Welch's, from the medians of "
    "each side's visits; of the cells whose times are told to differ one in twenty does by chance; "
    "limit: the policy's; beyond: other figures that grew beyond theirs. The two runs had the "
    "machine at different times, which no interval knows: jacbench gate, which runs both versions "
    "side by side, decides for CI."
)

_NUMBER = re.compile(r"\d+(?:\.\d+)?")

_STYLES = {
    Outcome.BECAME_WRONG: "bold red",
    Outcome.ONLY_IN_BASE: "yellow",
    Outcome.SLOWER: "red",
    Outcome.EDITED: "yellow",
    Outcome.BECAME_RIGHT: "green",
    Outcome.FASTER: "green",
    Outcome.SAME: "dim",
    Outcome.NEITHER: "dim",
}


def terminal(comparison: Comparison, console: Console, *, every: bool) -> RenderableType:
    """Return the comparison for ``console``; ``every`` lists also what stayed the same."""
    rows = _listed(comparison, every=every)
    parts: list[RenderableType] = [Text(line) for line in head(comparison)]
    if rows:
        parts += [
            _fitting(rows, console),
            *map(Text, _notes(rows)),
            Text(LEGEND, style="dim"),
            Text(),
        ]
    parts.append(Text(summary(comparison, every=every)))
    return Group(*parts)


def _listed(comparison: Comparison, *, every: bool) -> list[Row]:
    return [row for row in comparison.rows if every or row.listed]


def head(comparison: Comparison) -> list[str]:
    """Return the lines above a table: the two sides, how they differ, what to know."""
    found = comparison.differences
    lines = [f"base: {_side(comparison.base)}", f"new: {_side(comparison.new)}"]
    for kind in ("machine", "settings", "versions", "other"):
        lines += [
            f"{kind} differ{'s' * (kind == 'machine')}: {line}" for line in getattr(found, kind)
        ]
    if comparison.trend is not None:
        lines.append(f"times are trends, and no violation: {comparison.trend}")
    return [_shown(line) for line in (*lines, *comparison.notes)]


def _side(side: Side) -> str:
    return ", ".join(filter(None, (side.label, side.commit, side.taken)))


def _fitting(rows: Sequence[Row], console: Console) -> RenderableType:
    """Return the table with as many columns as the console has room for."""
    kept = list(COLUMNS)
    unbounded = console.options.update(max_width=10_000)
    for spare in DISPENSABLE:
        if console.measure(_table(rows, kept), options=unbounded).maximum <= console.width:
            break
        kept.remove(spare)
    return _table(rows, kept)


def _table(rows: Sequence[Row], kept: Sequence[str]) -> Table:
    table = Table(box=SIMPLE_HEAD)
    for name in kept:
        text = name in ("outcome", "cell", "beyond")
        table.add_column(
            name, justify="left" if text else "right", no_wrap=not text, overflow="fold"
        )
    for row in rows:
        named = dict(zip(COLUMNS, _cells(row), strict=True))
        style = _STYLES.get(row.outcome, "")
        table.add_row(
            *(Text(named[name], style=style if name == "outcome" else "") for name in kept)
        )
    return table


def _notes(rows: Sequence[Row]) -> list[str]:
    """Return the notes, those alike but for their numbers once; then what grew beyond a limit."""
    alike: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        for note in row.notes:
            alike.setdefault(_NUMBER.sub("#", note), []).append((row.name, note))
    told = []
    for (name, note), *others in alike.values():
        more = f" ({len(others)} more likewise)" if others else ""
        told.append(f"{_shown(f'{name}: {note}')}{more}")
    return told + [_shown(f"{row.name}: {', '.join(_beyond(row))}") for row in rows if _beyond(row)]


def _cells(row: Row) -> tuple[str, ...]:
    time = row.time
    outcome = f"{row.outcome} (ignored)" if row.ignored else str(row.outcome)
    return (
        outcome,
        _shown(row.name),
        format_seconds(time.base),
        format_seconds(time.new),
        _ratio(row),
        "" if time.low is None or time.high is None else f"{time.low:.2f} to {time.high:.2f}",
        f"{time.limit:g}" if time.ratio is not None and row.trend is None else "",
        ", ".join(name for name in row.beyond if name != "time"),
    )


def _ratio(row: Row) -> str:
    """Return the ratio of the times; where they cannot be compared, as the trend that it is."""
    if row.time.ratio is None:
        return ""
    if row.trend is None:
        return f"{row.time.ratio:.2f}"
    return f"trend: {row.time.ratio:.2f} x, {_shown(row.trend)}"


def _beyond(row: Row) -> list[str]:
    """Return what grew beyond its limit besides the time: from what to what, and the limit."""
    others = {"preparation": row.preparation, "memory": row.memory, "error": row.error}
    return [
        f"{name} {_figure(name, quantity.base)} → {_figure(name, quantity.new)}, "
        f"limit x {quantity.limit:g}"
        for name, quantity in others.items()
        if quantity.violated
    ]


def _figure(name: str, value: float | None) -> str:
    if value is None:
        return ""
    if name == "preparation":
        return format_seconds(value)
    return format_size(int(value)) if name == "memory" else f"{value:.1e}"


def summary(comparison: Comparison, *, every: bool = False) -> str:
    """Return one line: how many cells have which outcome."""
    counts = comparison.counts
    told = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    hidden = len(comparison.rows) - len(_listed(comparison, every=every))
    more = f" ({hidden} of them not listed: --all)" if hidden else ""
    return f"{len(comparison.rows)} cells: {told or 'none'}{more}"


def markdown(comparison: Comparison, *, every: bool = False) -> str:
    """Return the comparison as Markdown; no name in a file can be markup."""
    rows = _listed(comparison, every=every)
    parts = ["\n".join(f"- {escaped(line)}" for line in head(comparison))]
    if rows:
        parts.append("\n".join(markdown_lines(COLUMNS, map(_cells, rows), "---:")))
        if notes := _notes(rows):
            parts.append("\n".join(f"- {escaped(note)}" for note in notes))
        parts.append(escaped(LEGEND))
    parts.append(escaped(summary(comparison, every=every)))
    return "\n\n".join(parts) + "\n"


def _shown(text: str) -> str:
    """Return ``text`` in one line without control characters, no longer than a person reads."""
    line = printable(text)
    return line if len(line) <= LONG else f"{line[:LONG]}…"


def to_json(comparison: Comparison) -> dict[str, Any]:
    """Return the whole comparison as one object; ``compare.schema.json`` describes it."""
    counts = comparison.counts
    found: dict[str, Any] = json_safe(
        {
            "schema": SCHEMA,
            "ok": comparison.ok,
            "base": _side_json(comparison.base),
            "new": _side_json(comparison.new),
            "differences": asdict(comparison.differences),
            "trend": comparison.trend,
            "notes": comparison.notes,
            "counts": {str(outcome): counts.get(outcome, 0) for outcome in Outcome},
            "rows": [_row_json(row) for row in comparison.rows],
        }
    )
    return found


def _side_json(side: Side) -> dict[str, Any]:
    return {
        # The name alone: people share these files.
        "file": Path(side.label).name,
        "kind": "pytest-benchmark" if side.plain else "jacbench",
        "commit": side.commit,
        "taken": side.taken,
        "fingerprint": side.fingerprint,
    }


def _row_json(row: Row) -> dict[str, Any]:
    content = asdict(row)
    verdicts = {key: content[key] and str(content[key]) for key in ("base_verdict", "new_verdict")}
    own = {"outcome": str(row.outcome), "fails": row.fails, "beyond": row.beyond}
    return {**content, **verdicts, **own}
