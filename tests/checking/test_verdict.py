"""A cell becomes a verdict: nothing is raised, every message is one line, no path gets out."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from jacbench.backend import Backend, Method, MethodInfo, Prepared, Target, registry
from jacbench.checking.checks import Settled, entry_names
from jacbench.checking.reference import reference
from jacbench.checking.verdict import failed, guarded, refused, settle
from jacbench.core import layouts, tree
from jacbench.core.cell import Cell, CellResult, Verdict
from jacbench.core.layouts import Layout
from jacbench.problems.problem import Problem
from jacbench.running.prepared_cells import Harness, Limits

A = np.array([[1.0, -2.0, 0.5], [0.3, 0.7, -1.1]])
X = {"w": np.array([0.3, -0.4]), "b": np.array(0.9)}  # in tree order: b, w


def function(xp: Any, x: Any, A: Any) -> Any:
    return xp.square(A @ xp.concat([xp.reshape(x["b"], (1,)), x["w"]]))


def jacobian(x: Any, A: Any) -> np.ndarray:
    v = np.concatenate([x["b"].reshape(1), x["w"]])
    return 2 * (A @ v)[:, None] * A


PROBLEM = Problem(name="mine", function=function, x=X, constants=(A,), jacobian=jacobian)


class Told(Method):
    """A method that does what the test tells it."""

    def __init__(
        self, call: Callable[[Any, Any], Any], *, declared: Layout = layouts.MATRIX, **notes: Any
    ) -> None:
        self.info = MethodInfo("numpy.told", "what the test tells it")
        self.call, self.declared, self.notes = call, declared, notes

    def layout(self, target: Target) -> Layout:
        return self.declared

    def prepare(self, target: Target) -> Prepared:
        return Prepared(lambda x: self.call(x, *target.constants), self.notes)


def cell(dtype: str = "float64", problem: str = "mine") -> Cell:
    return Cell(problem, "jacobian", "numpy.told", "numpy", "cpu", dtype, 1)


def verdict_on(
    call: Callable[..., Any] | Method,
    *,
    backend: Backend | None = None,
    dtype: str = "float64",
    problem: Problem = PROBLEM,
    **options: Any,
) -> Settled:
    method = call if isinstance(call, Method) else Told(call)
    return settle(
        cell(dtype),
        problem,
        backend or registry.load("numpy"),
        method,
        reference(problem, dtype),
        **options,
    )


def test_agreement_is_reported_whole() -> None:
    found = verdict_on(Told(jacobian, graphs=2))
    result = found.result
    assert (result.verdict, result.reason, result.worst) == (Verdict.AGREES, None, None)
    assert (result.m, result.n) == (2, 3)
    assert (result.error, result.tolerance, result.reference) == (0.0, 1e-12, "analytic")
    assert result.prepare_s is not None
    assert result.first_call_s is not None
    assert result.prepare_s >= 0
    assert result.first_call_s > 0
    assert dict(result.notes) == {"graphs": 2}
    assert found.prepared is not None
    assert np.array_equal(found.x["w"], X["w"])


def test_preparation_and_calls_come_in_the_promised_order() -> None:
    asked: list[str] = []

    class Watched(Told):
        def prepare(self, target: Target) -> Prepared:
            assert np.array_equal(target.x["w"], X["w"])
            asked.append("prepare at x")
            return super().prepare(target)

    def call(x: Any, A: Any) -> Any:
        asked.append("x" if np.array_equal(x["w"], X["w"]) else "elsewhere")
        return jacobian(x, A)

    assert verdict_on(Watched(call)).result.verdict is Verdict.AGREES
    assert asked == ["prepare at x", "elsewhere", "x", "elsewhere"]


def test_worst_entry_is_named_by_its_input() -> None:
    def spoiled(x: Any, A: Any) -> Any:
        J = jacobian(x, A)
        J[1, 2] = 100.0
        return J

    result = verdict_on(spoiled).result
    expected = float(jacobian(PROBLEM.elsewhere, A)[1, 2])
    assert result.verdict is Verdict.DISAGREES
    assert result.reason is not None
    assert result.reason.startswith("at another point than it prepared: ‖J-R‖/‖R‖ = ")
    assert result.reason.endswith(
        f" > 1e-12; worst at row 1, column 2 (x['w'][1]): 100.0, expected {expected!r}"
    )
    assert result.worst == {
        "row": 1,
        "column": 2,
        "input": "['w'][1]",
        "value": 100.0,
        "expected": expected,
    }
    assert result.error is not None
    assert result.error > 1


def test_error_that_is_no_number_is_left_out() -> None:
    result = verdict_on(lambda x, A: jacobian(x, A) * np.nan).result
    assert result.verdict is Verdict.DISAGREES
    assert result.error is None
    json.dumps(result.to_json(), allow_nan=False)


def test_tolerance_is_that_of_the_dtype() -> None:
    def nearly(x: Any, A: Any) -> Any:
        return jacobian(x, A) * (1 + A.dtype.type(1e-6))

    assert verdict_on(nearly).result.verdict is Verdict.DISAGREES
    single = verdict_on(nearly, dtype="float32").result
    assert (single.verdict, single.tolerance) == (Verdict.AGREES, 2e-5)


def test_tolerance_is_widened_by_the_reference_s_own_error() -> None:
    def cut(xp: Any, x: Any, A: Any) -> Any:
        return function(xp, {key: xp.asarray(x[key].real) for key in x}, A)

    problem = Problem(name="mine", function=cut, x=X, constants=(A,))
    result = verdict_on(jacobian, problem=problem).result
    assert (result.verdict, result.reference) == (Verdict.AGREES, "central-difference")
    assert result.tolerance == reference(problem, "float64").error
    assert verdict_on(lambda x, A: 1.0001 * jacobian(x, A), problem=problem).result.verdict is (
        Verdict.DISAGREES
    )


def test_a_method_s_own_tolerance_counts() -> None:
    class Inexact(Told):
        def tolerance(self, dtype: str) -> float:
            return 0.01

    def nearly(x: Any, A: Any) -> Any:
        return 1.001 * jacobian(x, A)

    assert verdict_on(Inexact(nearly)).result.tolerance == 0.01
    assert verdict_on(Inexact(nearly)).result.verdict is Verdict.AGREES
    assert verdict_on(Inexact(lambda x, A: 1.1 * jacobian(x, A))).result.verdict is (
        Verdict.DISAGREES
    )


# --- exceptions ---


class StrangeError(Exception):
    pass


def explode(x: Any, A: Any) -> Any:
    raise StrangeError("first line\n   second   line")


def test_an_exception_is_a_verdict_with_its_traceback() -> None:
    found = verdict_on(explode)
    assert found.prepared is None
    result = found.result
    assert (result.verdict, result.reason) == (
        Verdict.FAILED,
        "StrangeError: first line second line",
    )
    assert result.traceback is not None
    assert "in explode" in result.traceback
    assert "second   line" in result.traceback
    assert (result.m, result.n) == (2, 3)


def test_a_traceback_has_no_absolute_path() -> None:
    traceback = verdict_on(explode).result.traceback or ""
    files = re.findall(r'File "([^"]+)"', traceback)
    assert len(files) >= 3
    assert not [file for file in files if file.startswith(("/", "~")) or ":" in file]
    assert not re.search(r"(?<![\w.])/\w+/\w+", traceback)


def test_the_whole_chain_of_exceptions_is_kept() -> None:
    def chained(x: Any, A: Any) -> Any:
        try:
            explode(x, A)
        except StrangeError as exc:
            raise ValueError("because") from exc

    traceback = verdict_on(chained).result.traceback or ""
    assert "StrangeError: first line" in traceback
    assert "direct cause" in traceback


def test_a_path_in_a_message_is_shortened() -> None:
    def opens(x: Any, A: Any) -> Any:
        raise OSError("cannot read /home/somebody/secret/place/data.npz")

    result = verdict_on(opens).result
    assert result.reason == "OSError: cannot read data.npz"
    assert "somebody" not in (result.traceback or "")


def test_a_long_message_is_cut_and_the_traceback_is_not() -> None:
    def verbose(x: Any, A: Any) -> Any:
        raise ValueError("word " * 1000)

    result = verdict_on(verbose).result
    assert len(result.reason or "") < 330
    assert (result.reason or "").endswith("…")
    assert (result.traceback or "").count("word") >= 1000


def test_preparation_may_fail_too() -> None:
    class Unprepared(Told):
        def prepare(self, target: Target) -> Prepared:
            raise RuntimeError("no")

    result = verdict_on(Unprepared(jacobian)).result
    assert (result.verdict, result.reason) == (Verdict.FAILED, "RuntimeError: no")


def test_what_the_library_has_not_implemented_is_unsupported() -> None:
    def missing(x: Any, A: Any) -> Any:
        raise NotImplementedError("JVP of sort\nis missing")

    result = verdict_on(missing).result
    assert result.verdict is Verdict.UNSUPPORTED
    assert "JVP of sort is missing" in (result.reason or "")
    assert "\n" not in (result.reason or "")


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_is_no_verdict(error: type[BaseException]) -> None:
    def interrupted(x: Any, A: Any) -> Any:
        raise error

    with pytest.raises(error):
        verdict_on(interrupted)


def test_failed_cuts_nothing_short() -> None:
    result = failed(CellResult(cell=cell(), verdict=Verdict.NOT_RUN), ValueError(""))
    assert (result.verdict, result.reason) == (Verdict.FAILED, "ValueError: ")


# --- memory, devices, the same answer twice ---


@pytest.mark.parametrize("where", ["prepare", "call"])
def test_memory_that_runs_out_is_too_large(where: str) -> None:
    def exhausted(x: Any, A: Any) -> Any:
        raise MemoryError("Unable to allocate\n7.28 TiB")

    class Unprepared(Told):
        def prepare(self, target: Target) -> Prepared:
            return exhausted(None, None)

    found = verdict_on(exhausted if where == "call" else Unprepared(jacobian))
    assert found.prepared is None
    assert (found.result.verdict, found.result.reason) == (
        Verdict.TOO_LARGE,
        "memory ran out: MemoryError: Unable to allocate 7.28 TiB: give it a smaller problem or "
        "more memory",
    )
    assert "exhausted" in (found.result.traceback or "")


def test_memory_is_asked_for_along_the_causes() -> None:
    def wrapped(x: Any, A: Any) -> Any:
        try:
            np.empty(2**52)
        except MemoryError as exc:
            raise RuntimeError("the compiler failed") from exc

    assert verdict_on(wrapped).result.verdict is Verdict.TOO_LARGE


def test_a_backend_says_what_its_want_of_memory_is() -> None:
    class Own(type(registry.load("numpy"))):  # type: ignore[misc]
        def out_of_memory(self, exc: BaseException) -> bool:
            return "arena is full" in str(exc)

    def full(x: Any, A: Any) -> Any:
        raise ValueError("arena is full")

    assert verdict_on(full, backend=Own()).result.verdict is Verdict.TOO_LARGE
    assert verdict_on(full).result.verdict is Verdict.FAILED


class OnGpu(np.ndarray):
    """An array that lies elsewhere."""


class WithDevices(type(registry.load("numpy"))):  # type: ignore[misc]
    def is_array(self, value: Any) -> bool:
        return isinstance(value, (np.ndarray, np.generic))

    def device_of(self, array: Any) -> str:
        return "cuda:0" if isinstance(array, OnGpu) else "cpu"


def test_a_result_on_another_device_disagrees() -> None:
    def elsewhere(x: Any, A: Any) -> Any:
        return jacobian(x, A).view(OnGpu)

    found = verdict_on(elsewhere, backend=WithDevices())
    assert found.prepared is None
    assert (found.result.verdict, found.result.reason) == (
        Verdict.DISAGREES,
        "the result lies on cuda:0, not on cpu",
    )
    assert verdict_on(jacobian, backend=WithDevices()).result.verdict is Verdict.AGREES


def test_every_array_of_a_result_has_to_lie_on_the_device() -> None:
    def split(x: Any, A: Any) -> Any:
        J = jacobian(x, A)
        return {"b": J[:, 0], "w": J[:, 1:].view(OnGpu)}

    method = Told(split, declared=layouts.OUTPUT_BY_INPUT)
    result = verdict_on(method, backend=WithDevices()).result
    assert result.reason == "the result lies on cuda:0, not on cpu"


def test_a_function_whose_value_lies_elsewhere_is_told() -> None:
    settling = []

    def moved(xp: Any, x: Any, A: Any) -> Any:
        value = function(xp, x, A)
        return value.view(OnGpu) if settling else value

    problem = Problem(name="mine", function=moved, x=X, constants=(A,), jacobian=jacobian)
    right = reference(problem, "float64")
    settling.append(True)
    result = settle(cell(), problem, WithDevices(), Told(jacobian), right).result
    assert result.reason == "the function's value lies on cuda:0, not on cpu"


def varying(size: float) -> Callable[[Any, Any], Any]:
    rng = np.random.default_rng(3)
    return lambda x, A: jacobian(x, A) * (1 + size * rng.uniform(-1, 1, (2, 3)))


def test_a_method_that_varies_is_told_so() -> None:
    found = verdict_on(varying(1e-3))
    assert found.prepared is None
    assert found.result.verdict is Verdict.DISAGREES
    told = re.fullmatch(
        r"two calls for the same x differ: ‖J1-J2‖/‖J1‖ = (\S+): the method \(or function\) is "
        r"not deterministic",
        found.result.reason or "",
    )
    assert told is not None
    assert 1e-4 < float(told[1]) < 1e-2
    assert found.result.error is not None


def test_a_method_that_varies_in_the_last_bits_agrees_and_says_so() -> None:
    result = verdict_on(varying(1e-15)).result
    assert result.verdict is Verdict.AGREES
    assert 0 < result.notes["repeat_error"] < 1e-14
    assert "repeat_error" not in verdict_on(jacobian).result.notes


def test_a_method_that_is_wrong_in_the_same_way_twice_is_just_wrong() -> None:
    reason = verdict_on(lambda x, A: 2 * jacobian(x, A)).result.reason or ""
    assert reason.startswith("at another point than it prepared: ‖J-R‖/‖R‖ = 1 > 1e-12")


def test_a_method_that_fails_when_asked_again_keeps_its_first_verdict() -> None:
    calls = []

    def once(x: Any, A: Any) -> Any:
        calls.append(x)
        if len(calls) > 1:
            raise RuntimeError("no more")
        return 2 * jacobian(x, A)

    result = verdict_on(once).result
    assert result.verdict is Verdict.DISAGREES
    assert (result.reason or "").startswith("at another point than it prepared: ")


def test_a_function_that_varies_is_told_before_any_derivative() -> None:
    rng = np.random.default_rng(5)
    settling = []

    def varies(xp: Any, x: Any, A: Any) -> Any:
        return function(xp, x, A) * (1 + 1e-3 * rng.uniform() * bool(settling))

    problem = Problem(name="mine", function=varies, x=X, constants=(A,), jacobian=jacobian)
    right = reference(problem, "float64")
    settling.append(True)
    result = settle(cell(), problem, registry.load("numpy"), Told(jacobian), right).result
    assert result.verdict is Verdict.DISAGREES
    assert re.fullmatch(
        r"two calls for the same x differ: ‖y1-y2‖/‖y1‖ = \S+: the function is not deterministic",
        result.reason or "",
    )


# --- warnings ---


class Warned(type(registry.load("numpy"))):  # type: ignore[misc]
    fatal_warnings = ("Output seems independent",)


def warning(message: str, call: Callable[..., Any] = jacobian) -> Callable[..., Any]:
    def warns(x: Any, A: Any) -> Any:
        warnings.warn(message, UserWarning, stacklevel=1)
        return call(x, A)

    return warns


def test_warnings_are_kept_once_each() -> None:
    found = verdict_on(warning("slow\n  path in /home/somebody/lib/x.py"))
    assert found.result.verdict is Verdict.AGREES
    assert list(found.result.notes["warnings"]) == ["slow path in x.py"]
    assert found.prepared is not None


def test_a_fatal_warning_fails_even_a_right_jacobian() -> None:
    found = verdict_on(warning("Output seems independent of input."), backend=Warned())
    assert found.result.verdict is Verdict.FAILED
    assert found.prepared is None
    assert found.result.reason == (
        "warned 'Output seems independent of input.', but the Jacobian is not zero"
    )


def test_other_warnings_of_that_backend_are_not_fatal() -> None:
    found = verdict_on(warning("An output seems slow"), backend=Warned())
    assert found.result.verdict is Verdict.AGREES


def test_a_fatal_warning_is_right_where_the_jacobian_is_zero() -> None:
    problem = Problem(
        name="mine",
        function=lambda xp, x: xp.ones_like(x),
        x=np.ones(2),
        jacobian=lambda x: np.zeros((2, 2)),
    )

    def zero(x: Any) -> Any:
        warnings.warn("Output seems independent of input.", UserWarning, stacklevel=1)
        return np.zeros((2, 2))

    assert verdict_on(zero, backend=Warned(), problem=problem).result.verdict is Verdict.AGREES


# --- refusals before anything runs ---


def test_a_chunk_size_is_refused_where_the_library_has_none() -> None:
    method = Told(jacobian)
    method.chunking = "whole"
    assert "computes everything at once" in (refused(cell(), PROBLEM, method, 3) or "")
    assert refused(cell(), PROBLEM, method, None) is None
    method.chunking = "loop"
    assert refused(cell(), PROBLEM, method, 3) is None


def test_chunk_size_is_recorded_only_where_it_is_taken() -> None:
    method = Told(jacobian)
    assert verdict_on(method, chunk_size=2).result.chunk_size is None
    method.chunking = "chunked"
    assert verdict_on(method, chunk_size=2).result.chunk_size == 2


def test_another_operator_is_unsupported() -> None:
    other = Cell("mine", "vjp", "numpy.told", "numpy", "cpu", "float64", 1)
    assert refused(other, PROBLEM, Told(jacobian), None) == "numpy.told computes jacobian, not vjp"


def test_too_large_says_how_many_bytes() -> None:
    result = CellResult(cell=cell(), verdict=Verdict.NOT_RUN)
    found = guarded(result, PROBLEM, 2, 100)
    assert found is not None
    assert (found.verdict, found.m, found.n) == (Verdict.TOO_LARGE, 2, 3)
    assert "a 2 x 3 Jacobian needs 336 bytes" in (found.reason or "")
    assert guarded(result, PROBLEM, 2, 336) is None


def names_of(problem: Problem) -> list[str]:
    return entry_names(tree.names(problem.x), problem.leaf_shapes)


def test_input_names_follow_the_tree() -> None:
    assert names_of(PROBLEM) == ["['b']", "['w'][0]", "['w'][1]"]
    matrix = Problem(name="m", function=function, x=np.ones((1, 2)))
    assert names_of(matrix) == ["[0, 0]", "[0, 1]"]
    assert names_of(Problem(name="s", function=function, x=np.array(1.0))) == [""]


# --- the user's function, as every method sees it ---


def in_harness(problem: Problem, method: str = "numpy.complex-step", **limits: Any) -> CellResult:
    own = Harness(1, Limits(**limits), {"mine": problem}, verify_pins=False)
    return own.settle(Cell("mine", "jacobian", method, "numpy", "cpu", "float64", 1)).result


def test_a_function_without_a_jacobian_is_one_line_for_every_method() -> None:
    problem = Problem(name="mine", function=lambda xp, x: None, x=np.ones(2))
    own = Harness(1, Limits(), {"mine": problem}, verify_pins=False)
    reasons = {
        own.settle(Cell("mine", "jacobian", m, "numpy", "cpu", "float64", 1)).result.reason
        for m in ("numpy.complex-step", "numpy.central-difference")
    }
    assert reasons == {
        "problem 'mine': its function returned None, not an array: return one array of floats"
    }


def test_what_the_user_s_function_raised_keeps_its_traceback() -> None:
    def broken(xp: Any, x: Any) -> Any:
        raise StrangeError("here")

    result = in_harness(Problem(name="mine", function=broken, x=np.ones(2)))
    assert result.verdict is Verdict.FAILED
    assert (result.reason or "").startswith(
        "problem 'mine': its function raised StrangeError: here"
    )
    assert "in broken" in (result.traceback or "")
    assert not re.search(r'File "/', result.traceback or "")


def test_a_cell_is_settled_once() -> None:
    calls = []

    def counted(xp: Any, x: Any) -> Any:
        calls.append(x)
        return x * x

    problem = Problem(name="mine", function=counted, x=np.ones(2))
    own = Harness(1, Limits(), {"mine": problem}, verify_pins=False)
    asked = Cell("mine", "jacobian", "numpy.complex-step", "numpy", "cpu", "float64", 1)
    first = own.settle(asked)
    seen = len(calls)
    assert own.settle(asked) is first
    assert len(calls) == seen


def test_too_large_is_never_called() -> None:
    def never(x: Any) -> Any:
        raise AssertionError("called")

    problem = Problem(name="mine", function=lambda xp, x: x * x, x=np.ones(200), jacobian=never)
    result = in_harness(problem, "numpy.analytic", memory_bytes=1000)
    assert result.verdict is Verdict.TOO_LARGE
    assert (result.m, result.n) == (200, 200)


def test_no_hand_written_jacobian_is_unsupported() -> None:
    problem = Problem(name="mine", function=lambda xp, x: x * x, x=np.ones(2))
    result = in_harness(problem, "numpy.analytic")
    assert result.verdict is Verdict.UNSUPPORTED
    assert result.reason == "problem 'mine' has no hand-written Jacobian"
    assert (result.m, result.n) == (2, 2)


# --- what a call returns and touches ---


def test_a_result_in_another_dtype_is_told() -> None:
    result = verdict_on(lambda x, A: jacobian(x, A).astype(np.float32)).result
    assert result.verdict is Verdict.DISAGREES
    assert result.reason == "the result is float32 in a float64 cell"
    wide = verdict_on(lambda x, A: jacobian(x, A).astype(np.float64), dtype="float32").result
    assert wide.reason == "the result is float64 in a float32 cell"


def test_as_many_numbers_in_another_shape_are_told() -> None:
    result = verdict_on(lambda x, A: jacobian(x, A).reshape(6, 1)).result
    assert result.verdict is Verdict.DISAGREES
    assert (result.reason or "").startswith("native shape (6, 1), but the method declares")


@pytest.mark.parametrize("number", [1, 2, 3])
def test_an_input_that_is_changed_for_good_is_told(number: int) -> None:
    calls = []

    def changes(x: Any, A: Any) -> Any:
        calls.append(x)
        J = jacobian(x, A)
        if len(calls) == number:
            x["w"] += 0.5
        return J

    result = verdict_on(changes).result
    assert result.verdict is not Verdict.AGREES


def test_the_last_call_too_may_not_change_its_input() -> None:
    calls = []

    def changes(x: Any, A: Any) -> Any:
        calls.append(x)
        J = jacobian(x, A)
        if len(calls) >= 3:
            x["w"] += 0.5
        return J

    assert "changed its input" in (verdict_on(changes).result.reason or "")


def test_a_value_that_differs_at_the_second_point_alone_is_told() -> None:
    apart = []

    def differs(xp: Any, x: Any, A: Any) -> Any:
        there = not np.array_equal(x["w"], X["w"])
        return function(xp, x, A) + 1e-6 * (bool(apart) and there)

    problem = Problem(name="mine", function=differs, x=X, constants=(A,), jacobian=jacobian)
    right = reference(problem, "float64")
    apart.append(True)
    result = settle(cell(), problem, registry.load("numpy"), Told(jacobian), right).result
    assert result.verdict is Verdict.DISAGREES
    assert (result.reason or "").startswith("the function's value differs")
