"""What the gate found, for a terminal, for a CI page, and as a results file."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from jacbench.core.units import format_seconds
from jacbench.gating.gate import GateRun
from jacbench.gating.outcome import Judged, Outcome, counted
from jacbench.measuring.statistics import Interval
from jacbench.reporting.markup import escaped, markdown_lines, printable

HEAD = ("outcome", "problem", "method", "base", "head", "head / base", "99 %", "preparation")

RULE = (
    "regression: the 99 % interval of head / base lies above 1.01 and the median above 1.03, and "
    "fresh workers say so again; pass: the interval lies below 1.05; else inconclusive, which does "
    "not fail. Preparation likewise with wider limits. Times are medians of a call, interleaved, "
    "without what was spent waiting for a core."
)
_STYLES = {
    Outcome.WRONG: "bold red",
    Outcome.REGRESSION: "bold red",
    Outcome.GONE: "yellow",
    Outcome.INCONCLUSIVE: "yellow",
    Outcome.IGNORED: "yellow",
    Outcome.RIGHT: "green",
    Outcome.FASTER: "green",
    Outcome.PASS: "green",
}


def ordered(run: GateRun) -> list[Judged]:
    """Return the cells by what matters: the worst first, among equals the largest ratio."""
    places = {outcome: place for place, outcome in enumerate(Outcome)}
    return sorted(
        run.judged,
        key=lambda one: (places[one.outcome], -(one.time.ratio.estimate if one.time else 0.0)),
    )


def headline(run: GateRun) -> str:
    """Return one line: pass or not, and how many cells have which outcome."""
    counts = counted(run.judged)
    told = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    state = "pass" if run.ok else "FAIL"
    if run.ok and counts.get(Outcome.INCONCLUSIVE):
        state = "nothing became wrong or slower, but not all could be decided"
    return f"{state}: {len(run.judged)} cells: {told or 'none'}"


def row(one: Judged) -> tuple[str, ...]:
    """Return a cell as text, in the order of :data:`HEAD`."""
    cell = one.cell
    named = [cell.problem, *([cell.operator] if cell.operator != "jacobian" else [])]
    named += [part for part in (cell.device, cell.dtype) if part not in ("cpu", "float64")]
    ratio = one.time.ratio if one.time else None
    return (
        str(one.outcome),
        ", ".join(named),
        cell.method,
        format_seconds(one.base_s),
        format_seconds(one.head_s),
        "" if ratio is None else f"{ratio.estimate:.3f}",
        "" if ratio is None else _ends(ratio),
        _preparation(one),
    )


def _ends(interval: Interval) -> str:
    return f"{interval.low:.3f} to {interval.high:.3f}"


def _preparation(one: Judged) -> str:
    if one.preparation is None:
        return ""
    return f"{format_seconds(one.head_prepare_s)} ({one.preparation.ratio.estimate:.3f})"


def notes(run: GateRun) -> list[str]:
    """Return what is to be known besides: reasons, cautions, what stopped it, what differs."""
    told = [] if run.stopped is None else [f"stopped: {run.stopped}"]
    told += [f"{one.cell.key}: {one.outcome}: {one.reason}" for one in ordered(run) if one.reason]
    cautions: dict[str, list[str]] = {}
    for one in run.judged:
        for caution in one.cautions:
            cautions.setdefault(caution.partition(":")[0], []).append(caution)
    told += [
        f"{found[0]}" + (f" (and {len(found) - 1} more cells)" if len(found) > 1 else "")
        for found in cautions.values()
    ]
    return told + [f"left out: {why}" for why in run.absent.values()]


def between(run: GateRun) -> list[str]:
    """Return what base and head are, and the versions that differ."""
    told = [f"{name}: {side.label}" for name, side in run.sides.items()]
    versions = {
        name: run.about.get(name, {}).get("fingerprint", {}).get("versions", {})
        for name in run.sides
    }
    base, head = versions["base"], versions["head"]
    told += [
        f"{name}: {base.get(name, 'absent')} -> {head.get(name, 'absent')}"
        for name in sorted({*base, *head})
        if base.get(name) != head.get(name)
    ]
    return told


def terminal(run: GateRun, console: Console) -> RenderableType:
    """Return the table, what is to be known besides, and the line that sums it up."""
    del console
    table = Table(box=SIMPLE_HEAD)
    for index, name in enumerate(HEAD):
        table.add_column(name, justify="left" if index < 3 else "right", overflow="fold")
    for one in ordered(run):
        texts = [Text(printable(text)) for text in row(one)]
        texts[0].stylize(_STYLES.get(one.outcome, "dim"))
        table.add_row(*texts)
    lines = [Text(printable(line)) for line in between(run)]
    below = [Text(printable(line)) for line in notes(run)]
    return Group(*lines, table, *below, Text(RULE, style="dim"), Text(), Text(headline(run)))


def markdown(run: GateRun) -> str:
    """Return the summary for the page of a CI job."""
    mark = "✅" if run.ok else "❌"
    told = [one for one in ordered(run) if one.outcome not in (Outcome.PASS, Outcome.NEITHER)]
    rest = [one for one in ordered(run) if one.outcome in (Outcome.PASS, Outcome.NEITHER)]
    parts = [f"### {mark} jacbench gate: {escaped(headline(run))}", ""]
    parts += [f"- {escaped(line)}" for line in between(run)]
    parts += [f"- {escaped(line)}" for line in notes(run)]
    if told:
        parts += ["", *_table(told)]
    if rest:
        counts = ", ".join(f"{count} {outcome}" for outcome, count in counted(rest).items())
        parts += ["", f"<details><summary>{counts}</summary>", ""]
        parts += [*_table(rest), "", "</details>"]
    minutes = f"{run.seconds / 60:.1f} min" if run.seconds >= 100 else f"{run.seconds:.0f} s"
    return "\n".join([*parts, "", f"<sub>{escaped(RULE)} The gate took {minutes}.</sub>", ""])


def _table(found: Sequence[Judged]) -> list[str]:
    return markdown_lines(HEAD, [row(one) for one in found], "---:")
