"""What one process does with its cells: settle each once, keep it prepared, measure its memory."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jacbench import problems
from jacbench.backend import Backend, Method, Native, Target, registry
from jacbench.checking import process_state, recheck, sample_independence
from jacbench.checking.checks import Settled
from jacbench.checking.new_points import NewPoints
from jacbench.checking.product_reference import OPERATORS, reference_by_products
from jacbench.checking.reference import Reference, outputs, reference
from jacbench.checking.verdict import failed, guarded, out_of_memory, refused, settle
from jacbench.core import operators, redaction
from jacbench.core.arrays import Array
from jacbench.core.cell import Cell, CellResult, Verdict
from jacbench.core.errors import JacbenchError, MissingError
from jacbench.core.operators.operator import Sizes
from jacbench.measuring import memory
from jacbench.measuring import threads as environment
from jacbench.problems.counted_function import home
from jacbench.problems.problem import Problem
from jacbench.results import source_hash
from jacbench.running import as_set


@dataclass(frozen=True)
class Limits:
    """What bounds a cell, and what it is held to.

    Attributes
    ----------
    chunk_size
        Rows or columns at a time, for methods that take it; None: the method's own.
    memory_bytes
        What checking a Jacobian may need; None: a share of what is available.
    rtol, atol
        Tolerances that take the place of each problem's own; None: as it says.
    """

    chunk_size: int | None = None
    memory_bytes: int | None = None
    rtol: float | None = None
    atol: float | None = None

    def held_to(self, problem: Problem) -> Problem:
        """Return ``problem`` with these tolerances."""
        if self.rtol is None and self.atol is None:
            return problem
        rtol = problem.rtol if self.rtol is None else self.rtol
        atol = problem.atol if self.atol is None else self.atol
        return replace(problem, rtol=rtol, atol=atol)


class Harness:
    """Backends, references and prepared cells of one process.

    Attributes
    ----------
    settings
        What each backend's ``configure`` reported, and the cores its matrix product used.
    settled
        Every cell that has a verdict here.
    """

    def __init__(
        self,
        threads: int,
        limits: Limits,
        given: Mapping[str, Problem] | None = None,
        *,
        verify_pins: bool = True,
        configure: bool = True,
    ) -> None:
        self.threads = threads
        self.limits = limits
        self.given = dict(given or {})
        self.verify_pins = verify_pins
        self.configure = configure
        self.settings: dict[str, dict[str, Any]] = {}
        self.settled: dict[Cell, Settled] = {}
        self._warm: set[tuple[str, str]] = set()
        self._references: dict[tuple[str, str, str, bool], Reference | JacbenchError] = {}
        self._points: dict[tuple[str, str, str, bool], NewPoints] = {}
        self._interactions: dict[tuple[str, str, str], str | None] = {}
        self._outputs: dict[tuple[str, str], int] = {}
        self._hashes: dict[str, str | None] = {}
        self._another: dict[tuple[str, str], str | None] = {}
        self._before: process_state.State | None = None

    def problem(self, name: str) -> Problem:
        """Return the problem ``name``, given as an object or from the catalogue."""
        return self.given[name] if name in self.given else problems.get(name)

    def settle(self, cell: Cell) -> Settled:
        """Return the settled ``cell``, settling it at the first call.

        What follows is watched: :meth:`state_changes` compares with the process as it is now.
        """
        if cell not in self.settled:
            # Before a call can change what a function holds.
            problem_hash = self._hash(
                cell.problem, lambda: source_hash.of_problem(self.problem(cell.problem))
            )
            settled = self._settle(cell)
            method_hash = self._hash(
                f"method {cell.method}", lambda: source_hash.of_method(registry.method(cell.method))
            )
            result = replace(settled.result, problem_hash=problem_hash, method_hash=method_hash)
            self.settled[cell] = replace(settled, result=result)
        self._before = None
        if self.settled[cell].prepared is not None:
            self._before = process_state.take(registry.load(cell.backend))
        return self.settled[cell]

    def state_changes(self) -> str | None:
        """Return how the process changed since the last :meth:`settle`, and put it back.

        To be called after a cell was timed: the 50th call may do what none before it did. One line
        that says why the cell has failed; None where all is as it was.
        """
        if self._before is None:
            return None
        return process_state.put_back(self._before).reason

    def ask_again(self, cell: Cell, last: Native, *, whole: bool) -> CellResult:
        """Ask a cell that was timed again, see ``checking.recheck``; return its result.

        ``last`` is what the last of its calls returned. Where the result no longer agrees, nothing
        is prepared any more.
        """
        settled = self.settled[cell]
        if settled.trial is not None:
            # in a process of the caller's, precision may be a setting of one thread alone
            self.settled[cell] = recheck.again(
                settled,
                last,
                self._new_points(cell, settled.trial.reference),
                whole=whole,
                threads=self.configure,
            )
        return self.settled[cell].result

    def _new_points(self, cell: Cell, known: Reference) -> NewPoints:
        problem, whole = self.problem(cell.problem), not known.compared_on
        where = home(problem, cell.backend) if whole else cell.backend
        key = problem.name, cell.dtype, where, whole

        def rightly(moved: Problem) -> Reference:
            return self._rightly(moved, cell.dtype, where, whole=whole)

        if key not in self._points:
            self._points[key] = NewPoints(problem, known, rightly, cell.dtype)
        return self._points[key]

    def pins_hold(self, backend: str) -> str | None:
        """Return a caution where ``backend`` uses more cores than asked for; None where it holds.

        Where nothing was measured, as in a check, nothing is said.
        """
        cores = self.settings.get(backend, {}).get("measured_cores")
        if cores is None or cores <= self.threads * (1 + environment.PIN_MARGIN):
            return None
        return f"{backend} used {cores:.2g} cores where {self.threads} was asked for"

    def _hash(self, name: str, compute: Callable[[], str]) -> str | None:
        """Return the hash, computed once; None of what is absent or cannot be looked into."""
        if name not in self._hashes:
            try:
                self._hashes[name] = compute()
            except Exception:  # noqa: BLE001 - whatever an object's own attributes raise
                self._hashes[name] = None
        return self._hashes[name]

    def _settle(self, cell: Cell) -> Settled:
        result = CellResult(cell=cell, verdict=Verdict.NOT_RUN)
        try:
            problem = self.limits.held_to(self.problem(cell.problem))
            backend = self.backend(cell.backend)
            method = registry.method(cell.method)
            reason = refused(cell, problem, method, self.limits.chunk_size)
            if reason is not None:
                known = replace(result, n=problem.n, m=self._known_outputs(problem, cell))
                return Settled(replace(known, verdict=Verdict.UNSUPPORTED, reason=reason))
            another = self._another.get((cell.problem, cell.backend))
            if another is not None:
                known = replace(result, n=problem.n)
                return Settled(replace(known, verdict=Verdict.UNSUPPORTED, reason=another))
            m = self._output_count(problem, cell)
            too_large = guarded(result, problem, m, self.limits.memory_bytes)
            # what NumPy gives is cut out of the whole
            small = cell.operator in OPERATORS and cell.backend != "numpy"
            if too_large is not None and not small:
                return Settled(too_large)
            reference = self._reference(problem, cell, whole=too_large is None)
            reason = self._interaction(problem, cell, reference)
            if reason is not None:
                known = replace(result, n=problem.n, m=m)
                return Settled(replace(known, verdict=Verdict.UNSUPPORTED, reason=reason))
            self.warm_up(backend, method, cell)
            return settle(
                cell,
                problem,
                backend,
                method,
                reference,
                chunk_size=self.limits.chunk_size,
            )
        except MissingError as exc:
            return Settled(replace(result, verdict=Verdict.UNSUPPORTED, reason=str(exc)))
        except JacbenchError as exc:
            # The user's function or problem: one line; what it raised itself is kept whole.
            told = replace(result, verdict=Verdict.FAILED, reason=str(exc))
            if exc.__cause__ is not None:
                told = replace(failed(told, exc.__cause__), reason=redaction.text(str(exc)))
            return Settled(self._or_too_large(told, exc))
        except Exception as exc:  # noqa: BLE001 - a backend that cannot be loaded or configured
            return Settled(self._or_too_large(failed(result, exc), exc))

    def _or_too_large(self, result: CellResult, exc: Exception) -> CellResult:
        """Return the verdict on what a reference or a backend raised, outside of any method."""
        name = result.cell.backend
        if name not in self.settings or not out_of_memory(exc, registry.load(name)):
            return result
        return replace(result, verdict=Verdict.TOO_LARGE)

    def backend(self, name: str) -> Backend:
        """Return the backend, configured and verified at the first call.

        Left as it is where the harness works in a process that is the caller's.
        """
        backend = registry.load(name)
        if name not in self.settings:
            if self.configure:
                # before float64 is turned on: the user's function is the one as things are set
                self._another |= {
                    (problem, name): as_set.another(own, name)
                    for problem, own in self.given.items()
                }
            self.settings[name] = {**backend.configure(self.threads)} if self.configure else {}
            if self.verify_pins:
                cores = environment.measured_cores(backend)
                self.settings[name]["measured_cores"] = round(cores, 2)
        return backend

    def reference_jacobian(self, cell: Cell) -> Array:
        """Return the Jacobian, or its products, that a cell that agrees was held against, at x."""
        trial = self.settled[cell].trial
        assert trial is not None  # noqa: S101 - asked only of who agrees
        return trial.reference.here.seen

    def _reference(self, problem: Problem, cell: Cell, *, whole: bool) -> Reference:
        """Return what is right: every entry, or products where the matrix is too large to hold."""
        where = home(problem, cell.backend) if whole else cell.backend
        key = problem.name, cell.dtype, where, whole
        if key not in self._references:
            self.backend(where)
            try:
                self._references[key] = self._rightly(problem, cell.dtype, where, whole=whole)
            except JacbenchError as exc:  # the same line for every method, computed once
                self._references[key] = exc
        found = self._references[key]
        if isinstance(found, JacbenchError):
            raise found
        return found

    def _rightly(self, problem: Problem, dtype: str, where: str, *, whole: bool) -> Reference:
        with registry.load(where).precise():
            return (reference if whole else reference_by_products)(problem, dtype, where)

    def _interaction(self, problem: Problem, cell: Cell, reference: Reference) -> str | None:
        """Return why there is no Jacobian per sample, or None; asked once for all methods."""
        if cell.operator != "batch_jacobian":
            return None
        where = home(problem, cell.backend)
        key = problem.name, cell.dtype, where
        if key not in self._interactions:
            with registry.load(where).precise():
                self._interactions[key] = sample_independence.of_problem(problem, reference, where)
        return self._interactions[key]

    def _output_count(self, problem: Problem, cell: Cell) -> int:
        key = problem.name, home(problem, cell.backend)
        if key not in self._outputs:
            with registry.load(key[1]).precise():
                self._outputs[key] = int(np.prod(outputs(problem, key[1]), dtype=int))
        return self._outputs[key]

    def _known_outputs(self, problem: Problem, cell: Cell) -> int | None:
        """Return m where the function can be evaluated for this cell at all."""
        if problem.undifferentiable or problem.written_for(cell.backend):
            return None
        return self._output_count(problem, cell)

    def warm_up(self, backend: Backend, method: Method, cell: Cell) -> None:
        """Let the library pay for its lazy imports (0.7 s in torch) before anything is timed."""
        if (method.info.name, cell.device) in self._warm:
            return
        self._warm.add((method.info.name, cell.device))
        with warnings.catch_warnings():
            # What a library says when it is first used is said of no cell.
            warnings.simplefilter("ignore")
            before = process_state.take(backend)
            method.warm_up(_tiny_target(backend, method, cell))
            # What a method leaves behind here it would not change a second time, in its cell.
            process_state.put_back(before, first_use=True)

    def measure_memory(self, cell: Cell) -> int | None:
        """Return the peak memory of one call of a cell that agrees, in bytes.

        None where the system cannot say, and where the call fails now: its times stand. Only
        after everything is timed: measuring changes how the allocator works.
        """
        settled = self.settled[cell]
        if settled.prepared is None or not memory.prepare_to_measure():
            return None
        with warnings.catch_warnings():
            # They were kept when the cell was settled; a session may turn them into errors.
            warnings.simplefilter("ignore")
            try:
                return self._peak(cell, settled.prepared.call, settled.x)
            except Exception:  # noqa: BLE001 - whatever a method raises
                return None

    def leak_bytes(self, cell: Cell) -> int | None:
        """Return by how much the process grows with every call of a cell that agrees, in bytes.

        None where it does not, or where that cannot be said. Some 50 calls, 0.3 s; after
        :meth:`measure_memory`, since its settings let a leak be seen.
        """
        prepared, x = self.settled[cell].prepared, self.settled[cell].x
        if prepared is None or not memory.prepare_to_measure():
            return None
        call = prepared.call
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return memory.leak_bytes(lambda: call(x))
            except Exception:  # noqa: BLE001 - whatever a method raises: its times stand
                return None

    def _peak(self, cell: Cell, call: Callable[[Any], Any], x: Any) -> int | None:
        call(x)  # what a visit long ago left cold comes back now
        if cell.device != "cpu":
            backend = registry.load(cell.backend)
            return backend.device_peak_bytes(lambda: call(x), cell.device)
        return memory.peak_bytes(lambda: call(x))


def _tiny_target(backend: Backend, method: Method, cell: Cell) -> Target:
    """Return the square of two numbers, each a sample, as every operator's target."""
    x = np.array([1.0, 2.0])
    operator = operators.get(method.info.operator)
    vector = operator.vector(Sizes((2,), [(2,)], 0), 0)
    placed = backend.put(x, cell.device, cell.dtype)
    return Target(
        function=lambda x: x * x,
        x=placed,
        constants=(),
        y_shape=(2,),
        device=cell.device,
        dtype=cell.dtype,
        analytic=lambda x: np.diag(2 * x),
        vector=None if vector is None else backend.put(vector[0], cell.device, cell.dtype),
        in_axes=(0,),
        intermediate=lambda x: (x * x, x),
    )
