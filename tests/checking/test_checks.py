"""The steps of a cell for every operator: known faults, what stands beside J, inputs unused."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from jacbench.backend import Method, MethodInfo, Prepared, Target, registry
from jacbench.checking.checks import Settled
from jacbench.checking.reference import reference
from jacbench.checking.verdict import settle
from jacbench.core import layouts, operators
from jacbench.core.cell import Cell, Verdict
from jacbench.core.known_fault import KnownFault
from jacbench.core.layouts import Layout
from jacbench.core.operators.operator import Sizes
from jacbench.problems.problem import Problem
from jacbench.reporting import run_table
from jacbench.results.run import Run
from jacbench.running.prepared_cells import Harness, Limits
from tests import samples
from tests.results.test_run import schema_errors
from tests.runs import jacbench, strict

X = np.array([[0.3, -0.4], [1.1, 0.7], [-0.6, 0.5]])
W = np.array([[1.0, -2.0], [0.5, 0.7]])


def function(xp: Any, x: Any, W: Any) -> Any:
    return xp.sin(x @ W)


def right(x: Any, W: Any) -> np.ndarray:
    J = np.einsum("so,io,st->soti", np.cos(x @ W), W, np.eye(len(x)))
    return J.reshape(x.size, x.size)


def known(x: Any, W: Any) -> np.ndarray:
    """The wrong answer that everybody knows of: the inner derivative is forgotten."""
    return right(x, np.ones_like(W))


def otherwise(x: Any, W: Any) -> np.ndarray:
    J = known(x, W)
    J[0, 0] += 1e-6
    return J


FAULT = KnownFault(
    methods=("numpy.to*",),
    jacobian=known,
    reason="it forgets the inner derivative",
    link="https://example.org/1",
)
PROBLEM = Problem(
    name="mine",
    function=function,
    x=X,
    constants=(W,),
    jacobian=right,
    in_axes=(0, None),
    known_faults=(FAULT,),
)


class Told(Method):
    """A method for ``operator`` that makes its result of the Jacobian that the test gives."""

    def __init__(
        self,
        jacobian: Callable[..., np.ndarray],
        operator: str = "jacobian",
        native: Callable[[Any, Target, Any], Any] = lambda made, target, x: made,
    ) -> None:
        self.info = MethodInfo("numpy.told", "what the test tells it", operator)
        self.jacobian, self.native = jacobian, native

    def layout(self, target: Target) -> Layout:
        return layouts.MATRIX

    def prepare(self, target: Target) -> Prepared:
        operator = operators.get(self.info.operator)
        sizes = Sizes(target.y_shape, [target.x.shape], (target.in_axes or (None,))[0])
        vector = None if target.vector is None else target.vector.reshape(-1)

        def call(x: Any) -> Any:
            made = operator.expected(self.jacobian(x, *target.constants), sizes, vector)
            if self.info.operator == "value_and_jacobian":
                made = (target.function(x, *target.constants), made)
            return self.native(made, target, x)

        return Prepared(call)


def verdict_on(method: Method, problem: Problem = PROBLEM, dtype: str = "float64") -> Settled:
    cell = Cell(problem.name, method.info.operator, method.info.name, "numpy", "cpu", dtype, 1)
    return settle(cell, problem, registry.load("numpy"), method, reference(problem, dtype))


# --- known faults ---

every_operator = pytest.mark.parametrize("operator", operators.NAMES)


@every_operator
def test_the_known_wrong_answer_has_a_verdict_of_its_own(operator: str) -> None:
    found = verdict_on(Told(known, operator))
    result = found.result
    assert result.verdict is Verdict.KNOWN_FAULT
    assert result.reason == FAULT.told()
    assert "\n" not in FAULT.told()
    assert "it forgets the inner derivative" in FAULT.told()
    assert "https://example.org/1" in FAULT.told()
    # never timed, and no fault of the run
    assert found.prepared is None
    assert result.median_s is None
    assert Run([result], samples.FINGERPRINT).ok
    assert result.error is not None
    assert result.tolerance is not None
    assert result.error > 100 * result.tolerance
    assert result.worst is None


@every_operator
def test_an_answer_that_is_wrong_in_another_way_is_not_excused(operator: str) -> None:
    found = verdict_on(Told(otherwise, operator))
    result = found.result
    assert result.verdict is Verdict.DISAGREES
    assert found.prepared is None
    assert not Run([result], samples.FINGERPRINT).ok
    assert result.worst is not None


@every_operator
def test_the_right_answer_agrees_once_the_library_is_repaired(operator: str) -> None:
    found = verdict_on(Told(right, operator))
    assert (found.result.verdict, found.result.reason) == (Verdict.AGREES, None)
    assert found.prepared is not None


def test_a_known_fault_at_one_point_does_not_hide_another_fault_at_the_other() -> None:
    def at_x(here: Callable[..., Any], there: Callable[..., Any]) -> Callable[..., Any]:
        return lambda x, W: (here if np.array_equal(x, X) else there)(x, W)

    for here, there, verdict in (
        (right, known, Verdict.KNOWN_FAULT),
        (known, right, Verdict.KNOWN_FAULT),
        (otherwise, known, Verdict.DISAGREES),
        (known, otherwise, Verdict.DISAGREES),
    ):
        assert verdict_on(Told(at_x(here, there))).result.verdict is verdict


def test_other_faults_are_found_beside_a_known_one() -> None:
    given = []

    def overwrites(made: Any, target: Target, x: Any) -> Any:
        given.append(made)
        given[0][:] = made
        return given[0]

    result = verdict_on(Told(known, native=overwrites)).result
    assert result.verdict is Verdict.DISAGREES
    assert "overwrote" in (result.reason or "")

    def changes_its_input(made: Any, target: Target, x: Any) -> Any:
        x += 1
        return made

    assert verdict_on(Told(known, native=changes_its_input)).result.verdict is Verdict.DISAGREES


def test_a_fault_of_other_methods_excuses_nothing() -> None:
    others = dataclasses.replace(FAULT, methods=("torch.*", "numpy.tol"))
    problem = dataclasses.replace(PROBLEM, known_faults=(others,))
    assert verdict_on(Told(known), problem).result.verdict is Verdict.DISAGREES
    several = dataclasses.replace(PROBLEM, known_faults=(others, FAULT))
    assert verdict_on(Told(known), several).result.verdict is Verdict.KNOWN_FAULT


def test_in_float32_it_is_recognised_to_the_same_tolerance() -> None:
    result = verdict_on(Told(lambda x, W: known(x, W).astype(x.dtype)), dtype="float32").result
    assert (result.verdict, result.tolerance) == (Verdict.KNOWN_FAULT, 2e-5)


# --- what stands beside the Jacobian ---


def beside(native: Callable[[Any, Target, Any], Any], problem: Problem = PROBLEM) -> Any:
    found = verdict_on(Told(problem.jacobian or right, "value_and_jacobian", native), problem)
    if found.result.verdict is not Verdict.AGREES:
        assert found.prepared is None
        assert "\n" not in (found.result.reason or "")
    return found.result


@pytest.mark.parametrize(
    ("native", "reason"),
    [
        (lambda made, target, x: made[1], "value_and_jacobian returns (y, J), and this is no such"),
        (lambda made, target, x: list(made), "value_and_jacobian returns (y, J), and this is no"),
        (lambda made, target, x: (*made, None), "value_and_jacobian returns (y, J), and this is"),
        (lambda made, target, x: (2.5, made[1]), "the value returned beside J is a float, not one"),
        (
            lambda made, target, x: (made[0][:2], made[1]),
            "the value returned beside J has shape (2, 2), not (3, 2)",
        ),
        (
            lambda made, target, x: (made[0].astype(np.float32), made[1]),
            "the value returned beside J is float32 in a float64 cell",
        ),
        (
            lambda made, target, x: (made[0] + 1e-9, made[1]),
            "the value returned beside J differs: ‖y-r‖/‖r‖ = ",
        ),
        (
            # that of the point at which it was prepared
            lambda made, target, x: (target.function(target.x, *target.constants), made[1]),
            "the value returned beside J differs: ‖y-r‖/‖r‖ = ",
        ),
        (
            lambda made, target, x: (made[0], made[1].T[:, :5]),
            "native shape (6, 5), but the method",
        ),
        (
            lambda made, target, x: (made[0], 2 * made[1]),
            "at another point than it prepared: ‖J-R‖",
        ),
    ],
)
def test_values_that_are_wrong(native: Callable[..., Any], reason: str) -> None:
    result = beside(native)
    assert result.verdict is Verdict.DISAGREES
    assert result.reason.startswith(reason)


def test_a_value_that_is_right_at_one_point_alone() -> None:
    there = PROBLEM.elsewhere

    def stale(made: Any, target: Target, x: Any) -> Any:
        return target.function(there, *target.constants), made[1]

    result = beside(stale)
    assert result.verdict is Verdict.DISAGREES
    assert "the value returned beside J differs" in result.reason


def with_aux(xp: Any, x: Any, W: Any) -> Any:
    z = x @ W
    return xp.sin(z), {"z": z, "above": xp.sum(z > 0)}


AUX = dataclasses.replace(PROBLEM, function=with_aux, has_aux=True)


def replaced(**parts: Any) -> Callable[[Any, Target, Any], Any]:
    def native(made: Any, target: Target, x: Any) -> Any:
        (y, aux), J = made
        return (y, aux | {name: change(aux[name]) for name, change in parts.items()}), J

    return native


@pytest.mark.parametrize(
    ("native", "reason"),
    [
        (lambda made, target, x: (made[0][0], made[1]), "value_and_jacobian returns ((y, aux), J)"),
        (replaced(z=lambda z: z + 1e-9), "aux['z'] differs: ‖y-r‖/‖r‖ = "),
        (replaced(z=lambda z: z[:1]), "aux['z'] has shape (1, 2), not (3, 2)"),
        (replaced(z=lambda z: z.astype(np.float32)), "aux['z'] is float32 in a float64 cell"),
        (replaced(z=lambda z: 1.0), "aux['z'] is a float, not one of the library's arrays"),
        (replaced(z=lambda z: (z, z)), "aux holds 3 arrays, not 2"),
        (lambda made, target, x: ((made[0][0], None), made[1]), "aux holds 1 arrays, not 2"),
    ],
)
def test_aux_that_is_wrong(native: Callable[..., Any], reason: str) -> None:
    assert beside(lambda made, target, x: made, AUX).verdict is Verdict.AGREES
    result = beside(native, AUX)
    assert result.verdict is Verdict.DISAGREES
    assert result.reason.startswith(reason)


def test_other_operators_are_given_y_alone() -> None:
    def only_y(made: Any, target: Target, x: Any) -> Any:
        assert not target.has_aux
        assert target.function(x, *target.constants).shape == (3, 2)
        return made

    for operator in operators.NAMES:
        if operator != "value_and_jacobian":
            assert verdict_on(Told(right, operator, only_y), AUX).result.verdict is Verdict.AGREES


# --- what is told of a place ---


@pytest.mark.parametrize(
    ("operator", "row", "column", "place"),
    [
        ("jacobian", 3, 2, "x[1, 0]"),
        ("batch_jacobian", 3, 0, "x[0]"),
        ("vjp", 0, 2, "x[1, 0]"),
        ("jvp", 3, 0, "x along the tangent"),
    ],
)
def test_the_worst_entry_is_named_in_the_operator_s_own_terms(
    operator: str, row: int, column: int, place: str
) -> None:
    def spoiled(made: Any, target: Target, x: Any) -> Any:
        made[row, column] = 100
        return made

    result = verdict_on(Told(right, operator, spoiled)).result
    assert result.verdict is Verdict.DISAGREES
    assert f"worst at row {row}, column {column} ({place}): 100.0, expected" in (
        result.reason or ""
    )
    worst = result.worst or {}
    assert (worst["row"], worst["column"], worst["input"]) == (row, column, place[1:])


# --- inputs without effect ---


def test_inputs_that_nothing_depends_on_are_noted() -> None:
    problem = Problem(
        name="mine",
        function=lambda xp, x: xp.sin(x["a"]) + 0 * x["d"],
        x={"a": np.ones(2), "b": (np.ones(3), np.array(1.0)), "d": np.ones(2)},
    )
    own = Harness(1, Limits(), {"mine": problem}, verify_pins=False)
    for method in ("numpy.complex-step", "numpy.complex-step-jvp", "numpy.central-difference"):
        operator = registry.method(method).info.operator
        result = own.settle(Cell("mine", operator, method, "numpy", "cpu", "float64", 1)).result
        assert result.verdict is Verdict.AGREES
        assert result.notes["zero_columns"] == ["x['b'][0]", "x['b'][1]", "x['d']"]
    file = io.StringIO()
    run = Run([result], samples.FINGERPRINT)
    console = Console(file=file, width=150)
    console.print(run_table.terminal(run, console, timed=False))
    assert "x['b'][0], x['b'][1], x['d'] has no effect on the output: its columns are zero" in (
        " ".join(file.getvalue().split())
    )
    strict_run = run.to_json()
    assert strict_run["cells"][0]["notes"]["zero_columns"][2] == "x['d']"
    assert not schema_errors(strict_run)


def test_where_every_input_counts_nothing_is_noted() -> None:
    assert "zero_columns" not in verdict_on(Told(right)).result.notes


# --- points without a derivative ---

STRANGE = {
    "awkward/complex-input": "x is of dtype complex128: a complex input has no real Jacobian; pass "
    "its real and imaginary parts as two real inputs",
    "awkward/integer-input": "x is of dtype int64, which has no derivative: pass floats, e.g. "
    "x.astype(float), or make it a constant",
}


@pytest.mark.parametrize("name", STRANGE)
def test_no_method_is_asked_for_a_derivative_by_complex_or_whole_numbers(name: str) -> None:
    own = Harness(1, Limits(), verify_pins=False)
    for descriptor in registry.descriptors().values():
        if descriptor.absent() is not None:
            continue
        for info in descriptor.methods:
            if info.operator == "batch_jacobian" or info.by_intermediate:
                continue
            cell = Cell(name, info.operator, info.name, descriptor.name, "cpu", "float64", 1)
            result = own.settle(cell).result
            assert (result.verdict, result.reason) == (Verdict.UNSUPPORTED, STRANGE[name])


def test_of_a_tree_the_leaf_is_named() -> None:
    problem = Problem(
        name="mine",
        function=lambda xp, x: x["a"] * x["n"][0],
        x={"a": np.ones(2), "n": (np.arange(2),)},
    )
    own = Harness(1, Limits(), {"mine": problem}, verify_pins=False)
    cell = Cell("mine", "vjp", "numpy.analytic-vjp", "numpy", "cpu", "float64", 1)
    assert (own.settle(cell).result.reason or "").startswith("x['n'][0] is of dtype int64, which")


def test_the_command_line_says_so_and_ends_with_status_0(tmp_path: Path) -> None:
    pytest.importorskip("autograd")
    done = jacbench(
        *("check", *STRANGE, "--method", "numpy.*", "--method", "autograd.jacobian"),
        *("--json", "-"),
        cwd=tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")
    cells = strict(done.stdout)["cells"]
    assert {(c["problem"], c["verdict"], c["reason"]) for c in cells} == {
        (name, "unsupported", reason) for name, reason in STRANGE.items()
    }
    assert {c["backend"] for c in cells} >= {"numpy"}


# --- every call counts ---


@pytest.mark.parametrize("number", [1, 2, 3])
def test_each_of_the_calls_is_compared(number: int) -> None:
    calls = []

    def spoilt(made: Any, target: Target, x: Any) -> Any:
        calls.append(x)
        return made + 1e-9 * (len(calls) == number)

    result = verdict_on(Told(right, native=spoilt)).result
    assert result.verdict is Verdict.DISAGREES
    assert len(calls) >= number


@pytest.mark.parametrize("number", [1, 2, 3])
def test_the_error_is_that_of_the_worst_call(number: int) -> None:
    calls = []

    def nearly(made: Any, target: Target, x: Any) -> Any:
        calls.append(x)
        return made * (1 + 4e-13 * (len(calls) == number))

    result = verdict_on(Told(right, native=nearly)).result
    assert result.verdict is Verdict.AGREES
    assert result.error == pytest.approx(4e-13, rel=0.01, abs=0)


@pytest.mark.parametrize("operator", ["vjp", "jvp"])
def test_a_vector_counts_as_the_dtype_holds_it(operator: str) -> None:
    # of the identity: every product is the vector itself, and exactly so
    problem = Problem(
        name="mine",
        function=lambda xp, x: x,
        x=np.array([0.5, -1.25, 2.0]),
        jacobian=lambda x: np.eye(3),
    )
    method = Told(lambda x: np.eye(3, dtype=x.dtype), operator)
    result = verdict_on(method, problem, "float32").result
    assert (result.verdict, result.error) == (Verdict.AGREES, 0.0)
