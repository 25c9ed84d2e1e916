"""The steps that a cell has to pass: primal values, native shapes, the derivative at two points."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jacbench.backend import Backend, Method, Native, Prepared, Target
from jacbench.checking import matrix_error
from jacbench.checking.reference import Point, Reference
from jacbench.core import operators, tree
from jacbench.core.arrays import Array
from jacbench.core.cell import CellResult, Verdict
from jacbench.core.known_fault import KnownFault
from jacbench.core.layouts import Layout
from jacbench.core.operators.operator import Sizes
from jacbench.core.pattern import Pattern
from jacbench.core.redaction import one_line
from jacbench.problems.checked_value import value_without_gradients
from jacbench.problems.derived import shifted
from jacbench.problems.problem import Problem

KEPT_BYTES = 1 << 23
"""The result of a cell's first call is kept if it holds no more."""


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
    trial
        The trial that it passed, which may ask again: :mod:`jacbench.checking.recheck`.
    """

    result: CellResult
    prepared: Prepared | None = None
    x: Native = None
    trial: Trial | None = None


@dataclass(frozen=True)
class Kept:
    """A native result, and copies of its arrays as they were when it was returned."""

    native: Native
    copies: Sequence[Array]


class Refused(Exception):  # noqa: N818 - not an error: a verdict on its way out
    """A cell that does not pass a step, with the verdict and what was found."""

    def __init__(self, verdict: Verdict, reason: str, **found: Any) -> None:
        super().__init__(reason)
        self.verdict = verdict
        self.reason = reason
        self.found = found


class Trial:
    """One cell on its way: what is known of it, and the steps that it has to pass."""

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
        self.operator = operators.get(result.cell.operator)
        axis = problem.in_axes[0] if problem.in_axes else None
        self.sizes = Sizes(reference.here.y.shape, problem.leaf_shapes, axis)
        self.vector = self.operator.vector(self.sizes, problem.seed)
        self.tolerance = result.tolerance or 0.0
        self.error = 0.0
        self.repeat_error = 0.0
        self.known_fault: KnownFault | None = None
        self.prepared: Prepared | None = None
        self.target: Target | None = None
        self.cautions: tuple[str, ...] = ()
        self.kept: list[Kept] = []
        """What the first call gave, to be looked at again after many others."""

    def run(self) -> Settled:
        """Go through the steps in their order."""
        here, elsewhere = self.reference.here, self.reference.elsewhere
        x, constants = self.put(here.x), tuple(self.put(c) for c in here.constants)
        other = self.put(elsewhere.x)
        target = self.target = self._target(x, constants)
        self._check_primal(target, other, elsewhere)

        start = time.perf_counter()
        prepared = self.method.prepare(target)
        prepare_s = time.perf_counter() - start
        self.prepared = prepared

        first_call_s = self._check_calls(prepared, target, x, other)
        if self.known_fault is not None:
            raise Refused(Verdict.KNOWN_FAULT, self.known_fault.told(), error=_finite(self.error))
        notes = {name: _plain(value) for name, value in prepared.notes.items()}
        if self.repeat_error:
            notes["repeat_error"] = self.repeat_error
        result = replace(
            self.result,
            error=self.error,
            prepare_s=prepare_s,
            first_call_s=first_call_s,
            notes=notes,
            cautions=self.cautions,
        )
        return Settled(result, prepared, x, self)

    def put(self, value: Any) -> Native:
        """Return a tree of NumPy arrays as native ones, in the cell's dtype and on its device."""
        cell = self.result.cell
        placed = tree.map_leaves(
            lambda leaf: self.backend.put(leaf, cell.device, cell.dtype), value
        )
        self.backend.synchronise(placed)
        return placed

    def _target(self, x: Native, constants: tuple[Native, ...]) -> Target:
        problem = self.problem
        name, xp = self.result.cell.backend, self.backend.xp
        function = problem.bound(name, xp)
        keeps_aux = problem.has_aux and self.operator.returns_value
        return Target(
            function=function if keeps_aux else problem.value_alone(function),
            x=x,
            constants=constants,
            y_shape=self.reference.here.y.shape,
            device=self.result.cell.device,
            dtype=self.result.cell.dtype,
            chunk_size=self.result.chunk_size,
            analytic=problem.jacobian,
            vector=self._native_vector(x),
            in_axes=problem.in_axes or (),
            has_aux=keeps_aux,
            intermediate=shifted(problem, name, xp),
            pattern=None if problem.pattern is None else Pattern.of(problem.pattern),
            elsewhere=self.put(self.reference.elsewhere.x),
        )

    def _native_vector(self, x: Native) -> Native:
        if self.vector is None:
            return None
        return self.operator.vector_like([self.put(part) for part in self.vector], x)

    def _compared(self, matrix: Array, jacobian: Array) -> matrix_error.Comparison:
        """Hold the operator's result against what it is for the (m, n) ``jacobian``."""
        flat = None
        if self.vector is not None:
            rounded = [part.astype(self.result.cell.dtype) for part in self.vector]
            flat = np.concatenate([part.reshape(-1) for part in rounded]).astype(np.float64)
        expected = self.operator.expected(jacobian, self.sizes, flat)
        terms = None
        if flat is not None:
            terms = self.operator.expected(np.abs(jacobian), self.sizes, np.abs(flat))
        inexact = self.method.tolerance(self.result.cell.dtype) or self.reference.error
        return matrix_error.compare(
            matrix,
            expected,
            self.operator.scale(jacobian, flat),
            terms=terms,
            floor=matrix_error.NORMWISE if inexact else matrix_error.FLOOR,
            atol=self.problem.atol or 0.0,
        )

    def _check_primal(self, target: Target, x: Native, point: Point) -> None:
        def evaluate() -> tuple[Native, Native]:
            value = target.function(x, *target.constants)
            return value if target.has_aux else (value, None)

        value, aux = evaluate()
        what, how = "the function's value", "differs before any derivative"
        try:
            self._check_value(value, point.y, what, how)
        except Refused as refused:
            differentiated = self.backend.as_differentiated()
            if differentiated is not None and "error" in refused.found:
                with differentiated, contextlib.suppress(Refused):
                    value, aux = evaluate()
                    self._check_value(value, point.y, what, how)
                    self._check_aux(aux, point, target)
                    self.cautions = (value_without_gradients(refused.found["error"]),)
                    return
            limit = matrix_error.tolerance(self.result.cell.dtype, self.result.cell.device)
            calls = _in_a_row(lambda: [self.backend.to_numpy(evaluate()[0])])
            _check_repeats(calls, limit, "y", "the function is not deterministic", refused)
            raise
        self._check_aux(aux, point, target)

    def _check_aux(self, aux: Native, point: Point, target: Target) -> None:
        if not target.has_aux:
            return
        found, expected = tree.leaves(aux), tree.leaves(point.aux)
        if len(found) != len(expected):
            raise Refused(Verdict.DISAGREES, f"aux holds {len(found)} arrays, not {len(expected)}")
        for name, one, other in zip(tree.names(point.aux), found, expected, strict=True):
            if self.backend.is_array(one):
                self._check_device([one], f"aux{name}")
            if other.dtype.kind == "f":
                self._check_value(one, other, f"aux{name}", "differs")
            elif not self.backend.is_array(one) or not np.array_equal(
                self.backend.to_numpy(one), other
            ):
                found = self.backend.to_numpy(one) if self.backend.is_array(one) else one
                raise Refused(
                    Verdict.DISAGREES,
                    f"aux{name} is {one_line(found, 100)}, not {one_line(other, 100)}",
                )

    def _check_value(self, native: Native, expected: Array, what: str, how: str) -> None:
        if not self.backend.is_array(native):
            raise Refused(
                Verdict.DISAGREES,
                f"{what} is a {type(native).__name__}, not one of the library's arrays",
            )
        self._check_device([native], what)
        value = self.backend.to_numpy(native)
        if value.shape != expected.shape:
            raise Refused(
                Verdict.DISAGREES, f"{what} has shape {value.shape}, not {expected.shape}"
            )
        if str(value.dtype) != self.result.cell.dtype:
            raise Refused(
                Verdict.DISAGREES,
                f"{what} is {value.dtype} in a {self.result.cell.dtype} cell",
            )
        comparison = matrix_error.compare(
            value.reshape(-1, 1), expected.reshape(-1, 1), floor=matrix_error.NORMWISE
        )
        usual = matrix_error.tolerance(self.result.cell.dtype, self.result.cell.device)
        limit = max(usual, self.problem.rtol or 0.0)
        if not comparison.within(limit):
            raise Refused(
                Verdict.DISAGREES,
                f"{what} {how}: ‖y-r‖/‖r‖ = {comparison.error:.2g} > {limit:.1g}; worst at output "
                f"{comparison.row}: {comparison.value!r}, expected {comparison.expected!r}",
                error=_finite(comparison.error),
            )

    def _check_calls(self, prepared: Prepared, target: Target, x: Native, other: Native) -> float:
        here, elsewhere = self.reference.here, self.reference.elsewhere
        given = [*tree.leaves(other), *tree.leaves(x)]
        unchanged = [self.backend.to_numpy(leaf) for leaf in given]

        start = time.perf_counter()
        first = prepared.call(other)
        first_call_s = time.perf_counter() - start

        try:
            answer = self.check_answer(
                first, elsewhere, target, "at another point than it prepared"
            )
        except Refused as refused:
            # Only of a first call: a method that adds to what it gave before is another fault.
            calls = _in_a_row(lambda: self._arrays(prepared.call(other), target))
            because = "the method (or function) is not deterministic"
            _check_repeats(calls, self.tolerance, "J", because, refused)
            raise
        returned = self.copies(first)
        if sum(array.nbytes for array in returned) <= KEPT_BYTES:
            self.kept.append(Kept(first, returned))
        second = prepared.call(x)
        self.check_answer(second, here, target, "in a second call")
        # Now, since a third call for the first point would write the same numbers again.
        overwritten = not all(map(np.array_equal, self.copies(first), returned))
        third = prepared.call(other)
        again = self.check_answer(third, elsewhere, target, "when asked again for a point")
        self.repeat_error = _relative(answer, again)
        if overwritten:
            raise Refused(
                Verdict.DISAGREES,
                "a later call overwrote the result of an earlier one: each call must return an "
                "array of its own",
                error=_finite(self.error),
            )
        for before, leaf in zip(unchanged, given, strict=True):
            if not np.array_equal(before, self.backend.to_numpy(leaf)):
                raise Refused(Verdict.DISAGREES, "the call changed its input")
        return first_call_s

    def check_answer(self, native: Native, point: Point, target: Target, when: str) -> list[Array]:
        """Check all that a call returned; return copies of its derivative's arrays."""
        arrays = self._arrays(native, target)
        self._check_matrix(arrays, point, target, when)
        self._check_returned_value(native, point, target)
        return arrays

    def _check_returned_value(self, native: Native, point: Point, target: Target) -> None:
        """Check what a method returns beside its derivative."""
        if not self.operator.returns_value:
            return
        value, aux, _ = self._parts(native, target)
        self._check_value(value, point.y, "the value returned beside J", "differs")
        self._check_aux(aux, point, target)

    def _parts(self, native: Native, target: Target) -> tuple[Native, Native, Native]:
        try:
            return self.operator.parts(native, has_aux=target.has_aux)
        except TypeError as exc:
            raise Refused(Verdict.DISAGREES, str(exc)) from None

    def _arrays(self, native: Native, target: Target) -> list[Array]:
        """Check the native arrays against the declared layout, exactly; return copies."""
        layout = self._layout(target)
        arrays = tree.leaves(self._parts(native, target)[2])
        expected = layout.shapes(*self.operator.shapes(self.sizes))
        strangers = [type(a).__name__ for a in arrays if not self.backend.is_array(a)]
        if strangers:
            raise Refused(
                Verdict.DISAGREES,
                f"the result holds a {strangers[0]}, not one of the library's arrays",
            )
        self._check_device(arrays, "the result")
        found = [self.backend.to_numpy(array) for array in arrays]
        shapes = [array.shape for array in found]
        if shapes != expected:
            raise Refused(
                Verdict.DISAGREES,
                f"native shape {_shapes(shapes)}, but the method declares {layout.name}: "
                f"{_shapes(expected)}",
            )
        dtypes = {str(array.dtype) for array in found} - {self.result.cell.dtype}
        if dtypes:
            raise Refused(
                Verdict.DISAGREES,
                f"the result is {', '.join(sorted(dtypes))} in a {self.result.cell.dtype} cell",
            )
        return found

    def _check_device(self, arrays: Sequence[Native], what: str) -> None:
        """Refuse what lies elsewhere: its transfer would have to be timed as well."""
        asked = self.result.cell.device
        for array in arrays:
            found = self.backend.device_of(array)
            if found != asked:
                raise Refused(Verdict.DISAGREES, f"{what} lies on {found}, not on {asked}")

    def copies(self, native: Native) -> list[Array]:
        """Return copies of all that a call returned: value and aux too, where it has them."""
        return [self.backend.to_numpy(a) for a in tree.leaves(native) if self.backend.is_array(a)]

    def _layout(self, target: Target) -> Layout:
        now = None if self.prepared is None else self.prepared.layout_now
        return now or self.method.layout(target)

    def _matrix(self, arrays: Sequence[Array], layout: Layout) -> Array:
        rows, _ = self.operator.shapes(self.sizes)
        return layout.matrix(arrays, math.prod(rows))

    def _check_matrix(
        self, arrays: Sequence[Array], point: Point, target: Target, when: str
    ) -> None:
        matrix = self._matrix(arrays, self._layout(target))
        comparison = self._compared(matrix, point.jacobian)
        self.error = max(self.error, comparison.error)
        if comparison.within(self.tolerance):
            return
        if self._is_known_fault(matrix, point):
            return
        inputs = self._column_names()
        place = inputs[comparison.column]
        raise Refused(
            Verdict.DISAGREES,
            f"{when}: {comparison.excess(self.tolerance)}; worst at row "
            f"{comparison.row}, column {comparison.column} (x{place}): {comparison.value!r}, "
            f"expected {comparison.expected!r}",
            error=_finite(comparison.error),
            worst=matrix_error.worst_entry(comparison, inputs),
        )

    def _is_known_fault(self, matrix: Array, point: Point) -> bool:
        """Say whether the answer is the very one that is known to be wrong, and keep the fault.

        It has its verdict at the end: an answer that is wrong in any other way is not excused.
        """
        for fault in self.problem.known_faults:
            if not fault.concerns(self.result.cell.method):
                continue
            wrong = np.asarray(fault.jacobian(point.x, *point.constants), dtype=np.float64)
            if self._compared(matrix, wrong).within(self.tolerance):
                self.known_fault = fault
                return True
        return False

    def _column_names(self) -> list[str]:
        if self.operator.name == "jvp":
            return [" along the tangent"]
        _, columns = self.operator.shapes(self.sizes)
        return entry_names(tree.names(self.problem.x), columns)


def entry_names(names: Sequence[str], shapes: Sequence[tuple[int, ...]]) -> list[str]:
    """Return where each column stands in x, in canonical order: ``[0][1][3, 2]``."""
    return [
        f"{name}[{', '.join(map(str, index))}]" if index else name
        for name, shape in zip(names, shapes, strict=True)
        for index in np.ndindex(*shape)
    ]


def _in_a_row(call: Callable[[], list[Array]]) -> list[list[Array]]:
    """Return what two calls give, nothing where one of them fails: it has its verdict already."""
    with contextlib.suppress(Exception):
        return [call(), call()]
    return []


def _check_repeats(
    calls: Sequence[Sequence[Array]], limit: float, name: str, because: str, refused: Refused
) -> None:
    """Refuse with another reason where two calls for the same x differ by more than ``limit``."""
    if not calls or "error" not in refused.found:
        return
    difference = _relative(*calls)
    if difference > limit:
        raise Refused(
            refused.verdict,
            f"two calls for the same x differ: ‖{name}1-{name}2‖/‖{name}1‖ = {difference:.2g}: "
            f"{because}",
            **refused.found,
        ) from refused


def _relative(one: Sequence[Array], other: Sequence[Array]) -> float:
    """Return ‖one - other‖/‖one‖ over arrays of the same shapes; 0 where no bit differs.

    NaN equals itself here: whether it is right has been said elsewhere.
    """
    pairs = list(zip(one, other, strict=True))
    if all(np.array_equal(a, b, equal_nan=True) for a, b in pairs):
        return 0.0
    difference = math.hypot(*(float(np.linalg.norm(a.astype(float) - b)) for a, b in pairs))
    size = math.hypot(*(float(np.linalg.norm(a.astype(float))) for a, _ in pairs))
    return difference / (size or 1.0)


def _shapes(shapes: Sequence[tuple[int, ...]]) -> str:
    return ", ".join(map(str, shapes))


def _plain(value: Any) -> str | int | float:
    """Return a note as JSON can hold it, whatever a method put there."""
    if isinstance(value, np.generic):
        value = value.item()
    return value if isinstance(value, (str, int, float)) else str(value)


def _finite(error: float) -> float | None:
    return error if math.isfinite(error) else None
