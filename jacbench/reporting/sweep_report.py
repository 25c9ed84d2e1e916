"""What a sweep found, for a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from jacbench.core.cell import CellResult, Verdict
from jacbench.core.units import format_seconds
from jacbench.reporting.markup import printable
from jacbench.sweeping.crossover import Crossover, Race
from jacbench.sweeping.fit import Fit
from jacbench.sweeping.outcome import Growth, Panel, Sweep
from jacbench.sweeping.sizes import Plan

HERE = "on this machine"
"""What is true of every figure, and is said of each crossover."""


def terminal(found: Sweep, console: Console) -> RenderableType:
    """Return a table for each operator, device, dtype and number of threads, and who wins where."""
    parts: list[RenderableType] = []
    for panel in found.panels:
        parts.append(_fitting(found.plan, panel, console))
        parts += [Text(line, style="yellow") for line in gaps(panel)]
        parts += [Text(printable(line)) for line in winners(panel, found.plan)]
        parts += [Text(printable(line), style="dim") for line in reasons(panel, found.plan)]
        parts.append(Text())
    return Group(*parts, Text(legend(found.plan), style="dim"))


def legend(plan: Plan) -> str:
    """Return what the columns are."""
    return (
        "median time of one call at each size; time ~, memory ~: the p with which it grows as "
        f"{power(plan)} over the larger half of its sizes, ± its 95 % interval. Wins: nothing is "
        "told to be faster at these sizes. In italics: references, not ranked."
    )


def power(plan: Plan) -> str:
    """Return the law that is fitted: ``n^p``."""
    return f"({plan.axis})^p" if " " in plan.axis else f"{plan.axis}^p"


def title(plan: Plan, panel: Panel) -> str:
    """Return what a panel is of."""
    group = panel.group
    operator = "" if group.operator == "jacobian" else group.operator
    threads = f"{group.threads} thread{'s' * (group.threads > 1)}"
    parts = (plan.problem, plan.beside, operator, group.device, group.dtype, threads)
    return ", ".join(filter(None, parts))


def gaps(panel: Panel) -> list[str]:
    """Return a line where cells had no turn: what they would have taken is not known."""
    every = [result for growth in panel.growths for _, result in growth.series.results]
    without = sum(result.verdict is Verdict.NOT_RUN for result in every)
    if not without or not panel.races:
        return []
    return [f"{without} of {len(every)} cells had no turn: who wins is told of those that had"]


def winners(panel: Panel, plan: Plan) -> list[str]:
    """Return a line for each crossover; of a race without one, who wins it."""
    several = len(panel.races) > 1
    lines = [_race(race, plan, several=several) for race in panel.races]
    # Where all winners are of one library, its own race says nothing new.
    new = [
        own
        for own, race in zip(lines, panel.races, strict=True)
        if race is panel.races[0] or race.reigns != panel.races[0].reigns
    ]
    return [line for own in new for line in own]


def _race(race: Race, plan: Plan, *, several: bool) -> list[str]:
    among = f"within {race.among}: " if race.among else "of all methods: " if several else ""
    if not race.crossovers:
        (only,) = race.reigns
        sizes = f"{plan.axis} = {size(only.first)} to {size(only.last)}"
        return [f"{among}{only.method} is fastest, or not told from the fastest, {HERE}, {sizes}"]
    pairs = zip(race.reigns, race.crossovers, strict=False)
    return [f"{among}{told(one, plan.axis, reign.last)}" for reign, one in pairs]


def told(one: Crossover, axis: str, last: float) -> str:
    """Return a crossover in a line; ``last`` is the last size at which the first method reigns."""
    if one.at is None:
        return (
            f"{one.below} wins up to {axis} = {size(last)} {HERE}, and {one.above} from the next "
            "size; their times do not cross"
        )
    return (
        f"{one.below} wins below {axis} = {size(one.at.estimate)} ({between(one)}) {HERE}, "
        f"{one.above} above"
    )


def between(one: Crossover) -> str:
    """Return the interval of a crossover: ``95 %: 110 to 150``."""
    assert one.at is not None  # noqa: S101 - the caller has looked
    low, high = one.at.low, one.at.high
    smallest, largest = one.window
    start = size(low) if low > 0 else f"below {size(smallest)}"
    end = size(high) if math.isfinite(high) else f"above {size(largest)}"
    return f"95 %: {start} to {end}"


def size(x: float) -> str:
    """Return a size with three digits, a whole one with all of them."""
    if x == int(x) or x >= 1000:
        return f"{x:.0f}"
    return f"{x:.3g}"


def exponent(fit: Fit | None) -> str:
    """Return an exponent and the longer side of its interval: ``1.92 ± 0.07``."""
    if fit is None:
        return ""
    found = fit.exponent
    off = max(found.high - found.estimate, found.estimate - found.low)
    return f"{found.estimate:.2f} ± {off:.2f}"


def reasons(panel: Panel, plan: Plan) -> list[str]:
    """Return why methods have no time, and at which sizes: a line for each reason."""
    found: dict[tuple[str, str, tuple[float, ...]], list[str]] = {}
    for growth in panel.growths:
        by_verdict: dict[Verdict, list[tuple[float, CellResult]]] = {}
        for x, result in growth.series.results:
            if result.verdict is not Verdict.AGREES:
                by_verdict.setdefault(result.verdict, []).append((x, result))
        for verdict, pairs in by_verdict.items():
            # The first says it for all: the same words with other numbers follow.
            key = str(verdict), pairs[0][1].reason or "", tuple(x for x, _ in pairs)
            found.setdefault(key, []).append(growth.series.method)
    every = tuple(point.x for point in plan.points)
    return [
        f"{', '.join(methods)}: {verdict} {_where(xs, every, plan.axis)}"
        + (f": {reason}" if reason else "")
        for (verdict, reason, xs), methods in found.items()
    ]


def _where(xs: Sequence[float], every: Sequence[float], axis: str) -> str:
    if tuple(xs) == tuple(every):
        return "at every size"
    if len(xs) > 1 and tuple(xs) == tuple(every[-len(xs) :]):
        return f"from {axis} = {size(xs[0])}"
    return f"at {axis} = {', '.join(map(size, xs))}"


def ranked(panel: Panel) -> list[Growth]:
    """Return the methods with a time: by how far they come, then by the time there."""
    timed = [growth for growth in panel.growths if growth.series.times]
    return sorted(timed, key=lambda g: (-g.series.times[-1].x, g.series.times[-1].log_s))


def _fitting(plan: Plan, panel: Panel, console: Console) -> RenderableType:
    """Return the table with as many sizes, the last among them, as the console has room for."""
    unbounded = console.options.update(max_width=10_000)
    kept, memory = list(range(len(plan.points))), True
    table = _table(plan, panel, kept, memory=memory)
    while memory and console.measure(table, options=unbounded).maximum > console.width:
        memory = len(kept) > 1
        kept = kept[::-1][::2][::-1]
        table = _table(plan, panel, kept, memory=memory)
    return table


def _table(plan: Plan, panel: Panel, kept: Sequence[int], *, memory: bool) -> Table:
    table = Table(
        title=Text(printable(title(plan, panel))),
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
    )
    table.add_column("method", no_wrap=True)
    for i in kept:
        column = f"{plan.axis} = {size(plan.points[i].x)}"
        table.add_column(Text(printable(column)), justify="right", no_wrap=True)
    table.add_column("time ~", justify="right", no_wrap=True)
    if memory:
        table.add_column("memory ~", justify="right", no_wrap=True)
    for growth in ranked(panel):
        row = _row(growth, [plan.points[i].x for i in kept])
        style = "italic" if growth.series.oracle else None
        table.add_row(*(Text(printable(text)) for text in row[: len(table.columns)]), style=style)
    return table


def _row(growth: Growth, xs: Sequence[float]) -> list[str]:
    results = dict(growth.series.results)
    return [
        growth.series.method,
        *(_cell(results.get(x)) for x in xs),
        exponent(growth.time),
        exponent(growth.memory),
    ]


def _cell(result: CellResult | None) -> str:
    if result is None:
        return ""
    if result.verdict is not Verdict.AGREES:
        return str(result.verdict)
    return format_seconds(result.median_s)
