"""How much is lost by trusting the pick: its method against the best of all, measured afresh.

Each function is given to ``jacbench.pick`` by its name, which measures it in workers as the command
line does, with nothing said of its structure. Then every method is checked and timed; the fastest
other than the picked one is timed against it in fresh interleaved blocks, beside the ratio of the
picked one to itself. The regret is what the picked one takes longer, 0 where nothing is faster.

    python benchmarks/regret.py [PATTERN ...] [--no-compile] [--blocks 40] [--neighbours N]
                                [--json FILE]

Patterns are over the names of ``benchmarks/functions`` and of the catalogue. ``--no-compile``
leaves ``torch.compile`` out of the pick and of what it is held against: half an hour, not one. With
``--neighbours`` so many other processes keep cores busy meanwhile.
"""
# ruff: noqa: E402 - the libraries read their threads when they are imported, so those come first

from __future__ import annotations

from jacbench import environment

environment.pin(threads=1)

import argparse
import dataclasses
import fnmatch
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import provenance
from functions import Case, asking, cases
from functions.contest import (
    Contender,
    Field,
    compared,
    compete,
    compete_by_consent,
    configure,
    shortlist,
)
from interleaved import Ratio
from rich.console import Console
from rich.table import Table

from jacbench import problems, registry
from jacbench.cell import Verdict
from jacbench.gating.neighbour import neighbours
from jacbench.problem import Problem

NOTABLE = 0.05
"""Regret that is told by name below the table."""
SCREENING_BLOCKS = 15
MIN_BLOCKS = 30
DEADLY = frozenset({str(Verdict.CRASHED), str(Verdict.TIMED_OUT)})
"""What became of a method that took its worker with it."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One function.

    Attributes
    ----------
    name, family
        Of the function; the family of a catalogue problem is the part before the stroke.
    operator, picked, chunk_size
        What was picked.
    pick_s
        How long that took, seconds.
    best
        The fastest method, the picked one where nothing was faster.
    ratio
        The picked method's time over that of the fastest other; None where there was no other.
    itself
        The picked method's time over its own.
    """

    name: str
    family: str
    operator: str
    picked: str
    chunk_size: int | None
    pick_s: float
    best: str
    ratio: Ratio | None
    itself: Ratio

    @property
    def regret(self) -> float:
        """The share by which the picked one takes longer; 0 where it is the fastest."""
        return max(0.0, self.ratio.median - 1) if self.ratio else 0.0


@dataclasses.dataclass(frozen=True)
class NoAnswer:
    """A function without a row, and why."""

    name: str
    family: str
    reason: str


Found = Row | NoAnswer


@dataclasses.dataclass(frozen=True)
class Question:
    """A function, and what every method is tried on."""

    name: str
    family: str
    problem: Problem
    case: Case | None


def questions(patterns: list[str]) -> Iterator[Question]:
    """Yield what matches: the functions made for this first, then the catalogue."""

    def asked(name: str) -> bool:
        return not patterns or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)

    for case in cases():
        if asked(case.name):
            yield Question(case.name, case.family, case.problem(), case)
    for name in problems.names():
        if asked(name):
            yield Question(name, name.partition("/")[0], problems.get(name), None)


def answered(question: Question, asked: argparse.Namespace, seed: int) -> Found:
    """Pick, and measure what was picked against the best of the rest."""
    blocks = asked.blocks
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
    pick_s = time.perf_counter() - began
    field = competitors(question, answer, compiled=not asked.no_compile)
    picked = chosen(question, answer, field)
    if picked is None:
        reason = field.left_out.get(answer.method, "it is no contender")
        return NoAnswer(question.name, question.family, f"{answer.method}: {reason}")
    others = [c for c in field.contenders if c.method != answer.method]
    if asked.no_compile:
        others = [c for c in others if not c.method.startswith("torch.compile")]
    if answer.chunk_size and (whole := field.get(answer.method)):
        others.append(dataclasses.replace(whole, method=f"{whole.method}, not chunked"))
    ratio, best = None, answer.method
    if others:
        rival = shortlist(others, SCREENING_BLOCKS, seed)[0]
        ratio = compared(picked, rival, blocks, seed)
        best = rival.method if ratio.median > 1 else answer.method
    return Row(
        name=question.name,
        family=question.family,
        operator=answer.operator,
        picked=answer.method,
        chunk_size=answer.chunk_size,
        pick_s=pick_s,
        best=best,
        ratio=ratio,
        itself=compared(picked, picked, blocks, seed + 1),
    )


def competitors(question: Question, answer: Any, *, compiled: bool) -> Field:
    """Return every method on the function, those that are right.

    NumPy's references compete only where one of them was picked. What ended its worker is left out:
    it would end this process.
    """
    deadly = [row.candidate.method for row in answer.rows if row.fate in DEADLY]
    if question.case is not None and question.case.dtype == "float32":
        return compete_by_consent(question.case, compiled=compiled, without=deadly)
    oracles = registry.descriptor_of(answer.method).oracle
    return compete(
        question.problem,
        operator=answer.operator,
        oracles=oracles,
        compiled=compiled,
        without=deadly,
    )


def chosen(question: Question, answer: Any, field: Field) -> Contender | None:
    """Return the picked method as it was picked: in chunks where it was."""
    if not answer.chunk_size:
        return field.get(answer.method)
    chunked = compete(
        question.problem,
        operator=answer.operator,
        methods=[answer.method],
        chunk_size=answer.chunk_size,
        oracles=True,
    )
    field.left_out.update(chunked.left_out)
    return chunked.get(answer.method)


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
    settings = configure()
    console = Console(width=None if sys.stdout.isatty() else 190)
    rows: list[Found] = []
    with neighbours(asked.neighbours):
        for seed, question in enumerate(questions(asked.patterns)):
            rows.append(answered(question, asked, 2 * seed))
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
