"""What became of all cells at a glance: verdicts by family, operator and backend, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from jacbench import operators
from jacbench.cell import CellResult, Verdict
from jacbench.results import Run


def counted(run: Run) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return head and rows of the verdicts, a row for each family and operator.

    Columns are backends; an entry counts verdicts, ``26 agrees, 1 unsupported``.
    """
    backends = list(dict.fromkeys(result.cell.backend for result in run.cells))
    groups: dict[tuple[str, str], dict[str, Counter[Verdict]]] = {}
    for result in run.cells:
        key = family(result.cell.problem), result.cell.operator
        by_backend = groups.setdefault(key, {name: Counter() for name in backends})
        by_backend[result.cell.backend][result.verdict] += 1
    families = list(dict.fromkeys(name for name, _ in groups))
    rows = [
        (name, operator, *(_told(groups[name, operator][backend]) for backend in backends))
        for name in families
        for operator in operators.NAMES
        if (name, operator) in groups
    ]
    return ("family", "operator", *backends), rows


def family(problem: str) -> str:
    """Return the part of a problem's name before the slash."""
    return problem.partition("/")[0]


def _told(counts: Counter[Verdict]) -> str:
    return ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict])


@dataclass(frozen=True)
class Reason:
    """Cells that have a verdict for the same reason.

    Attributes
    ----------
    verdict
        None of them agrees.
    text
        The reason, in one line.
    where
        Method and problems, ``jax.jacrev: awkward/while-loop``, a line for each method.
    """

    verdict: Verdict
    text: str
    where: tuple[str, ...]


def reasons(run: Run) -> list[Reason]:
    """Return every reason once, faults first, with the cells that have it."""
    found: dict[tuple[Verdict, str], list[CellResult]] = {}
    for result in run.cells:
        if result.verdict is not Verdict.AGREES:
            found.setdefault((result.verdict, result.reason or ""), []).append(result)
    ordered = sorted(found.items(), key=lambda item: not item[0][0].is_fault)
    return [Reason(verdict, text, _where(results)) for (verdict, text), results in ordered]


def _where(results: Sequence[CellResult]) -> tuple[str, ...]:
    by_problems: dict[tuple[str, ...], list[str]] = {}
    by_method: dict[str, list[str]] = {}
    for result in results:
        problems = by_method.setdefault(result.cell.method, [])
        if result.cell.problem not in problems:
            problems.append(result.cell.problem)
    for method, problems in by_method.items():
        by_problems.setdefault(tuple(problems), []).append(method)
    return tuple(
        f"{', '.join(methods)}: {', '.join(problems)}" for problems, methods in by_problems.items()
    )
