"""Print which planted fault is caught on which problem; exit with 1 where one is missed.

Run ``python tests/fault_table.py``. The last row is the other side: every method of every installed
backend, as it stands, on every problem. A check that always cries would pass all the rows above it.
"""

# ruff: noqa: E402 - the tree is put on the path, and threads are pinned, before anything else

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jacbench import environment

environment.pin(1)  # before NumPy is imported

from rich.console import Console
from rich.progress import track
from rich.table import Table

from jacbench import problems, registry
from jacbench.harness import Harness, Limits
from tests.faults import FAULTS, Fault, absent, cell_of, changes, is_caught, put_on_trial


def outcome(fault: Fault, problem: str) -> str:
    """Return what became of one planted fault on one problem."""
    settled = put_on_trial(fault, problem)
    changed = changes(fault, problem)
    if is_caught(settled):
        return f"caught ({settled.result.verdict})" if changed else "FALSE ALARM"
    return "MISSED" if changed else "no change"


def alarms(harness: Harness, problem: str) -> list[str]:
    """Return the right methods that are called wrong on ``problem``."""
    return [
        f"{method} on {problem}: {settled.result.verdict}: {settled.result.reason}"
        for method in right_methods()
        for settled in [harness.settle(cell_of(problem, method))]
        if is_caught(settled)
    ]


def right_methods() -> list[str]:
    """Return every installed method but ``torch.compile``, which takes seconds a cell."""
    return [
        info.name
        for descriptor in registry.descriptors().values()
        if descriptor.absent() is None
        for info in descriptor.methods
        if "compile" not in info.name
    ]


def main() -> int:
    """Print the table; return the exit status."""
    names = problems.names()
    table = Table("fault", *names, title="planted faults")
    console = Console(width=None if sys.stdout.isatty() else 45 + 23 * len(names))
    progress = Console(stderr=True)
    bad: list[str] = []
    for fault in track(FAULTS, "planting", console=progress):
        reason = absent(fault)
        row = [reason or outcome(fault, name) for name in names]
        bad += [f"{fault.name} on {name}: {cell}" for name, cell in _bad(names, row)]
        table.add_row(fault.name, *row)
    harness = Harness(1, Limits(), verify_pins=False)
    raised = [alarms(harness, name) for name in track(names, "right methods", console=progress)]
    bad += [line for lines in raised for line in lines]
    table.add_section()
    table.add_row(
        f"correct methods ({len(right_methods())})",
        *("none raised" if not lines else f"{len(lines)} FALSE ALARM" for lines in raised),
    )
    console.print(table)
    for line in bad:
        console.print(line, style="bold red", markup=False)
    return 1 if bad else 0


def _bad(names: Sequence[str], row: Sequence[str]) -> list[tuple[str, str]]:
    return [(n, cell) for n, cell in zip(names, row, strict=True) if cell.isupper()]


if __name__ == "__main__":
    sys.exit(main())
