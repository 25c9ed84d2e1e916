"""Write the tables of README.md and results/README.md anew from the files in results/.

    python -m benchmarks.pages

What stands between ``<!-- NAME -->`` and ``<!-- end of NAME -->`` is replaced; the rest is prose
and is left alone.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import pick_pages
from jacbench import read
from jacbench.reporting import run_table, selftest_report
from jacbench.reporting.markup import markdown_lines
from jacbench.results.run import Run

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results"
JACOBIANS = "cpu-amd-epyc-2-cores.json"
BENCH = "cpu-amd-epyc-2-cores-basics.json"
"""What ``make bench`` wrote: the table of the README."""
NETWORKS = "cpu-amd-epyc-2-cores-networks.json"
VERDICTS = "verdicts.json"
POWER = ("quiet", "busy")
"""The self-tests of the gate."""
SHOWN = "basics/mlp-weights"
"""The problem whose table the README shows, in float64."""


def overhead(name: str, arms: tuple[str, str], first: str, label: Callable[[Any], str]) -> str:
    """Return the table of one overhead benchmark: each ratio beside that of a call to itself."""
    rows = json.loads((RESULTS / f"overhead-{name}.json").read_text(encoding="utf-8"))["rows"]
    lines = [
        f"| {first} | without | ratio | 95 % | without / without | 95 % |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        ratio, itself = (row[arm] for arm in arms)
        figures = [
            f"{ratio['b_median_s'] * 1e6:.1f} µs",
            *(f(r) for r in (ratio, itself) for f in (_median, _interval)),
        ]
        lines.append(f"| {label(row)} | {' | '.join(figures)} |")
    return "\n".join(lines)


def _median(ratio: dict[str, float]) -> str:
    return f"{ratio['median']:.3f}"


def _interval(ratio: dict[str, float]) -> str:
    return f"{ratio['low']:.3f} to {ratio['high']:.3f}"


def xp_label(row: dict[str, Any]) -> str:
    """Name a row of the overhead of the namespace."""
    return f"{row['problem']}, {row['library']}" + ("" if row["judged"] else " (not judged)")


def readme_table(run: Run) -> str:
    """Return one table as a terminal shows it."""
    cells = [r for r in run.cells if (r.cell.problem, r.cell.dtype) == (SHOWN, "float64")]
    file = io.StringIO()
    console = Console(file=file, width=150)
    some = Run(cells, run.fingerprint, visits=run.visits)
    console.print(run_table.terminal(some, console, timed=True))
    text = file.getvalue().partition(run_table.LEGEND[:20])[0]
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return "\n".join(["```text", *lines, "```"])


def power(names: tuple[str, ...]) -> str:
    """Return false alarms and power of the gate, a column for each self-test."""
    found = [json.loads((RESULTS / f"power-{name}.json").read_text("utf-8")) for name in names]
    head = [f"{one['neighbours'] or 'no'} busy neighbours" for one in found]
    rates = [{(r["rule"], r["quantity"], r["injected"]): r for r in one["rates"]} for one in found]
    lines = [f"| | {' | '.join(head)} |", f"| --- |{' ---: |' * len(found)}"]
    for rule, quantity, injected in rates[0]:
        what = f"at +{100 * injected:.0f} %" if injected else "false alarms"
        flagged = [_flagged(of.get((rule, quantity, injected))) for of in rates]
        lines.append(f"| {rule}, {quantity}: {what} | {' | '.join(flagged)} |")
    return "\n".join(lines)


def _flagged(rate: dict[str, Any] | None) -> str:
    if rate is None:
        return ""
    share = 100 * rate["flagged"] / rate["pairs"]
    return (
        f"{rate['flagged']} of {rate['pairs']}: {share:.1f} % "
        f"({100 * abs(rate['low']):.1f} to {100 * rate['high']:.1f} %)"
    )


def power_notes(names: tuple[str, ...]) -> str:
    """Return what each self-test says besides its table."""
    found = [json.loads((RESULTS / f"power-{name}.json").read_text("utf-8")) for name in names]
    return "\n".join(f"- {' '.join(selftest_report.lines(one)[1:])}" for one in found)


def survival() -> str:
    """Return what became of a run with each fault in it."""
    found = json.loads((RESULTS / "survival.json").read_text(encoding="utf-8"))
    rows = [
        (
            row["fault"],
            row["verdict"],
            row["said"][:160],
            f"{row['kept']} of {row['others']}" if row["others"] else "",
            "" if row["seconds"] is None else f"{max(0.0, row['seconds']):.1f}",
        )
        for row in found["rows"]
    ]
    head = ("fault", "verdict", "what is said", "other cells kept", "seconds more")
    return "\n".join(markdown_lines(head, rows, "---"))


def growth() -> str:
    """Return what a further cell costs."""
    found = json.loads((RESULTS / "growth.json").read_text(encoding="utf-8"))
    cost, largest = found["seconds_per_cell"], found["rows"][-1]
    return (
        f"A further cell costs {1000 * cost['wall']:.0f} ms at {found['cell_seconds']:g} s of "
        f"timing asked for, of which {1000 * cost['other']:.1f} ms are jacbench's own; in the "
        f"largest run ({largest['cells']} cells, {largest['wall']:.0f} s) "
        f"{100 * found['share_measuring']:.0f} % of the time beyond the start of the workers was "
        f"spent measuring (timing, preparing, checking, peak memory), and "
        f"{100 * found['share_timing']:.0f} % of all of it timing."
    )


def fill(path: Path, **parts: str) -> None:
    """Replace the named parts of a page."""
    page = path.read_text(encoding="utf-8")
    for name, text in parts.items():
        begin, end = f"<!-- {name} -->\n", f"\n<!-- end of {name} -->"
        found = re.search(re.escape(begin) + ".*?" + re.escape(end), page, re.DOTALL)
        if found is None:
            raise SystemExit(f"{path.name} has no part {name!r}: put {begin.strip()} and its end")
        page = page[: found.start()] + begin + text + end + page[found.end() :]
    path.write_text(page, encoding="utf-8")


def main() -> None:
    """Write every page."""
    jacobians, networks = (read(RESULTS / name) for name in (JACOBIANS, NETWORKS))
    fill(ROOT / "README.md", table=readme_table(read(RESULTS / BENCH)), power=power(POWER))
    fill(
        RESULTS / "README.md",
        wrapper=overhead("wrapper", ("through", "itself"), "method", lambda row: row["method"]),
        xp=overhead("xp", ("overhead", "same"), "problem, library", xp_label),
        power=power(POWER),
        power_notes=power_notes(POWER),
        survival=survival(),
        growth=growth(),
        gate=(RESULTS / "gate-two-environments.md").read_text(encoding="utf-8").strip(),
        tables=run_table.markdown(jacobians).strip(),
    )
    fill(RESULTS / "networks.md", tables=run_table.markdown(networks).strip())
    fill(RESULTS / "pick.md", **pick_pages.parts())
    checked = read(RESULTS / VERDICTS)
    fill(RESULTS / "verdicts.md", verdicts=run_table.verdicts_markdown(checked).strip())


if __name__ == "__main__":
    main()
