"""How much is lost by trusting the pick: its method against the best of all, measured afresh.

Each function is given to ``jacbench.pick`` by its name, which measures it in workers as the command
line does, with nothing said of its structure. Then every method is checked and timed; the fastest
other than the picked one is timed against it in fresh interleaved blocks, beside the ratio of the
picked one to itself. The regret is what the picked one takes longer, 0 where nothing is faster. All
that happens in a process of its own: a compiled method that ends it is left out, and named in FILE.

    python benchmarks/regret.py [PATTERN ...] [--no-compile] [--blocks 40] [--neighbours N]
                                [--json FILE]

Patterns are over the names of ``benchmarks/functions`` and of the catalogue. ``--no-compile``
leaves ``torch.compile`` out of the pick and of what it is held against: half an hour, not one. With
``--neighbours`` so many other processes keep cores busy meanwhile.
"""
# ruff: noqa: E402 - the libraries read their threads when they are imported, so those come first

from __future__ import annotations

from jacbench.measuring import threads as environment

environment.pin(threads=1)

import argparse
import dataclasses
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import provenance
from functions import asking
from functions.afresh import Found, NoAnswer, Picked, Question, Row, measured, questions
from functions.apart import Apart, EndedError, Hold, outlived
from functions.contest import configure
from rich.console import Console
from rich.table import Table

from jacbench.gating.busy_neighbour import neighbours

NOTABLE = 0.05
"""Regret that is told by name below the table."""
MIN_BLOCKS = 30


def answered(question: Question, asked: argparse.Namespace, seed: int, process: Apart) -> Found:
    """Pick, and measure over there what was picked against the best of the rest."""
    began = time.perf_counter()
    try:
        answer = asking.pick(
            question.name,
            time_limit_s=asked.time_limit,
            form="dense",
            compile=not asked.no_compile,
        )
    except Exception as exc:  # noqa: BLE001 - a pick that fails is told in its row
        told = " ".join(f"{type(exc).__name__}: {exc}".split())[:200]
        return NoAnswer(question.name, question.family, f"pick: {told}")
    picked = Picked.of(answer, time.perf_counter() - began)

    def measure(without: frozenset[str]) -> Found:
        given = (question.name, picked, asked.blocks, seed, not asked.no_compile, without)
        found: Found = process.call(measured, *given)
        return found

    def suspect(name: str) -> bool:
        return name.startswith("torch.compile") and name != picked.method

    try:
        return outlived(measure, suspect, picked.deadly)
    except EndedError as ended:
        return NoAnswer(question.name, question.family, f"{picked.method}: {ended}")


def render(rows: list[Found]) -> Table:
    """Return the table."""
    table = Table(title="Regret of the pick", caption=provenance.caption())
    for column in ("function", "family", "picked", "fastest"):
        table.add_column(column)
    for column in ("regret", "picked / other", "95 %", "A/A", "pick took"):
        table.add_column(column, justify="right")
    for row in rows:
        if isinstance(row, NoAnswer):
            table.add_row(row.name, row.family, row.reason, *[""] * 6)
            continue
        ratio = row.ratio
        table.add_row(
            *(row.name, row.family, row.picked, row.best, f"{row.regret:.1%}"),
            f"{ratio.median:.3f}" if ratio else "no other",
            f"{ratio.low:.3f} to {ratio.high:.3f}" if ratio else "",
            f"{row.itself.median:.3f}",
            f"{row.pick_s:.1f} s",
        )
    return table


def summary(rows: list[Found]) -> dict[str, float | int]:
    """Return the median, the 95th percentile and the largest regret, and how many had none."""
    regrets = [row.regret for row in rows if isinstance(row, Row)]
    if not regrets:
        return {"functions": 0, "without_answer": len(rows)}
    return {
        "functions": len(regrets),
        "without_answer": len(rows) - len(regrets),
        "median": float(np.median(regrets)),
        "p95": float(np.quantile(regrets, 0.95)),
        "max": max(regrets),
        "notable": sum(regret > NOTABLE for regret in regrets),
    }


def main() -> None:
    """Pick and measure, print the table, write the file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("patterns", nargs="*", help="functions and problems (all)")
    parser.add_argument("--time-limit", type=float, default=60.0, help="of one pick, s (60)")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--blocks", type=int, default=40, help="fresh blocks of each ratio (40)")
    parser.add_argument("--neighbours", type=int, default=0, help="busy processes beside it (0)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    asked = parser.parse_args()
    if asked.blocks < MIN_BLOCKS:
        parser.error(f"--blocks {asked.blocks}: give at least {MIN_BLOCKS}")
    console = Console(width=None if sys.stdout.isatty() else 190)
    rows: list[Found] = []
    with neighbours(asked.neighbours), Apart(configure) as process:
        settings = process.call(set_up)
        for seed, question in enumerate(questions(asked.patterns)):
            rows.append(answered(question, asked, 2 * seed, process))
            print(f"{len(rows)}: {question.name}", file=sys.stderr)
            if asked.json:
                # after every function, so that nothing is lost
                provenance.write(asked.json, settings, **figures(rows, asked))
    if not rows:
        parser.error(f"nothing is called {', '.join(asked.patterns)}")
    console.print(render(rows))
    found = summary(rows)
    if found["functions"]:
        console.print(
            f"regret: median {found['median']:.1%}, 95th percentile {found['p95']:.1%}, "
            f"largest {found['max']:.1%}, over {NOTABLE:.0%} for {found['notable']} of "
            f"{found['functions']}; no answer for {found['without_answer']}"
        )


def set_up(*, hold: Hold) -> dict[str, Any]:
    """Return what the libraries are set to in the process that measures."""
    del hold
    return configure()


def figures(rows: list[Found], asked: argparse.Namespace) -> dict[str, Any]:
    """Return what stands in the file."""
    return {
        "time_limit_s": asked.time_limit,
        "compile": not asked.no_compile,
        "blocks": asked.blocks,
        "neighbours": asked.neighbours,
        "summary": summary(rows),
        "picks": {row.name: row.picked for row in rows if isinstance(row, Row)},
        "rows": [
            dataclasses.asdict(row) | ({"regret": row.regret} if isinstance(row, Row) else {})
            for row in rows
        ],
    }


if __name__ == "__main__":
    main()
