"""Apply each mutation to a copy of the repository, and print which of them no test notices.

Run ``python -m tests.mutations``, or ``make mutations``. Exit with 1 where one survives that is
not named as a survivor, where the tests of one could not be run, and where one that is named as a
survivor is noticed by now. The working tree is left alone.
"""

from __future__ import annotations

import argparse
import fnmatch
import queue
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.mutations.mutation import Mutation
from tests.mutations.table import MUTATIONS
from tests.mutations.trying import Copy, Outcome

LIMIT_S = 300.0
"""What the tests of one mutation may take, seconds."""


def chosen(patterns: Sequence[str]) -> list[Mutation]:
    """Return the mutations whose name or file matches one of the shell patterns; all of none."""
    return [
        mutation
        for mutation in MUTATIONS
        if not patterns
        or any(fnmatch.fnmatch(f"{mutation.file}: {mutation.name}", f"*{p}*") for p in patterns)
    ]


def outcomes(mutations: Sequence[Mutation], jobs: int, limit_s: float) -> list[Outcome]:
    """Return what became of each, in their order, tried in ``jobs`` copies at a time."""
    with tempfile.TemporaryDirectory(prefix="jacbench-mutations-") as folder:
        copies: queue.SimpleQueue[Copy] = queue.SimpleQueue()
        first = Copy(Path(folder) / "0")
        for copy in (first, *(Copy(Path(folder) / str(i)) for i in range(1, jobs))):
            copies.put(copy)

        def tried(mutation: Mutation) -> Outcome:
            copy = copies.get()
            try:
                return copy.tried(mutation, limit_s)
            finally:
                copies.put(copy)

        with ThreadPoolExecutor(jobs) as pool:
            running = pool.map(tried, mutations)
            found = []
            for mutation, outcome in zip(mutations, running, strict=True):
                found.append(outcome)
                told = f"{len(found)}/{len(mutations)} {outcome.what} in {outcome.seconds:.0f} s"
                print(f"{told}: {mutation.name}", file=sys.stderr, flush=True)
        return _told_apart(found, first, limit_s)


def _told_apart(found: list[Outcome], unspoilt: Copy, limit_s: float) -> list[Outcome]:
    """Return the outcomes; a test that fails without a mutation too has noticed none."""
    killers = sorted({outcome.by for outcome in found if outcome.noticed})
    failing = set()
    while killers and (without := unspoilt.outcome(killers, 10 * limit_s)).what != "survived":
        if not without.noticed:
            raise RuntimeError(f"tests of the copy as it was: {without.what}: {without.by}")
        failing.add(without.by)
        killers.remove(without.by)
    return [
        Outcome("broken", f"{outcome.by} fails without it too")
        if outcome.by in failing
        else outcome
        for outcome in found
    ]


def main() -> int:
    """Print the table; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__)
    parser.add_argument("--only", action="append", default=[], metavar="PATTERN")
    parser.add_argument("--jobs", type=int, default=1, help="copies in which tests run at a time")
    parser.add_argument("--time-limit", type=float, default=LIMIT_S, help="for each, seconds")
    options = parser.parse_args()
    mutations = chosen(options.only)
    found = outcomes(mutations, options.jobs, options.time_limit)
    table = Table("mutation", "file", "outcome", "noticed by, or why not")
    bad = []
    for mutation, outcome in zip(mutations, found, strict=True):
        as_expected = outcome.what == ("survived" if mutation.survives else "killed")
        if not as_expected:
            bad.append(mutation.name)
        style = None if as_expected else "bold red"
        table.add_row(
            mutation.name,
            mutation.file,
            outcome.what,
            outcome.by or mutation.survives,
            style=style,
        )
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(table)
    survived = sum(not outcome.noticed for outcome in found)
    console.print(
        f"{len(found)} mutations, {survived} not noticed, {len(bad)} not as the table says"
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
