"""Tables for a terminal and for a page: per problem, methods by median time."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from jacbench.backend import registry
from jacbench.core.cell import CellResult, Verdict
from jacbench.core.units import format_seconds, three
from jacbench.measuring import cautions
from jacbench.measuring.memory import format_size
from jacbench.reporting import verdict_counts
from jacbench.reporting.markup import escaped, markdown_lines, printable
from jacbench.results.run import Run

FLOOR = "numpy.analytic"
"""What begins the names of the hand-written Jacobian, one for each operator: not ranked."""
MANY = 12
"""Tables of a check beyond which only the verdicts are counted."""

INTERVAL = "± 95 %"
COLUMNS = (
    *("method", "median", INTERVAL, "x fastest", "x floor"),
    *("prepare", "first call", "peak", "error"),
)
UNTIMED = ("method", "error")
"""Columns of a check."""
DISPENSABLE = ("peak", "first call", "x floor", "prepare", INTERVAL)
"""Columns that a narrow terminal does without, the first of them first."""

LEGEND = (
    "median: one call in steady state; ± 95 %: its confidence interval; x fastest: over the "
    "fastest contestant; x floor: over the hand-written one; prepare: trace and compile; peak: "
    "memory of one call; error: ‖J-R‖/‖R‖. In italics: references, not ranked."
)


@dataclass(frozen=True)
class Row:
    """One cell as text; ``ranked`` is False for references and oracles."""

    cells: tuple[str, ...]
    verdict: Verdict
    reason: str
    ranked: bool


def rows(results: Sequence[CellResult]) -> list[Row]:
    """Return the rows of one problem, device and dtype: ranked, then oracles, then the rest."""
    oracles = {
        info.name
        for descriptor in registry.descriptors().values()
        if descriptor.oracle
        for info in descriptor.methods
    }
    results = [_without_time(r) if r.verdict is not Verdict.AGREES else r for r in results]
    timed = [r for r in results if r.median_s is not None]
    contestants = [r for r in timed if r.cell.method not in oracles]
    fastest = min((r.median_s for r in contestants if r.median_s), default=None)
    floor = next((r.median_s for r in timed if r.cell.method.startswith(FLOOR)), None)

    def rank(result: CellResult) -> tuple[bool, bool, float]:
        return (
            result.median_s is None and result.verdict is not Verdict.AGREES,
            result.cell.method in oracles,
            result.median_s or 0.0,
        )

    return [
        _row(r, fastest, floor, r.cell.method not in oracles) for r in sorted(results, key=rank)
    ]


def _without_time(result: CellResult) -> CellResult:
    """Return ``result`` without a time: one is shown only for a Jacobian that agrees."""
    return replace(result, median_s=None, low_s=None, high_s=None, cautions=())


def _row(result: CellResult, fastest: float | None, floor: float | None, ranked: bool) -> Row:
    median = result.median_s
    return Row(
        cells=(
            result.cell.method + (" (floor)" if result.cell.method.startswith(FLOOR) else ""),
            format_seconds(median),
            _interval(result),
            _ratio(median, fastest) if ranked else "",
            _ratio(median, floor),
            format_seconds(result.prepare_s),
            format_seconds(result.first_call_s),
            "" if result.peak_bytes is None else format_size(result.peak_bytes),
            "" if result.error is None else f"{result.error:.1e}",
        ),
        verdict=result.verdict,
        reason=_reason(result),
        ranked=ranked,
    )


def _reason(result: CellResult) -> str:
    if result.verdict is Verdict.AGREES:
        return str(result.notes.get("fell_back", ""))
    return result.reason or ""


def _ratio(median: float | None, base: float | None) -> str:
    if not median or not base:
        return ""
    return f"{three(median / base)}"


SKEWED = 2.0
"""An interval is shown by both of its sides where one is this many times as long as the other."""


def _interval(result: CellResult) -> str:
    """Return half the width of the interval in percent of the median, or both sides of it."""
    median, low, high = result.median_s, result.low_s, result.high_s
    if not median or low is None or high is None:
        return ""
    below, above = 100 * (median - low) / median, 100 * (high - median) / median
    longer, shorter = max(below, above), min(below, above)
    if longer > SKEWED * shorter and longer >= 1:
        return f"-{_digit(below)}/+{_digit(above)} %"
    return f"{_digit((below + above) / 2)} %"


def _digit(percent: float) -> str:
    return f"{percent:.1f}" if percent < 9.95 else f"{percent:.0f}"


def groups(run: Run) -> list[tuple[str, list[CellResult]]]:
    """Return titled groups: one for each problem, operator, device, dtype, number of threads."""

    def place(result: CellResult) -> tuple[str, str, str, str, int]:
        cell = result.cell
        return cell.problem, cell.operator, cell.device, cell.dtype, cell.threads

    order = {key: i for i, key in enumerate(dict.fromkeys(map(place, run.cells)))}
    ordered = sorted(run.cells, key=lambda result: order[place(result)])
    return [
        (_title(list(members)), members)
        for members in (list(g) for _, g in itertools.groupby(ordered, key=place))
    ]


def _title(results: Sequence[CellResult]) -> str:
    cell = results[0].cell
    shape = next((f"{r.m} x {r.n}" for r in results if r.m is not None), "")
    threads = f"{cell.threads} thread{'s' * (cell.threads > 1)}"
    operator = "" if cell.operator == "jacobian" else cell.operator
    parts = (cell.problem, operator, shape, cell.device, cell.dtype, threads)
    return ", ".join(filter(None, parts))


_STYLES = {
    Verdict.AGREES: "green",
    Verdict.UNSUPPORTED: "dim",
    Verdict.NOT_RUN: "dim",
    Verdict.TOO_LARGE: "yellow",
    Verdict.KNOWN_FAULT: "yellow",
}


def terminal(run: Run, console: Console, *, timed: bool) -> RenderableType:
    """Return the tables of ``run`` for ``console``; without times where nothing was timed."""
    parts: list[RenderableType] = []
    shown = groups(run)
    if not timed and len(shown) > MANY:
        return Group(*_overview(run))
    for title, results in shown:
        body = rows(results)
        parts.append(_fitting(title, body, console, COLUMNS if timed else UNTIMED))
        # Text, not markup: a reason is shown as it is.
        parts += [
            Text(printable(f"{row.cells[0]}: {row.verdict}: {row.reason}"))
            for row in body
            if row.reason
        ]
        parts += [Text(printable(line), style="yellow") for line in cautions.grouped(results)]
        parts += _zero_columns(results)
        parts.append(Text())
    if len({result.cell.operator for result in run.cells}) > 1:
        parts += _overview(run)[:1]
    if timed:
        parts.append(Text(LEGEND, style="dim"))
        parts += [Text(), _glance_table(run)]
    return Group(*parts)


def _zero_columns(results: Sequence[CellResult]) -> list[RenderableType]:
    """Return the line that names inputs which nothing depends on."""
    named = [r.notes["zero_columns"] for r in results if r.notes.get("zero_columns")]
    if not named:
        return []
    told = f"{', '.join(map(str, named[0]))} has no effect on the output: its columns are zero"
    return [Text(printable(told), style="dim")]


def _overview(run: Run) -> list[RenderableType]:
    """Return the count of verdicts, then every reason once with the cells that have it."""
    head, body = verdict_counts.counted(run)
    table = Table(title="verdicts", title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    for name in head:
        table.add_column(Text(printable(name)), overflow="fold")
    last = ""
    for name, *row in body:
        table.add_row(*(Text(printable(text)) for text in ("" if name == last else name, *row)))
        last = name
    parts: list[RenderableType] = [table]
    for reason in verdict_counts.reasons(run):
        style = _STYLES.get(reason.verdict, "bold red")
        parts.append(Text(printable(f"{reason.verdict}: {reason.text}"), style=style))
        parts += [Text(printable(f"    {where}")) for where in reason.where]
    return [*parts, Text()]


def glance(run: Run) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return head and rows of the fastest method of each library, one row for each group."""
    oracles = [d.name for d in registry.descriptors().values() if d.oracle]
    backends = list(dict.fromkeys(result.cell.backend for result in run.cells))
    ranked = [name for name in backends if name not in oracles]
    body = []
    for title, results in groups(run):
        agreed = [r for r in results if r.verdict is Verdict.AGREES and r.median_s is not None]
        best = [_fastest([r for r in agreed if r.cell.backend == name]) for name in ranked]
        floor = _fastest([r for r in agreed if r.cell.method.startswith(FLOOR)])
        first = _fastest([r for r in agreed if r.cell.backend in ranked])
        cells = [_named(r, first) for r in best]
        body.append((title, *cells, "" if floor is None else format_seconds(floor.median_s)))
    return ("fastest of each library", *ranked, "floor"), body


def _fastest(results: Sequence[CellResult]) -> CellResult | None:
    return min(results, key=lambda result: result.median_s or 0.0, default=None)


def _named(result: CellResult | None, first: CellResult | None) -> str:
    if result is None or first is None:
        return ""
    short = result.cell.method.removeprefix(f"{result.cell.backend}.")
    ratio = "fastest" if result is first else f"x {_ratio(result.median_s, first.median_s)}"
    return f"{short} {format_seconds(result.median_s)} ({ratio})"


def _glance_table(run: Run) -> Table:
    head, body = glance(run)
    table = Table(box=SIMPLE_HEAD)
    for name in head:
        table.add_column(Text(printable(name)), overflow="fold")
    for row in body:
        table.add_row(*(Text(printable(text)) for text in row))
    return table


def _fitting(
    title: str, body: Sequence[Row], console: Console, columns: Sequence[str]
) -> RenderableType:
    """Return the table with as many columns as the console has room for."""
    # A file from before intervals were kept has none: a column of nothing says nothing.
    places = {name: COLUMNS.index(name) for name in columns}
    kept = [n for n in columns if n != INTERVAL or any(row.cells[places[n]] for row in body)]
    table = _table(title, body, kept)
    unbounded = console.options.update(max_width=10_000)
    for spare in DISPENSABLE:
        if console.measure(table, options=unbounded).maximum <= console.width:
            break
        kept = [name for name in kept if name != spare]
        table = _table(title, body, kept)
    return table


def _table(title: str, body: Iterable[Row], kept: Sequence[str]) -> Table:
    table = Table(
        title=Text(printable(title)), title_justify="left", title_style="bold", box=SIMPLE_HEAD
    )
    for name in kept:
        table.add_column(name, justify="left" if name == "method" else "right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for row in body:
        named = dict(zip(COLUMNS, row.cells, strict=True))
        table.add_row(
            *(Text(printable(named[name])) for name in kept),
            Text(row.verdict, style=_STYLES.get(row.verdict, "bold red")),
            style=None if row.ranked else "italic",
        )
    return table


def markdown(run: Run) -> str:
    """Return the tables of ``run`` as Markdown: the fastest of each library first."""
    head, body = glance(run)
    parts = ["\n".join(["### At a glance", "", *markdown_lines(head, body, "---")])]
    for title, results in groups(run):
        told = [
            (*row.cells, f"{row.verdict}: {row.reason}" if row.reason else str(row.verdict))
            for row in rows(results)
        ]
        lines = markdown_lines((*COLUMNS, "verdict"), told, "---:")
        for line in cautions.grouped(results):
            lines += ["", escaped(line)]
        parts.append("\n".join([f"### {escaped(title)}", "", *lines]))
    return "\n\n".join(parts) + "\n"


def verdicts_markdown(run: Run) -> str:
    """Return the count of verdicts and every reason, with the cells that have it, as Markdown."""
    head, body = verdict_counts.counted(run)
    lines = markdown_lines(head, body, "---")
    for reason in verdict_counts.reasons(run):
        lines += ["", f"**{reason.verdict}**: {escaped(reason.text)}", ""]
        lines += [f"- {escaped(where)}" for where in reason.where]
    return "\n".join(lines) + "\n"


def summary(run: Run) -> str:
    """Return one line: how many cells have which verdict."""
    counts = dict.fromkeys(Verdict, 0)
    for result in run.cells:
        counts[result.verdict] += 1
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    return f"{len(run.cells)} cells: {told or 'none'}"


_SPENT = {
    "timing": "timing",
    "settling": "preparing and checking",
    "workers": "starting workers",
    "memory": "memory",
    "other": "jacbench's own",
}


def spent(run: Run) -> str:
    """Return one line: what the run's time was spent on; '' where that is not known."""
    if "wall" not in run.seconds:
        return ""
    parts = [
        f"{_whole(run.seconds[name])} {words}"
        for name, words in _SPENT.items()
        if run.seconds.get(name, 0.0) > 0
    ]
    return ": ".join(filter(None, (_whole(run.seconds["wall"]), ", ".join(parts))))


def _whole(seconds: float) -> str:
    """Return a duration as people say it: ``3 min 20 s``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 119.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"
