"""The plot of a sweep: time and memory against size, both axes logarithmic."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jacbench.core.cell import Verdict
from jacbench.core.errors import JacbenchError
from jacbench.reporting import sweep_report
from jacbench.reporting.markup import printable
from jacbench.sweeping.outcome import Growth, Panel, Sweep
from jacbench.sweeping.series import Series
from jacbench.sweeping.sizes import Plan

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS = (".png", ".svg")
NAMED = 8
"""Methods that have a colour and a name; the others are grey."""
COLOURS = (
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7"),
    *("#e69f00", "#56b4e9", "#8c564b", "#332288"),
)
"""Told apart by colour-blind readers too: after M. Okabe and K. Ito, "Color universal design"."""
NARROW = 30
"""Axes whose ends are closer than this many times have labels between powers of ten."""
MARKERS = "osD^vPX<"
OTHERS = "#c8c8c8"
FLOOR = "#444444"


def check(file: Path) -> None:
    """Raise, before anything is computed, where no plot can be drawn into ``file``."""
    if file.suffix.lower() not in FORMATS:
        raise JacbenchError(f"--plot {str(file)!r}: give a file that ends in .png or .svg")
    if importlib.util.find_spec("matplotlib") is None:
        raise JacbenchError('--plot needs matplotlib: pip install "jacbench[plot]"')
    if not file.absolute().parent.is_dir():
        raise JacbenchError(
            f"--plot {str(file)!r} cannot be written: there is no such folder: choose another file"
        )


def draw(found: Sweep, file: Path) -> None:
    """Draw ``found`` into ``file``, PNG or SVG by its ending.

    Raises
    ------
    JacbenchError
        One line where the file cannot be written.
    """
    import matplotlib as mpl  # noqa: PLC0415 - only to draw
    from matplotlib.figure import Figure  # noqa: PLC0415

    # The same sweep gives the same SVG. Without pyplot, no window system is asked for.
    with mpl.rc_context({"svg.hashsalt": "jacbench", "font.size": 9, "axes.titlesize": 9}):
        rows = max(1, len(found.panels))
        figure = Figure(figsize=(11, 0.5 + 4.2 * rows), dpi=150, layout="constrained")
        grid = figure.subplots(rows, 2, squeeze=False)
        for row, panel in zip(grid, found.panels, strict=False):
            _panel(found.plan, panel, *row)
        kind = file.suffix.lower().removeprefix(".")
        try:
            figure.savefig(file, format=kind, metadata={"Date": None} if kind == "svg" else None)
        except OSError as exc:
            raise JacbenchError(
                f"--plot {str(file)!r} cannot be written: {exc.strerror or exc}: choose another "
                "file"
            ) from None


def _panel(plan: Plan, panel: Panel, left: Axes, right: Axes) -> None:
    styles = _styles(panel)
    for growth in reversed(sweep_report.ranked(panel)):
        style = styles.get(growth.series.method, {"color": OTHERS, "lw": 0.8, "zorder": 1})
        _times(left, growth, style)
        _peaks(right, growth, style)
    _crossovers(left, plan, panel)
    _label(left, plan, "time of one call", _seconds)
    _label(right, plan, "peak memory of one call", _bytes)
    left.set_title(_safe(sweep_report.title(plan, panel)), loc="left")
    _name(right, plan, panel, styles)


def _styles(panel: Panel) -> dict[str, dict[str, Any]]:
    """Return how the methods that matter most are drawn: references dashed, others in colour."""
    oracles = {growth.series.method for growth in panel.growths if growth.series.oracle}
    dashed = {"color": FLOOR, "lw": 1.2, "ls": "--", "zorder": 2}
    styles: dict[str, dict[str, Any]] = dict.fromkeys(sorted(oracles), dashed)
    for i, method in enumerate(leading(panel)):
        styles[method] = {
            "color": COLOURS[i],
            "marker": MARKERS[i],
            "ms": 4,
            "lw": 1.5,
            "zorder": 3,
        }
    return styles


def leading(panel: Panel) -> list[str]:
    """Return the methods to name, at most eight: who reigns anywhere, then the first to arrive."""
    reigning = [reign.method for race in panel.races for reign in race.reigns]
    arriving = [g.series.method for g in sweep_report.ranked(panel) if not g.series.oracle]
    return list(dict.fromkeys([*reigning, *arriving]))[:NAMED]


def _times(axes: Axes, growth: Growth, style: dict[str, Any]) -> None:
    kept = [(x, r) for x, r in growth.series.results if growth.series.at(x) is not None]
    xs = [x for x, _ in kept]
    axes.plot(xs, [r.median_s or 0.0 for _, r in kept], **style)
    if "marker" in style and all(r.low_s and r.high_s for _, r in kept):
        lows, highs = [r.low_s or 0.0 for _, r in kept], [r.high_s or 0.0 for _, r in kept]
        axes.fill_between(xs, lows, highs, color=style["color"], alpha=0.15, lw=0, zorder=2)
    if end := stopped(growth.series):
        x, y = xs[-1], kept[-1][1].median_s
        axes.annotate(
            _safe(end),
            (x, y or 0.0),
            xytext=(4, 3),
            textcoords="offset points",
            fontsize=6.5,
            color=style["color"],
            zorder=4,
        )


def stopped(series: Series) -> str:
    """Return why the line of ``series`` ends before the last size, '' where it does not."""
    if not series.times:
        return ""
    beyond = [result for x, result in series.results if x > series.times[-1].x]
    told = (Verdict.TOO_LARGE, Verdict.TIMED_OUT, Verdict.CRASHED, Verdict.FAILED)
    return next((str(result.verdict) for result in beyond if result.verdict in told), "")


def _peaks(axes: Axes, growth: Growth, style: dict[str, Any]) -> None:
    peaks = growth.series.peaks
    if not peaks:
        return
    axes.plot([x for x, _ in peaks], [peak for _, peak in peaks], **style)


def _crossovers(axes: Axes, plan: Plan, panel: Panel) -> None:
    """Mark where the fastest of all methods changes, and how sure that is."""
    for one in panel.races[0].crossovers if panel.races else ():
        if one.at is None:
            continue
        where = f"{plan.axis} = {sweep_report.size(one.at.estimate)}"
        low, high = max(one.at.low, one.window[0]), min(one.at.high, one.window[1])
        axes.axvspan(low, high, color="#000000", alpha=0.08, lw=0, zorder=0)
        axes.axvline(one.at.estimate, color="#000000", ls=":", lw=1, zorder=1)
        axes.annotate(
            f"{_safe(where)}\n{sweep_report.between(one)}",
            (one.at.estimate, 0.98),
            xycoords=("data", "axes fraction"),
            xytext=(-4, 0),
            textcoords="offset points",
            ha="right",
            va="top",
            fontsize=7,
        )


def _label(axes: Axes, plan: Plan, what: str, told: Callable[[float], str]) -> None:
    from matplotlib.ticker import (  # noqa: PLC0415
        FuncFormatter,
        LogLocator,
        NullFormatter,
        NullLocator,
    )

    xs = [point.x for point in plan.points]
    axes.set(xscale="log", yscale="log", xlabel=_safe(plan.axis), ylabel=what)
    # All sizes, so that a line that ends early is seen to.
    margin = (xs[-1] / xs[0]) ** 0.04
    axes.set_xlim(xs[0] / margin, xs[-1] * margin)
    # The sizes themselves, as many as can be read.
    axes.set_xticks(xs[:: -(-len(xs) // 10)])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: sweep_report.size(x)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.spines[["top", "right"]].set_visible(False)
    if not axes.lines:
        axes.yaxis.set_major_locator(NullLocator())
        axes.yaxis.set_minor_locator(NullLocator())
        axes.text(0.5, 0.5, "nothing to show", transform=axes.transAxes, ha="center")
        return
    low, high = axes.get_ylim()
    if high < NARROW * low:
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: told(y)))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(color="#e6e6e6", lw=0.6)
    axes.set_axisbelow(True)


def _seconds(seconds: float) -> str:
    """Return a tick in the unit that fits."""
    power = min(3, max(0, math.ceil(-math.log10(seconds) / 3 - 1e-9)))
    return f"{seconds * 1000**power:.3g} {('s', 'ms', 'µs', 'ns')[power]}"


def _bytes(count: float) -> str:
    """Return a decimal tick in decimal units."""
    power = min(4, max(0, math.floor(math.log10(count) / 3 + 1e-9))) if count >= 1 else 0
    return f"{count / 1000**power:.3g} {('B', 'kB', 'MB', 'GB', 'TB')[power]}"


def _name(axes: Axes, plan: Plan, panel: Panel, styles: dict[str, dict[str, Any]]) -> None:
    """Put the names beside a panel, in the order in which the lines end, slowest first."""
    from matplotlib.lines import Line2D  # noqa: PLC0415

    drawn = sweep_report.ranked(panel)
    if not drawn:
        return
    named = [growth for growth in drawn if growth.series.method in styles]
    lines = [Line2D([], [], **styles[growth.series.method]) for growth in reversed(named)]
    labels = [_entry(growth) for growth in reversed(named)]
    if rest := len(drawn) - len(named):
        lines.append(Line2D([], [], color=OTHERS, lw=0.8))
        labels.append(f"{rest} other{'s' * (rest > 1)}")
    axes.legend(
        lines,
        labels,
        loc="upper left",
        bbox_to_anchor=(1.02, 1.0),
        frameon=False,
        fontsize=7.5,
        title=_safe(f"slowest first; time ~ {sweep_report.power(plan)}"),
        title_fontsize=7.5,
        alignment="left",
    )


def _entry(growth: Growth) -> str:
    power = "" if growth.time is None else f"  (p = {growth.time.exponent.estimate:.2f})"
    return _safe(growth.series.method + power)


def _safe(text: str) -> str:
    """Return ``text`` as it is: a dollar sign would begin mathematics."""
    return printable(text).replace("$", r"\$")
