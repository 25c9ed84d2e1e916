"""How the time of a run grows with its cells, and what it is spent on.

Runs of more and more problems, in random order and each repeated; of each the wall time and what
jacbench itself says that it was spent on. The slope of what is neither timing, preparing and
checking, nor measuring memory is the overhead of a cell.

    python benchmarks/growth.py [--repeats 2] [--json FILE] [--plot FILE.svg]
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path
from typing import Any

import numpy as np
import provenance
from rich.console import Console
from rich.table import Table

import jacbench

PROBLEMS = (
    *("basics/mlp-weights", "basics/linear-sum", "basics/linear-sum-by-z"),
    *("basics/shifted-square", "basics/logistic-loss", "basics/generator"),
)
METHODS = ("torch.func.jac*", "torch.*loop", "torch.vmap-*", "jax.jac*", "autograd.*", "numpy.*")
PARTS = ("timing", "settling", "memory", "workers", "other")
LABELS = {
    "timing": "timing",
    "settling": "preparing and checking",
    "memory": "peak memory",
    "workers": "starting workers",
    "other": "jacbench's own",
}


def measured(count: int, budget_s: float) -> dict[str, Any]:
    """Run the first ``count`` problems; return cells, visits and seconds."""
    chosen = PROBLEMS[:count]
    run = jacbench.run(*chosen, methods=METHODS, operators=["jacobian"], budget_s=budget_s)
    timed = sum(result.median_s is not None for result in run.cells)
    return {"problems": count, "cells": len(run.cells), "timed": timed, **run.seconds}


def slope(rows: list[dict[str, Any]], part: str) -> float:
    """Return the seconds of ``part`` that each further cell costs, by least squares."""
    cells = np.array([row["cells"] for row in rows], dtype=float)
    seconds = np.array([row[part] for row in rows], dtype=float)
    return float(np.polyfit(cells, seconds, 1)[0])


def shares(rows: list[dict[str, Any]]) -> float:
    """Return the share of the wall time beyond the workers' start that is spent measuring.

    Measuring is what a figure comes out of: timing, preparation, first calls and their check, peak
    memory.
    """
    largest = rows[-1]
    measuring = sum(largest[part] for part in ("timing", "settling", "memory"))
    return float(measuring / (largest["wall"] - largest["workers"]))


def plot(rows: list[dict[str, Any]], file: Path) -> None:
    """Draw the wall time over the number of cells, split by what it is spent on."""
    import matplotlib as mpl  # noqa: PLC0415 - only to draw

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "jacbench"
    from matplotlib import pyplot as plt  # noqa: PLC0415

    by_cells: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        by_cells.setdefault(row["cells"], []).append(row)
    cells = sorted(by_cells)
    means = [[np.mean([row[part] for row in by_cells[n]]) for n in cells] for part in PARTS]
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    axes.stackplot(cells, means, labels=[LABELS[part] for part in PARTS], alpha=0.85)
    axes.plot(
        [row["cells"] for row in rows], [row["wall"] for row in rows], "k.", label="wall time"
    )
    axes.set(xlabel="cells", ylabel="seconds", xlim=(cells[0], cells[-1]), ylim=(0, None))
    axes.set_title("What a run's time is spent on", loc="left")
    axes.legend(loc="upper left", reverse=True, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, metadata={"Date": None})


def main() -> None:
    """Measure, print the table, write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--cell-seconds", type=float, default=0.6)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    asked = parser.parse_args()
    counts = [count for count in (1, 2, 4, len(PROBLEMS)) for _ in range(asked.repeats)]
    random.Random(0).shuffle(counts)  # noqa: S311 - an order of measurement
    rows = [measured(count, asked.cell_seconds) for count in counts]
    rows.sort(key=lambda row: row["cells"])

    table = Table(title="seconds")
    for name in ("cells", "wall", *(LABELS[part] for part in PARTS)):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(str(row["cells"]), *(f"{row[part]:.2f}" for part in ("wall", *PARTS)))
    console = Console()
    console.print(table)
    found = {
        "seconds_per_cell": {part: slope(rows, part) for part in ("wall", *PARTS)},
        "share_measuring": shares(rows),
        "share_timing": rows[-1]["timing"] / rows[-1]["wall"],
    }
    console.print(
        f"a further cell costs {1000 * found['seconds_per_cell']['wall']:.0f} ms, of which "
        f"{1000 * found['seconds_per_cell']['other']:.1f} ms are jacbench's own; "
        f"{found['share_measuring']:.0%} of the time beyond the workers' start is measuring, "
        f"{found['share_timing']:.0%} of all is timing"
    )
    if asked.json:
        provenance.write(asked.json, **found, cell_seconds=asked.cell_seconds, rows=rows)
    if asked.plot:
        plot(rows, asked.plot)


if __name__ == "__main__":
    main()
