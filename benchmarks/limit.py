"""How near the best method comes to what the machine can do.

Two limits for every problem. The hand-written Jacobian, ``numpy.analytic``: what a person gets by
hand. And a floor below which no method can be: the time to read the inputs and to write the
Jacobian once, at the bandwidth that a NumPy copy of that many bytes reaches here, or that of the
operations of one evaluation of the function (as XLA counts them) at the speed of a NumPy matrix
product, whichever is longer. Any exact method evaluates the function's inner values, and returns
all m n entries.

    python benchmarks/limit.py [PATTERN ...] [--from RESULTS ...] [--json FILE]

Problems that match are run; those of a results file are taken from there. Without either, all are
run.
"""
# ruff: noqa: E402 - the libraries read their threads when they are imported, so those come first

from __future__ import annotations

from jacbench.measuring import threads as environment

environment.pin(threads=1)

import argparse
import collections
import dataclasses
import importlib.util
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import provenance
from functions.contest import configure
from rich.console import Console
from rich.table import Table

import jacbench
from jacbench import problems
from jacbench.backend import registry
from jacbench.core import tree
from jacbench.core.cell import CellResult, Verdict
from jacbench.core.units import format_seconds
from jacbench.problems.problem import Problem
from jacbench.results import fingerprint

BY_HAND = "numpy.analytic"
SIZES = tuple(1 << power for power in range(12, 28, 3))
"""Bytes of the copies: from the first cache to well beyond the last."""
PRODUCT = 768
"""Rows of the matrices whose product gives the speed."""


@dataclasses.dataclass(frozen=True)
class Machine:
    """What one thread of this machine can do.

    Attributes
    ----------
    bytes_per_s
        Read and written by a copy, by the size of the copy in bytes.
    flops_per_s
        Of a float64 matrix product.
    """

    bytes_per_s: dict[int, float]
    flops_per_s: float

    def moving_s(self, count: int) -> float:
        """Return the least time to move ``count`` bytes, seconds.

        At the best speed of any copy of at least that size: a floor must not be too high.
        """
        larger = [speed for size, speed in self.bytes_per_s.items() if size >= count]
        return count / max(larger or [self.bytes_per_s[max(self.bytes_per_s)]])


@dataclasses.dataclass(frozen=True)
class Row:
    """One problem.

    Attributes
    ----------
    problem, m, n
        Its name and the shape of its Jacobian.
    best, best_s
        The fastest method and its median time, seconds.
    by_hand_s
        The time of the hand-written Jacobian; None where there is none.
    bytes, moving_s
        What is read and written at the least, and the time for it.
    operations, computing_s
        Of one evaluation, and the time for them; None where nothing counts them.
    """

    problem: str
    m: int
    n: int
    best: str
    best_s: float
    by_hand_s: float | None
    bytes: int
    moving_s: float | None
    operations: float | None
    computing_s: float | None

    @property
    def floor_s(self) -> float | None:
        """The larger of both times; None where this is not the machine that was timed."""
        return None if self.moving_s is None else max(self.moving_s, self.computing_s or 0.0)


def this_machine() -> Machine:
    """Measure bandwidth and speed, one thread."""
    speeds = {}
    for size in SIZES:
        source, target = np.ones(size // 8), np.empty(size // 8)
        copy = _least_s(lambda s=source, t=target: np.copyto(t, s))
        speeds[size] = 2 * size / copy
    one = np.random.default_rng(0).standard_normal((PRODUCT, PRODUCT))
    out = np.empty_like(one)
    product = _least_s(lambda: np.matmul(one, one, out=out))
    return Machine(speeds, 2 * PRODUCT**3 / product)


def _least_s(call: Callable[[], object], total_s: float = 0.3) -> float:
    """Return the least time of one call over many short samples, seconds."""
    call()
    start = time.perf_counter()
    call()
    calls = max(1, round(1e-3 / (time.perf_counter() - start)))
    least, ends = float("inf"), time.perf_counter() + total_s
    while time.perf_counter() < ends:
        start = time.perf_counter()
        for _ in range(calls):
            call()
        least = min(least, (time.perf_counter() - start) / calls)
    return least


def operations(problem: Problem) -> float | None:
    """Return the floating-point operations of one evaluation, as XLA counts them; None: unknown."""
    if problem.written_for("jax") or importlib.util.find_spec("jax") is None:
        return None
    import jax  # noqa: PLC0415 - left out where it is not installed

    backend = registry.load("jax")
    function = problem.value_alone(problem.bound("jax", backend.xp))
    arguments = [
        tree.map_leaves(lambda leaf: backend.put(leaf, "cpu", "float64"), part)
        for part in (problem.x, *problem.constants)
    ]
    try:
        counted = jax.jit(function).lower(*arguments).compile().cost_analysis()
    except Exception:  # noqa: BLE001 - what cannot be traced is not counted
        return None
    flops = counted.get("flops") if isinstance(counted, dict) else None
    return float(flops) if flops is not None and flops >= 0 else None


def moved(problem: Problem, m: int) -> int:
    """Return the bytes of the Jacobian and of everything that it depends on."""
    inputs = sum(
        leaf.nbytes for part in (problem.x, *problem.constants) for leaf in tree.leaves(part)
    )
    return 8 * m * problem.n + inputs


def rows(cells: list[CellResult], machine: Machine | None) -> list[Row]:
    """Return a row for every problem that some method got right and was timed on."""
    by_problem: dict[str, list[CellResult]] = {}
    for result in cells:
        cell = result.cell
        fits = (cell.operator, cell.dtype, cell.device, cell.threads) == (
            *("jacobian", "float64", "cpu"),
            1,
        )
        if fits and result.verdict is Verdict.AGREES and result.median_s is not None:
            by_problem.setdefault(cell.problem, []).append(result)
    found = []
    for name, timed in by_problem.items():
        oracles = {r.cell.method: r for r in timed if _oracle(r.cell.backend)}
        ranked = [r for r in timed if not _oracle(r.cell.backend)]
        if not ranked:
            continue
        best = min(ranked, key=_median)
        problem, m = problems.get(name), int(best.m or 0)
        needed = moved(problem, m)
        counted = operations(problem)
        found.append(
            Row(
                problem=name,
                m=m,
                n=problem.n,
                best=best.cell.method,
                best_s=_median(best),
                by_hand_s=_median(oracles[BY_HAND]) if BY_HAND in oracles else None,
                bytes=needed,
                moving_s=machine.moving_s(needed) if machine else None,
                operations=counted,
                computing_s=counted / machine.flops_per_s if machine and counted else None,
            )
        )
    return found


def untimed(cells: list[CellResult]) -> str:
    """Return in a line how many cells there were, and what became of those without a time."""
    counts = collections.Counter(str(r.verdict) for r in cells if r.median_s is None)
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    return f"{len(cells)} cells; without a time: {told or 'none'}"


def _oracle(backend: str) -> bool:
    known = registry.descriptors()
    return backend in known and known[backend].oracle


def _median(result: CellResult) -> float:
    assert result.median_s is not None
    return result.median_s


def render(found: list[Row], machine: Machine | None, told: str) -> Table:
    """Return the table."""
    caption = told
    if machine is not None:
        largest = machine.bytes_per_s[max(machine.bytes_per_s)]
        caption += (
            f"; copies {largest / 1e9:.3g} to {max(machine.bytes_per_s.values()) / 1e9:.3g} GB/s, "
            f"products {machine.flops_per_s / 1e9:.3g} GFLOP/s, 1 thread"
        )
    table = Table(title="The best method and the limits", caption=caption)
    for column in ("problem", "m x n", "best"):
        table.add_column(column)
    for column in ("its time", "by hand", "best / by hand", "floor", "of", "best / floor"):
        table.add_column(column, justify="right")
    for row in found:
        floor = row.floor_s
        of = "moving" if floor is not None and floor == row.moving_s else "computing"
        table.add_row(
            *(row.problem, f"{row.m} x {row.n}", row.best, format_seconds(row.best_s)),
            format_seconds(row.by_hand_s),
            f"{row.best_s / row.by_hand_s:.3g}" if row.by_hand_s else "",
            *(format_seconds(floor), of if floor is not None else ""),
            f"{row.best_s / floor:.3g}" if floor else "",
        )
    return table


def main() -> None:
    """Measure or read, print the table, write the file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("patterns", nargs="*", help="problems to run")
    parser.add_argument(
        *("--from", "-f"), dest="files", type=Path, action="append", help="a results file"
    )
    parser.add_argument("--cell-seconds", type=float, default=0.6, help="of each cell (0.6)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    asked = parser.parse_args()
    settings = configure()
    runs = [jacbench.read(file) for file in asked.files or ()]
    if asked.patterns or not runs:
        seconds = asked.cell_seconds
        runs.append(jacbench.run(*asked.patterns, operators=["jacobian"], budget_s=seconds))
    here = provenance.provenance()
    others = [fingerprint.differences(run.fingerprint, here).machine for run in runs]
    other = next((told for told in others if told), None)
    machine = None if other else this_machine()
    told = str(runs[0].fingerprint["machine"]["cpu"])
    if other:
        told += f"; timed on another machine ({other[0]}), so that its floor cannot be measured"
    cells = [cell for run in runs for cell in run.cells]
    found = rows(cells, machine)
    Console(width=None if sys.stdout.isatty() else 160).print(render(found, machine, told))
    print(untimed(cells), file=sys.stderr)
    if asked.json:
        provenance.write(
            asked.json,
            settings,
            timed_on=[run.fingerprint for run in runs],
            untimed=untimed(cells),
            limits=None if machine is None else dataclasses.asdict(machine),
            rows=[{**dataclasses.asdict(row), "floor_s": row.floor_s} for row in found],
        )


if __name__ == "__main__":
    main()
