"""How long a pick takes, against measuring every method.

For each problem two fresh processes: one asks ``jacbench.pick`` for a function that it names, which
is measured in workers as by the command line, and one checks every method of every library and
times each for at least half a second and 30 calls. The start of workers and libraries is counted in
neither, and ``torch.compile`` is left out of both.

    python benchmarks/time_to_answer.py [PATTERN ...] [--json FILE]
"""
# ruff: noqa: E402 - the libraries read their threads when they are imported, so those come first

from __future__ import annotations

from jacbench.measuring import threads as environment

environment.pin(threads=1)

import argparse
import dataclasses
import json
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import provenance
from functions import asking
from rich.console import Console
from rich.table import Table

from jacbench import problems
from jacbench.backend import registry
from jacbench.core.cell import Cell
from jacbench.running.prepared_cells import Harness, Limits

LIBRARIES = ("torch", "jax", "autograd")
LEAST_S, LEAST_CALLS = 0.5, 30
"""What measuring every method takes of each."""
WAYS = ("pick", "everything")


@dataclasses.dataclass(frozen=True)
class Row:
    """One problem.

    Attributes
    ----------
    problem
        Its name.
    pick_s, everything_s
        What either took, without the start of the libraries, seconds.
    starting_s
        What the start of the pick's workers took, seconds.
    picked, fastest
        What either found.
    methods
        How many methods were measured where every one was.
    """

    problem: str
    pick_s: float
    everything_s: float
    starting_s: float
    picked: str
    fastest: str
    methods: int

    @property
    def share(self) -> float:
        """The pick's time over that of measuring everything."""
        return self.pick_s / self.everything_s


def started(name: str) -> Any:
    """Load the libraries and call each once, so that what is timed begins with the problem."""
    problem = problems.get(name)
    harness = Harness(1, Limits(), verify_pins=False)
    for library in LIBRARIES:
        backend = harness.backend(library)
        for method in backend.methods():
            if method.info.operator == "jacobian" and not method.info.compiled:
                harness.warm_up(backend, method, _cell("warm-up", library, method.info.name))
    return problem


def _cell(problem: str, library: str, method: str) -> Cell:
    return Cell(problem, "jacobian", method, library, "cpu", "float64", 1)


def by_pick(name: str) -> dict[str, Any]:
    """Ask for a pick, in workers."""
    code = f"from jacbench import problems\n\nf = problems.get({name!r})\n"
    begun = time.monotonic()
    answer = asking.from_code(code, form="dense", compile=False)
    whole_s, starting_s = time.monotonic() - begun, answer.seconds["starting"]
    return {
        "seconds": whole_s - starting_s,
        "starting_s": starting_s,
        "found": answer.method,
        "methods": 0,
    }


def by_everything(name: str) -> dict[str, Any]:
    """Check and time every method."""
    started(name)
    harness = Harness(1, Limits(), verify_pins=False)
    found: dict[str, float] = {}
    begun = time.monotonic()
    for library in LIBRARIES:
        for info in registry.descriptors()[library].methods:
            if info.operator != "jacobian" or info.compiled or info.by_intermediate:
                continue
            settled = harness.settle(_cell(name, library, info.name))
            if settled.prepared is not None:
                found[info.name] = _median(lambda call=settled.prepared.call, x=settled.x: call(x))
    seconds = time.monotonic() - begun
    return {"seconds": seconds, "found": min(found, key=found.__getitem__), "methods": len(found)}


def _median(call: Any) -> float:
    times: list[float] = []
    begun = time.perf_counter()
    while len(times) < LEAST_CALLS or time.perf_counter() - begun < LEAST_S:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def asked(name: str, way: str) -> dict[str, Any]:
    """Return what a process of its own says."""
    words = [sys.executable, __file__, "--one", name, "--way", way]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{name}, {way}: {done.stderr.strip().splitlines()[-1]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def measured(name: str, seed: int) -> Row:
    """Return one problem's row; which way comes first is drawn."""
    ways = random.Random(f"{seed} {name}").sample(WAYS, 2)  # noqa: S311 - an order
    found = {way: asked(name, way) for way in ways}
    pick, everything = (found[way] for way in WAYS)
    return Row(
        problem=name,
        pick_s=pick["seconds"],
        everything_s=everything["seconds"],
        starting_s=pick["starting_s"],
        picked=pick["found"],
        fastest=everything["found"],
        methods=everything["methods"],
    )


def render(rows: list[Row]) -> Table:
    """Return the table, the largest share first."""
    table = Table(title="Time to an answer")
    for head in ("problem", "pick", "every method", "share", "picked", "fastest of all"):
        table.add_column(head, justify="right" if head in ("pick", "share") else "left")
    for row in sorted(rows, key=lambda row: -row.share):
        table.add_row(
            row.problem,
            f"{row.pick_s:.1f} s",
            f"{row.everything_s:.1f} s ({row.methods})",
            f"{row.share:.2f}",
            row.picked,
            row.fastest,
        )
    return table


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("patterns", nargs="*", default=["basics/*", "shape/*"], help="problems")
    parser.add_argument("--seed", type=int, default=0, help="of the order (0)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        answer = by_pick(given.one) if given.way == "pick" else by_everything(given.one)
        print(json.dumps(answer))
        return
    names = [n for n in problems.matching(given.patterns) if not problems.entry(n).intermediate]
    rows = []
    for name in names:
        rows.append(measured(name, given.seed))
        print(f"{name}: {rows[-1].share:.2f}", file=sys.stderr)
    shares = [row.share for row in rows]
    summary = {
        "median_share": statistics.median(shares),
        "largest_share": max(shares),
        "longest_pick_s": max(row.pick_s for row in rows),
    }
    console = Console(width=120)
    console.print(render(rows))
    console.print(summary)
    if given.json:
        told = [{**dataclasses.asdict(row), "share": row.share} for row in rows]
        provenance.write(given.json, rows=told, summary=summary)


if __name__ == "__main__":
    main()
