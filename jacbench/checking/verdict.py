"""From a cell to a verdict: primal values first, then the Jacobian, only then the clock."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace

from jacbench.backend import Backend, Method
from jacbench.checking import matrix_error, process_state
from jacbench.checking.checks import Refused, Settled
from jacbench.checking.process_state import Changes
from jacbench.checking.product_checks import trial_of
from jacbench.checking.reference import Reference
from jacbench.core import redaction
from jacbench.core.cell import Cell, CellResult, Verdict
from jacbench.measuring import memory
from jacbench.problems.problem import Problem


def refused(cell: Cell, problem: Problem, method: Method, chunk_size: int | None) -> str | None:
    """Return why ``method`` does not support ``cell``, or None where it does."""
    known = problem.undifferentiable or problem.written_for(cell.backend)
    if known is not None:
        return known
    if cell.operator not in problem.operators:
        return f"problem {cell.problem!r} has no batch axis: say with in_axes where its samples lie"
    reason = method.unsupported(problem, cell.operator, cell.device, cell.dtype)
    if reason is None and chunk_size is not None and method.chunking == "whole":
        return f"{cell.method} computes everything at once: its library gives it no chunk size"
    return reason


def settle(
    cell: Cell,
    problem: Problem,
    backend: Backend,
    method: Method,
    reference: Reference,
    *,
    chunk_size: int | None = None,
) -> Settled:
    """Prepare ``cell``, call it at two points, and say whether it is right.

    Nothing is raised for a fault of the method or of the function under it: that is a verdict.
    Answers are held against every entry, or against products: as ``reference`` knows it.
    """
    result = at_first(cell, problem, method, reference, chunk_size)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        before = process_state.take(backend)
        try:
            settled = trial_of(reference)(result, problem, backend, method, reference).run()
        except Refused as refusal:
            settled = Settled(
                replace(result, verdict=refusal.verdict, reason=refusal.reason, **refusal.found)
            )
        except Exception as exc:  # noqa: BLE001 - whatever a method or a user's function raises
            settled = Settled(fault(result, method, backend, exc))
        changes = process_state.put_back(before)
    if reference.doubt:
        found = settled.result
        reason = found.reason
        if found.verdict is Verdict.DISAGREES:
            reason = f"{reason}; not certain: {reference.doubt}"
        told = {**found.notes, "reference_doubt": reference.doubt}
        settled = replace(settled, result=replace(found, notes=told, reason=reason))
    if reference.compared_on:
        told = {**settled.result.notes, "compared_on": reference.compared_on}
        settled = replace(settled, result=replace(settled.result, notes=told))
    if reference.unused:
        unused = [f"x{name}" for name in reference.unused]
        told = {**settled.result.notes, "zero_columns": unused}
        settled = replace(settled, result=replace(settled.result, notes=told))
    messages = list(dict.fromkeys(" ".join(str(w.message).split()) for w in caught))
    return _with_warnings(with_changes(settled, changes), messages, backend, reference)


def at_first(
    cell: Cell, problem: Problem, method: Method, reference: Reference, chunk_size: int | None
) -> CellResult:
    """Return what is known of ``cell`` before it runs; it agrees until something is found."""
    tolerance = problem.rtol
    if tolerance is None:
        tolerance = matrix_error.tolerance(cell.dtype, cell.device)
    # what a method, or the reference, is itself good to
    tolerance = max(tolerance, method.tolerance(cell.dtype) or 0.0, reference.error)
    return CellResult(
        cell=cell,
        verdict=Verdict.AGREES,
        m=reference.m,
        n=problem.n,
        tolerance=tolerance,
        atol=problem.atol,
        reference=reference.kind,
        chunk_size=chunk_size if method.chunking == "chunked" else None,
    )


def fault(result: CellResult, method: Method, backend: Backend, exc: Exception) -> CellResult:
    """Return the verdict on what a method raised: declined, out of memory, or ``failed``."""
    whole = failed(result, exc)
    if out_of_memory(exc, backend):
        told = f"memory ran out: {whole.reason}: give it a smaller problem or more memory"
        return replace(whole, verdict=Verdict.TOO_LARGE, reason=told)
    reason = method.declined(exc) or backend.declined(exc)
    if reason is None:
        return whole
    return replace(
        whole, verdict=Verdict.UNSUPPORTED, reason=redaction.text(redaction.one_line(reason, 300))
    )


def out_of_memory(exc: BaseException | None, backend: Backend) -> bool:
    """Say whether ``exc``, or what caused it, is the want of memory."""
    while exc is not None:
        if isinstance(exc, MemoryError) or backend.out_of_memory(exc):
            return True
        exc = exc.__cause__
    return False


def failed(result: CellResult, exc: BaseException) -> CellResult:
    """Return ``result`` as ``failed``: the exception in one line, and its whole traceback."""
    return replace(
        result,
        verdict=Verdict.FAILED,
        reason=redaction.text(f"{type(exc).__name__}: {redaction.one_line(exc, 300)}"),
        traceback=redaction.traceback_text(exc),
    )


def with_changes(settled: Settled, changes: Changes) -> Settled:
    """Fail a cell that agrees but left the process changed; tell it of one that has a verdict."""
    result = settled.result
    if changes.drawn:
        told = {**result.notes, "drew_random_numbers": ", ".join(changes.drawn)}
        result = replace(result, notes=told)
    if changes.reason is None:
        return replace(settled, result=result)
    if result.verdict is Verdict.AGREES:
        return Settled(replace(result, verdict=Verdict.FAILED, reason=changes.reason))
    if result.verdict in (Verdict.DISAGREES, Verdict.FAILED):
        return Settled(replace(result, reason=f"{result.reason}; and it {changes.reason}"))
    return Settled(replace(result, notes={**result.notes, "left_behind": changes.reason}))


def _with_warnings(
    settled: Settled, messages: Sequence[str], backend: Backend, reference: Reference
) -> Settled:
    """Keep what was warned of; fail the cell where the library means a wrong Jacobian by it."""
    if not messages:
        return settled
    shown = [redaction.text(message[:200]) for message in messages]
    result = replace(settled.result, notes={**settled.result.notes, "warnings": shown})
    fatal = [m for m in messages if m.startswith(tuple(backend.fatal_warnings))]
    if fatal and reference.here.seen.any():
        reason = f"warned {fatal[0][:200]!r}, but the Jacobian is not zero"
        return Settled(replace(result, verdict=Verdict.FAILED, reason=reason))
    return replace(settled, result=result)


def guarded(result: CellResult, problem: Problem, m: int, limit: int | None) -> CellResult | None:
    """Return ``result`` as ``too large`` where its Jacobian would not fit, else None."""
    reason = memory.too_large(m, problem.n, result.cell.dtype, limit)
    if reason is None:
        return None
    return replace(result, verdict=Verdict.TOO_LARGE, reason=reason, m=m, n=problem.n)
