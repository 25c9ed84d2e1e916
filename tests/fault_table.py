"""Print how often each planted fault is caught; exit with 1 where one is missed.

Run ``python tests/fault_table.py``. The last row is the other side: the methods of every installed
backend, as they stand. A check that always cries would pass all the rows above it. A second table
shows the methods that lie, by the step that catches each; ``--lies`` prints that one alone.
"""

# ruff: noqa: E402 - the tree is put on the path, and threads are pinned, before anything else

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jacbench.measuring import threads

threads.pin(1)  # before NumPy is imported

from rich.console import Console
from rich.progress import track
from rich.table import Table

from jacbench.backend import registry
from tests import faults, operator_faults
from tests.contract.cells import CASES, INSTANCES, settled
from tests.deviants import DEVIANTS, put_through, said
from tests.planting import Fault, absent, changes, is_caught, put_on_trial, tried_on

FAULTS = [*faults.FAULTS, *operator_faults.FAULTS]
OUTCOMES = ("caught", "no change", "MISSED", "FALSE ALARM")


def outcome(fault: Fault, problem: str) -> str:
    """Return what became of one planted fault on one problem."""
    caught, changed = is_caught(put_on_trial(fault, problem)), changes(fault, problem)
    if caught:
        return "caught" if changed else "FALSE ALARM"
    return "MISSED" if changed else "no change"


def outcomes(fault: Fault) -> dict[str, str]:
    """Return what became of the fault, by problem; of those that the right method does."""
    return {problem: outcome(fault, problem) for problem in tried_on(fault)}


def right_methods() -> tuple[int, list[str]]:
    """Return how many right cells were tried, and those that are called wrong.

    What ``torch.compile`` makes takes seconds a cell and is left out.
    """
    cells = [
        (problem, method)
        for problem, method, dtype in CASES
        if dtype == "float64" and registry.descriptor_of(method).absent() is None
    ]
    wrong = []
    for problem, method in track(cells, "right methods", console=Console(stderr=True)):
        found = settled(problem, method)
        if is_caught(found):
            wrong.append(f"{method} on {problem}: {found.result.verdict}: {found.result.reason}")
    return len(cells), wrong


def deviants() -> list[str]:
    """Print the methods that lie, with the step that caught each; return those that got away."""
    table = Table("method", "caught", "told, or why it cannot be", title="methods that lie")
    missed = []
    for deviant in track(DEVIANTS, "timing", console=Console(stderr=True)):
        step, result = put_through(deviant)
        told = said(result) or f"cannot be: {deviant.why}"
        table.add_row(deviant.name, step, told[:140])
        if deviant.caught is not None and not re.search(deviant.caught, said(result)):
            missed.append(f"{deviant.name}: {step}: {told}")
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    return missed


def main() -> int:
    """Print the table; return the exit status."""
    table = Table("fault", "method", *OUTCOMES, title=f"planted faults, {len(INSTANCES)} problems")
    bad: list[str] = []
    for fault in track(FAULTS, "planting", console=Console(stderr=True)):
        reason = absent(fault)
        if reason is not None:
            table.add_row(fault.name, fault.base, reason)
            continue
        found = outcomes(fault)
        count = Counter(found.values())
        bad += [f"{fault.name} on {name}: {cell}" for name, cell in found.items() if cell.isupper()]
        table.add_row(fault.name, fault.base, *(str(count[cell] or "") for cell in OUTCOMES))
        if not count["caught"]:
            bad.append(f"{fault.name}: caught nowhere")
    cells, wrong = right_methods()
    table.add_section()
    table.add_row("none", f"{cells} right cells", "", "", "", str(len(wrong) or ""))
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table)
    bad += deviants()
    for line in [*bad, *wrong]:
        console.print(line, style="bold red", markup=False)
    return 1 if bad or wrong else 0


if __name__ == "__main__":
    sys.exit(bool(deviants()) if sys.argv[1:] == ["--lies"] else main())
