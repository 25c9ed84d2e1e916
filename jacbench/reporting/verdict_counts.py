"""What became of all cells at a glance: verdicts by family, operator and backend, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jacbench.core import operators
from jacbench.core.cell import Cell, CellResult, Verdict
from jacbench.results.run import Run


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
        Methods and problems, ``jax.jacrev: awkward/while-loop``, a line for each set of methods.
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
    every: dict[str, list[Cell]] = {}
    for result in run.cells:
        every.setdefault(result.cell.problem, []).append(result.cell)
    ordered = sorted(found.items(), key=lambda item: not item[0][0].is_fault)
    return [
        Reason(verdict, text, _where([result.cell for result in results], every))
        for (verdict, text), results in ordered
    ]


def _where(cells: Sequence[Cell], every: Mapping[str, Sequence[Cell]]) -> tuple[str, ...]:
    """Return a line for each set of methods: the problems on which all of them have the reason."""
    by_problem: dict[str, set[Cell]] = {}
    for cell in cells:
        by_problem.setdefault(cell.problem, set()).add(cell)
    by_methods: dict[str, list[str]] = {}
    for problem, own in by_problem.items():
        by_methods.setdefault(_methods(own, every[problem]), []).append(problem)
    return tuple(f"{methods}: {', '.join(problems)}" for methods, problems in by_methods.items())


def _methods(own: set[Cell], every: Sequence[Cell]) -> str:
    """Return the methods of ``own``, by one name where they are all of an operator or backend."""
    if own >= set(every):
        return "every method"
    told, left = [], set(own)
    for what, attribute in (("for", "operator"), ("of", "backend")):
        for value in dict.fromkeys(getattr(cell, attribute) for cell in every):
            group = {cell for cell in every if getattr(cell, attribute) == value}
            if len(group) > 1 and group <= own and group & left:
                told.append(f"every method {what} {value}")
                left -= group
    return ", ".join([*told, *dict.fromkeys(cell.method for cell in every if cell in left)])
