"""From a cell to a verdict: primal values first, then the Jacobian, only then the clock."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jacbench import agreement, memory, scrub, tree
from jacbench.backend import Backend, Method, Native, Prepared, Target
from jacbench.cell import Cell, CellResult, Verdict
from jacbench.layout import Array, Layout
from jacbench.problem import Problem
from jacbench.reference import Point, Reference


@dataclass(frozen=True)
class Settled:
    """A cell with its verdict, and where it agrees what is needed to time it.

    Attributes
    ----------
    result
        Verdict, error, preparation and first call.
    prepared
        The prepared call; None unless the verdict is ``agrees``.
    x
        The native point at which the call is timed.
    """

    result: CellResult
    prepared: Prepared | None = None
    x: Native = None


class _Refused(Exception):  # noqa: N818 - not an error: a verdict on its way out
    def __init__(self, verdict: Verdict, reason: str, **found: Any) -> None:
        super().__init__(reason)
        self.verdict = verdict
        self.reason = reason
        self.found = found


def refused(cell: Cell, problem: Problem, method: Method, chunk_size: int | None) -> str | None:
    """Return why ``method`` does not support ``cell``, or None where it does."""
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
    """
    tolerance = method.tolerance(cell.dtype) or agreement.tolerance(cell.dtype, cell.device)
    result = CellResult(
        cell=cell,
        verdict=Verdict.AGREES,
        m=reference.m,
        n=problem.n,
        tolerance=max(tolerance, reference.error),
        reference=reference.kind,
        chunk_size=chunk_size if method.chunking == "chunked" else None,
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            settled = _Trial(result, problem, backend, method, reference).run()
        except _Refused as refusal:
            settled = Settled(
                replace(result, verdict=refusal.verdict, reason=refusal.reason, **refusal.found)
            )
        except Exception as exc:  # noqa: BLE001 - whatever a method or a user's function raises
            settled = Settled(_fault(result, method, exc))
    messages = list(dict.fromkeys(" ".join(str(w.message).split()) for w in caught))
    return _with_warnings(settled, messages, backend, reference)


def _fault(result: CellResult, method: Method, exc: Exception) -> CellResult:
    reason = method.declined(exc)
    whole = failed(result, exc)
    if reason is None:
        return whole
    return replace(whole, verdict=Verdict.UNSUPPORTED, reason=scrub.text(_short(reason)))


def _short(message: str, limit: int = 300) -> str:
    line = " ".join(message.split())
    return line if len(line) <= limit else f"{line[:limit]}…"


def failed(result: CellResult, exc: BaseException) -> CellResult:
    """Return ``result`` as ``failed``: the exception in one line, and its whole traceback."""
    return replace(
        result,
        verdict=Verdict.FAILED,
        reason=scrub.text(f"{type(exc).__name__}: {_short(str(exc))}"),
        traceback=scrub.traceback_text(exc),
    )


def _with_warnings(
    settled: Settled, messages: Sequence[str], backend: Backend, reference: Reference
) -> Settled:
    """Keep what was warned of; fail the cell where the library means a wrong Jacobian by it."""
    if not messages:
        return settled
    shown = [scrub.text(message[:200]) for message in messages]
    result = replace(settled.result, notes={**settled.result.notes, "warnings": shown})
    fatal = [m for m in messages if m.startswith(tuple(backend.fatal_warnings))]
    if fatal and reference.here.jacobian.any():
        reason = f"warned {fatal[0][:200]!r}, but the Jacobian is not zero"
        return Settled(replace(result, verdict=Verdict.FAILED, reason=reason))
    return replace(settled, result=result)


class _Trial:
    """One cell on trial: each step raises :class:`_Refused` where it finds a fault."""

    def __init__(
        self,
        result: CellResult,
        problem: Problem,
        backend: Backend,
        method: Method,
        reference: Reference,
    ) -> None:
        self.result = result
        self.problem = problem
        self.backend = backend
        self.method = method
        self.reference = reference
        self.tolerance = result.tolerance or 0.0
        self.error = 0.0
        self.inputs = input_names(problem)

    def run(self) -> Settled:
        """Go through the steps in their order."""
        here, elsewhere = self.reference.here, self.reference.elsewhere
        x, constants = self._put(here.x), tuple(self._put(c) for c in here.constants)
        other = self._put(elsewhere.x)
        target = self._target(x, constants)
        self._check_primal(target.function(other, *constants), elsewhere)

        start = time.perf_counter()
        prepared = self.method.prepare(target)
        prepare_s = time.perf_counter() - start

        first_call_s = self._check_calls(prepared, target, x, other)
        result = replace(
            self.result,
            error=self.error,
            prepare_s=prepare_s,
            first_call_s=first_call_s,
            notes={name: _plain(value) for name, value in prepared.notes.items()},
        )
        return Settled(result, prepared, x)

    def _put(self, value: Any) -> Native:
        cell = self.result.cell
        placed = tree.map_leaves(
            lambda leaf: self.backend.put(leaf, cell.device, cell.dtype), value
        )
        self.backend.synchronise(placed)
        return placed

    def _target(self, x: Native, constants: tuple[Native, ...]) -> Target:
        function, xp = self.problem.function, self.backend.xp

        def bound(x: Any, *constants: Any) -> Any:
            return function(xp, x, *constants)

        return Target(
            function=bound,
            x=x,
            constants=constants,
            y_shape=self.reference.here.y.shape,
            device=self.result.cell.device,
            dtype=self.result.cell.dtype,
            chunk_size=self.result.chunk_size,
            analytic=self.problem.jacobian,
        )

    def _check_primal(self, native: Native, point: Point) -> None:
        if not self.backend.is_array(native):
            raise _Refused(
                Verdict.DISAGREES,
                f"the function's value is a {type(native).__name__}, not one of the library's "
                "arrays",
            )
        value = self.backend.to_numpy(native)
        if value.shape != point.y.shape:
            raise _Refused(
                Verdict.DISAGREES,
                f"the function's value has shape {value.shape}, not {point.y.shape}",
            )
        if str(value.dtype) != self.result.cell.dtype:
            raise _Refused(
                Verdict.DISAGREES,
                f"the function's value is {value.dtype} in a {self.result.cell.dtype} cell",
            )
        comparison = agreement.compare(value.reshape(-1, 1), point.y.reshape(-1, 1))
        limit = agreement.tolerance(self.result.cell.dtype, self.result.cell.device)
        if not comparison.within(limit):
            raise _Refused(
                Verdict.DISAGREES,
                f"the function's value differs before any derivative: ‖y-r‖/‖r‖ = "
                f"{comparison.error:.2g} > {limit:.1g}; worst at output {comparison.row}: "
                f"{comparison.value!r}, expected {comparison.expected!r}",
                error=_finite(comparison.error),
            )

    def _check_calls(self, prepared: Prepared, target: Target, x: Native, other: Native) -> float:
        layout = self.method.layout(target)
        unchanged = [self.backend.to_numpy(leaf) for leaf in tree.leaves(other)]

        start = time.perf_counter()
        first = prepared.call(other)
        first_call_s = time.perf_counter() - start

        answer = self._matrix(first, layout)
        self._check_matrix(answer, self.reference.elsewhere, "at another point than it prepared")
        second = prepared.call(x)
        self._check_matrix(self._matrix(second, layout), self.reference.here, "in a second call")
        # Now, since a third call for the first point would write the same numbers again.
        overwritten = not np.array_equal(self._matrix(first, layout), answer)
        third = self._matrix(prepared.call(other), layout)
        self._check_matrix(third, self.reference.elsewhere, "when asked again for a point")
        if overwritten:
            raise _Refused(
                Verdict.DISAGREES,
                "a later call overwrote the result of an earlier one: each call must return an "
                "array of its own",
                error=_finite(self.error),
            )
        for before, leaf in zip(unchanged, tree.leaves(other), strict=True):
            if not np.array_equal(before, self.backend.to_numpy(leaf)):
                raise _Refused(Verdict.DISAGREES, "the call changed its input")
        return first_call_s

    def _matrix(self, native: Native, layout: Layout) -> Array:
        """Check the native arrays against the declared layout, exactly; return the matrix."""
        arrays = tree.leaves(native)
        y_shape = self.reference.here.y.shape
        expected = layout.shapes(y_shape, self.problem.leaf_shapes)
        strangers = [type(a).__name__ for a in arrays if not self.backend.is_array(a)]
        if strangers:
            raise _Refused(
                Verdict.DISAGREES,
                f"the result holds a {strangers[0]}, not one of the library's arrays",
            )
        found = [self.backend.to_numpy(array) for array in arrays]
        shapes = [array.shape for array in found]
        if shapes != expected:
            raise _Refused(
                Verdict.DISAGREES,
                f"native shape {_shapes(shapes)}, but the method declares {layout.name}: "
                f"{_shapes(expected)}",
            )
        dtypes = {str(array.dtype) for array in found} - {self.result.cell.dtype}
        if dtypes:
            raise _Refused(
                Verdict.DISAGREES,
                f"the result is {', '.join(sorted(dtypes))} in a {self.result.cell.dtype} cell",
            )
        return layout.matrix(found, math.prod(y_shape))

    def _check_matrix(self, matrix: Array, point: Point, when: str) -> None:
        comparison = agreement.compare(matrix, point.jacobian)
        self.error = max(self.error, comparison.error)
        if comparison.within(self.tolerance):
            return
        place = self.inputs[comparison.column]
        raise _Refused(
            Verdict.DISAGREES,
            f"{when}: ‖J-R‖/‖R‖ = {comparison.error:.2g} > {self.tolerance:.1g}; worst at row "
            f"{comparison.row}, column {comparison.column} (x{place}): {comparison.value!r}, "
            f"expected {comparison.expected!r}",
            error=_finite(comparison.error),
            worst=agreement.worst_entry(comparison, self.inputs),
        )


def input_names(problem: Problem) -> list[str]:
    """Return where each input stands in x, in canonical order: ``[0][1][3, 2]``."""
    return [
        f"{name}[{', '.join(map(str, index))}]" if index else name
        for name, shape in zip(tree.names(problem.x), problem.leaf_shapes, strict=True)
        for index in np.ndindex(*shape)
    ]


def guarded(result: CellResult, problem: Problem, m: int, limit: int | None) -> CellResult | None:
    """Return ``result`` as ``too large`` where its Jacobian would not fit, else None."""
    reason = memory.too_large(m, problem.n, result.cell.dtype, limit)
    if reason is None:
        return None
    return replace(result, verdict=Verdict.TOO_LARGE, reason=reason, m=m, n=problem.n)


def _shapes(shapes: Sequence[tuple[int, ...]]) -> str:
    return ", ".join(map(str, shapes))


def _plain(value: Any) -> str | int | float:
    """Return a note as JSON can hold it, whatever a method put there."""
    if isinstance(value, np.generic):
        value = value.item()
    return value if isinstance(value, (str, int, float)) else str(value)


def _finite(error: float) -> float | None:
    return error if math.isfinite(error) else None
