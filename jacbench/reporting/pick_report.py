"""An answer as a person reads it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jacbench.core.units import format_seconds
from jacbench.measuring.memory import format_size
from jacbench.picking.answer import Answer, Row
from jacbench.picking.candidate import SUMMARIES
from jacbench.reporting.markup import printable
from jacbench.structure.guard import share

HEAD = ("method", "time", "± 95 %", "x pick", "preparation", "pick pays from", "memory", "")
_RACED = ("picked", "equal", "open", "slower", "dropped")
_SAID = {"equal": "tied", "open": "too few rounds"}
ROUGH = 1.2
"""A ratio without an interval below which nobody is called faster."""
_STYLES = {"picked": "bold green", "equal": "green"}
_COMPILERS = {"torch": "Inductor"}
_SPENT = {
    "starting": "starting workers",
    "looking": "looking at the function",
    "checking": "preparing and checking",
    "racing": "racing",
    "compiling": "torch.compile",
    "measuring": "measuring",
    "memory": "memory",
}


def show(answer: Answer, console: Console) -> None:
    """Print all of it. Lines are not broken: what is to be pasted stays as it is."""

    def line(text: str = "", style: str = "") -> None:
        console.print(Text(text, style), soft_wrap=True, highlight=False)

    line(head(answer), "bold")
    line()
    for told in verdict(answer):
        line(f"  {printable(told)}")
    for form in _forms(answer):
        line()
        console.print(_table(answer, form))
    for told in starts(answer):
        line(told)
    for told in left_out(answer):
        line(told)
    for note in answer.notes:
        line(f"note: {printable(note)}")
    for form, lines in _codes(answer):
        line()
        line(f"To paste ({SUMMARIES[form]}):", "bold")
        line()
        for code in lines:
            line(f"    {printable(code)}".rstrip())
    line()
    line(spent(answer), "dim")


def head(answer: Answer) -> str:
    """Return the line that says of what, where and in what."""
    threads = f"{answer.threads} thread" + ("s" if answer.threads != 1 else "")
    return printable(
        f"{answer.name}: {answer.kind}, Jacobian {answer.m} x {answer.n}, {answer.dtype}, "
        f"{answer.device}, {threads}"
    )


def verdict(answer: Answer) -> Iterator[str]:
    """Yield the answer in a few lines: which, how fast, how much faster, how sure."""
    best = answer.best
    if answer.doubt:
        yield f"not confirmed: {answer.doubt}"
    yield f"{best.candidate.label}: {format_seconds(best.seconds)}{_margin(best)}{_guard(best)}"
    faster = _faster(answer)
    if faster is not None:
        yield faster
    for form, candidate in answer.picks.items():
        if form != answer.format:
            yield _other_form(answer, form, answer.row(candidate))
    if answer.equals:
        yield f"tied with {', '.join(candidate.label for candidate in answer.equals)}"
    if not answer.decided:
        yield _undecided(answer)
    error = best.result.error if best.result is not None else None
    accuracy = "" if error is None else f"error {error:.1g}; "
    yield f"{'held against' if answer.doubt else 'right'}: {accuracy}{answer.evidence}"


def _undecided(answer: Answer) -> str:
    """Say what was not measured for want of time, and how much more would do."""
    count = len(answer.unmeasured)
    methods = "method was" if count == 1 else "methods were"
    why = f"{count} {methods} not measured" if count else "the race was cut short"
    enough = "more" if answer.enough_s is None else f"{answer.enough_s:g}"
    return f"undecided: {why}: give --{answer.scarce}-limit {enough}"


def _margin(row: Row) -> str:
    result = row.result
    if result is None or result.median_s is None or result.low_s is None or result.high_s is None:
        return " (roughly)"
    half = max(result.high_s - result.median_s, result.median_s - result.low_s) / result.median_s
    return f" ± {100 * half:.2g} %"


def _guard(row: Row) -> str:
    """Return how much of each call goes into looking whether its structure still holds."""
    told = None if row.result is None else share(row.result.notes)
    return "" if told is None else f", {told}"


def _faster(answer: Answer) -> str | None:
    today = answer.today
    if today is None:
        return None
    picked = answer.picks.get(today.format)
    if answer.speedup is None or picked is None:
        row = answer.row(today)
        return f"{today.label}, as used today: {row.fate}: {row.reason or 'not measured'}"
    what = "that" if today.format == answer.format else picked.label
    if today == picked:
        return f"{what} is what you use today"
    own, ratio = "" if what == "that" else f"{what}: ", answer.speedup
    if math.isnan(ratio.low):
        return f"{own}{_roughly(ratio.estimate, today.label)} (from {_few(answer.pairs)})"
    ends = f" (95 %: {_times(ratio.low)} to {_times(ratio.high)})"
    if ratio.high < 1:
        return f"{own}{_times(1 / ratio.estimate)} slower than {today.label}{ends}"
    if ratio.low <= 1:
        return f"{own}tied with {today.label}, as used today{ends}"
    return f"{own}{_times(ratio.estimate)} faster than {today.label}{ends}"


def _roughly(ratio: float, today: str) -> str:
    """Return a ratio that has no interval, to the digits that it may have."""
    if ratio < ROUGH:
        return f"roughly as fast as {today}"
    told = f"{ratio:.1g}" if ratio >= 2 else f"{ratio:.2g}"
    return f"roughly {_times(float(told))} faster than {today}"


def _few(pairs: int) -> str:
    if not pairs:
        return "the first calls alone"
    return "1 pair" if pairs == 1 else f"{pairs} pairs"


def starts(answer: Answer) -> Iterator[str]:
    """Yield what a compiler took to start, which no preparation holds and every process pays."""
    by_library: dict[str, float] = {}
    for row in answer.rows:
        if row.start_s is not None and row.fate in _RACED:
            by_library[row.backend] = max(by_library.get(row.backend, 0.0), row.start_s)
    for backend, seconds in by_library.items():
        name = _COMPILERS.get(backend, f"the compiler of {backend}")
        yield f"{name}'s start, once per process: {format_seconds(seconds)}"


def _times(ratio: float) -> str:
    return f"{ratio:.3g} x" if ratio < 1000 else f"{ratio:,.0f} x"


def _other_form(answer: Answer, form: str, row: Row) -> str:
    told = f"{SUMMARIES[form]}: {row.candidate.label}: {format_seconds(row.seconds)}{_guard(row)}"
    dense = answer.picks.get("dense")
    if form == "dense" or dense is None:
        return told
    whole, own = answer.row(dense).seconds, row.seconds
    if not whole or not own or whole < own:
        return told
    return f"{told}, {_times(whole / own)} faster than all of it"


def _forms(answer: Answer) -> list[str]:
    raced = {row.candidate.format for row in answer.rows if row.fate in _RACED}
    return [form for form in SUMMARIES if form in raced]


def _table(answer: Answer, form: str) -> Table:
    rows = [r for r in answer.rows if r.candidate.format == form and r.fate in _RACED]
    rows.sort(key=lambda row: (row.fate != "picked", row.seconds or math.inf))
    measured = [(row, _cells(row)) for row in rows]
    kept = [i for i in range(len(HEAD)) if any(cells[i] for _, cells in measured)]
    table = Table(title=f"{form}: {SUMMARIES[form]}", box=SIMPLE_HEAD, title_justify="left")
    for i in kept:
        table.add_column(HEAD[i], justify="left" if i in (0, 7) else "right", no_wrap=i == 0)
    for row, cells in measured:
        table.add_row(*(cells[i] for i in kept), style=_STYLES.get(row.fate, ""))
    return table


def _cells(row: Row) -> tuple[str, ...]:
    result = row.result
    measured = result is not None and result.median_s is not None
    prepared = None if result is None else result.prepare_s
    peak = None if result is None else result.peak_bytes
    even = row.calls_to_break_even
    ratio = row.ratio.estimate if row.ratio is not None else None
    return (
        row.candidate.label,
        format_seconds(row.seconds),
        _margin(row).removeprefix(" ± ") if measured else "",
        "" if ratio is None or row.fate == "picked" else f"{ratio:.3g}",
        format_seconds(prepared),
        "" if even is None or even < 2 else f"{even:,.0f} calls",
        "" if peak is None else format_size(peak),
        _SAID.get(row.fate, row.fate),
    )


def left_out(answer: Answer) -> Iterator[str]:
    """Yield what was not raced, and why: the same reason once."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for row in answer.rows:
        if row.fate not in _RACED:
            reasons.setdefault((row.fate, row.reason or ""), []).append(row.candidate.label)
    for (fate, reason), names in reasons.items():
        yield printable(f"{fate}: {', '.join(names)}{f': {reason}' if reason else ''}")


def _codes(answer: Answer) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield the lines to paste, those of the format asked for first."""
    yield from sorted(answer.code.items(), key=lambda item: item[0] != answer.format)


def spent(answer: Answer) -> str:
    """Return one line: what the time went to."""
    counted = {name: s for name, s in answer.seconds.items() if s >= 0.05}
    whole = sum(answer.seconds.values())
    parts = [f"{seconds:.1f} s {_SPENT.get(name, name)}" for name, seconds in counted.items()]
    return f"{whole:.1f} s: {', '.join(parts)}"
