"""What picking gains over a habit: always the same way of computing the Jacobian.

Eight problems of as many kinds, each computed by what was picked for it and by each habit, in
interleaved blocks. The picks come from a file (that of ``regret.py``, or any object with ``picks``,
problem by problem) or are asked for now. A habit that cannot do a problem, or is wrong on it, is
left out of the mean there, and the table says so.

    python benchmarks/habits.py [--picks FILE] [--blocks 60] [--json FILE]
"""
# ruff: noqa: E402 - the libraries read their threads when they are imported, so those come first

from __future__ import annotations

from jacbench.measuring import threads as environment

environment.pin(threads=1)

import argparse
import dataclasses
import json
import math
import sys
from pathlib import Path

import provenance
from functions import cases
from functions.contest import compared, compete, configure
from interleaved import Ratio
from rich.console import Console
from rich.table import Table

import jacbench
from jacbench import problems
from jacbench.backend import registry
from jacbench.problems.problem import Problem

HABITS = {
    "torch.functional": "torch.autograd.functional.jacobian",
    "torch.func.jacrev": "torch.func.jacrev",
    "jax.jacrev-eager": "jax.jacrev without jit",
    "jax.jacrev": "jax.jit(jax.jacrev)",
    "jax.jacfwd": "jax.jit(jax.jacfwd)",
    "autograd.jacobian": "autograd.jacobian",
}
PROBLEMS = (
    *("shape/small", "shape/tall", "shape/wide", "shape/square", "basics/mlp-weights"),
    *("basics/generator", "banded/broyden", "bottleneck/pooled"),
)
"""Few and many outputs, a tree of weights, samples, a band, a narrow middle: over any library."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One problem.

    Attributes
    ----------
    problem, picked
        Its name, and the method picked for it.
    speedups
        By habit, its time over that of the picked method.
    left_out
        By habit, why it has none.
    itself
        The picked method's time over its own.
    """

    problem: str
    picked: str
    speedups: dict[str, Ratio]
    left_out: dict[str, str]
    itself: Ratio


@dataclasses.dataclass(frozen=True)
class Mean:
    """The geometric mean of a habit's speed-ups.

    Attributes
    ----------
    mean, low, high
        With the 95 % interval: those of the problems are independent, so that their widths on a
        logarithmic scale add by squares. It says nothing of other problems than these.
    problems
        How many it is of.
    """

    mean: float
    low: float
    high: float
    problems: int


def posed(name: str) -> Problem:
    """Return the problem of that name, from the catalogue or made for the regret test."""
    for case in cases():
        if case.name == name:
            return case.problem()
    return problems.get(name)


def pick(problem: Problem, time_limit_s: float) -> str:
    """Return the method picked for the Jacobian, with nothing said of the samples."""
    given = dataclasses.replace(problem, in_axes=None)
    return str(jacbench.pick(given, time_limit_s=time_limit_s).method)


def measured(problem: Problem, picked: str, blocks: int, seed: int) -> Row:
    """Time every habit against the picked method."""
    descriptor = registry.descriptor_of(picked)
    if descriptor.oracle:
        sys.exit(f"{problem.name}: {picked} is a reference, and no library's way: it gains nothing")
    operator = next(info.operator for info in descriptor.methods if info.name == picked)
    own = compete(problem, operator=operator, methods=[picked])
    mine = own.get(picked)
    if mine is None:
        sys.exit(f"{problem.name}: {picked}: {own.left_out.get(picked, 'no contender')}")
    field = compete(problem, methods=list(HABITS))
    rivals = {habit: field.get(habit) for habit in HABITS}
    return Row(
        problem=problem.name,
        picked=picked,
        speedups={
            habit: compared(rival, mine, blocks, seed)
            for habit, rival in rivals.items()
            if rival is not None
        },
        left_out=field.left_out,
        itself=compared(mine, mine, blocks, seed + 1),
    )


def means(rows: list[Row]) -> dict[str, Mean]:
    """Return the geometric mean of each habit, over the problems that it can do."""
    found = {}
    for habit in HABITS:
        ratios = [row.speedups[habit] for row in rows if habit in row.speedups]
        if not ratios:
            continue
        count = len(ratios)
        centre = sum(math.log(r.median) for r in ratios) / count
        below = math.hypot(*(math.log(r.median / r.low) for r in ratios)) / count
        above = math.hypot(*(math.log(r.high / r.median) for r in ratios)) / count
        found[habit] = Mean(*map(math.exp, (centre, centre - below, centre + above)), count)
    return found


def render(rows: list[Row], found: dict[str, Mean]) -> Table:
    """Return the table."""
    table = Table(
        title="A habit's time over the picked method's",
        caption="; ".join(f"{habit}: {told}" for habit, told in HABITS.items())
        + f"\n{provenance.caption()}",
    )
    table.add_column("problem")
    table.add_column("picked")
    for habit in HABITS:
        table.add_column(f"always {habit}", justify="right")
    table.add_column("A/A", justify="right")
    for row in rows:
        cells = [
            f"{row.speedups[habit].median:.3g}" if habit in row.speedups else "cannot"
            for habit in HABITS
        ]
        table.add_row(row.problem, row.picked, *cells, f"{row.itself.median:.3f}")
    table.add_section()
    cells = [
        f"{found[habit].mean:.3g} ({found[habit].low:.3g} to {found[habit].high:.3g})"
        if habit in found
        else ""
        for habit in HABITS
    ]
    table.add_row("geometric mean", "", *cells, "")
    return table


def read_picks(file: Path | None) -> dict[str, str]:
    """Return the picks of a file by problem; nothing without one."""
    if file is None:
        return {}
    content = json.loads(file.read_text(encoding="utf-8"))
    return {str(name): str(method) for name, method in content["picks"].items()}


def main() -> None:
    """Measure, print the table, write the file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--picks", type=Path, help="a file with the picks (asked for now)")
    parser.add_argument("--time-limit", type=float, default=60.0, help="of one pick, s (60)")
    parser.add_argument("--blocks", type=int, default=60, help="blocks of each ratio (60)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    asked = parser.parse_args()
    settings = configure()
    known = read_picks(asked.picks)
    rows = []
    for seed, name in enumerate(PROBLEMS):
        problem = posed(name)
        picked = known[name] if name in known else pick(problem, asked.time_limit)
        rows.append(measured(problem, picked, asked.blocks, 2 * seed))
    found = means(rows)
    Console(width=None if sys.stdout.isatty() else 190).print(render(rows, found))
    for row in rows:
        for habit, reason in row.left_out.items():
            print(f"{row.problem}: {habit}: {reason}")
    if asked.json:
        provenance.write(
            asked.json,
            settings,
            picks={row.problem: row.picked for row in rows},
            means={habit: dataclasses.asdict(mean) for habit, mean in found.items()},
            rows=[dataclasses.asdict(row) for row in rows],
        )


if __name__ == "__main__":
    main()
