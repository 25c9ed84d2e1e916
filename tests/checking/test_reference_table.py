"""Every reference is confirmed by what knows no derivative rule, and a planted error is found."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from jacbench_numpy import xp as numpy_xp

pytest.importorskip("mpmath")

from jacbench import problems
from jacbench.backend import registry
from jacbench.core import namespace, tree
from jacbench.core.errors import JacbenchError
from jacbench.problems.problem import Problem
from tests import mp_namespace, reference_table
from tests.core.test_namespace import CASES, CUT, X, complex_step
from tests.reference_table import DIRECTIONS, LIMITS, WITNESS, Confirmed

# torch's forward mode loads scripted rules on first use, and warns of its own scripting
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.*` is deprecated:DeprecationWarning")

QUICK = 64
"""Problems of up to so many inputs are confirmed at their own size, others on a small instance."""


@pytest.mark.parametrize("name", problems.names())
def test_every_reference_is_confirmed(name: str) -> None:
    entry = problems.entry(name)
    found = reference_table.row(name, full=max(entry.m, entry.n) <= QUICK)
    if found.absent:
        pytest.skip(found.absent)
    assert found.off == []
    assert len(found.confirmed) == (3 if found.kind == "analytic" else 2)


def test_most_of_the_catalogue_is_at_hand() -> None:
    # else the test above would pass for a table without rows
    rows = [reference_table.home(problems.get(name)) for name in problems.names()[:10]]
    assert rows.count("numpy") >= 8


def test_what_is_allowed() -> None:
    assert LIMITS["mpmath"] == 1e-15
    assert LIMITS["complex step"] == 1e-14
    assert LIMITS["directions"] == 1e-8


# --- a planted error ---


def planted(problem: Problem, row: int, column: int) -> Problem:
    right = problem.jacobian
    assert right is not None

    def wrong(x: Any, *constants: Any) -> Any:
        J = np.array(right(x, *constants))
        J[row, column] += 1e-6
        return J

    return dataclasses.replace(problem, jacobian=wrong)


def confirmations(problem: Problem) -> list[Confirmed]:
    return [
        reference_table.by_complex_step(problem),
        reference_table.by_mpmath(problem),
        reference_table.by_directions(problem, "numpy"),
    ]


@pytest.mark.parametrize(
    "name", ["shape/small[m=3,n=3,width=3]", "basics/linear-sum", "basics/mlp-weights[batch=2]"]
)
def test_one_wrong_entry_is_found_by_each(name: str) -> None:
    problem = problems.get(name)
    assert not any(c.off for c in confirmations(problem))
    for row, column in [(0, 0), (-1, -1)]:
        found = confirmations(planted(problem, row, column))
        assert [c.off for c in found] == [True] * 3, found


def test_one_wrong_entry_of_many_is_found_by_directions_in_60_digits() -> None:
    problem = problems.get("shape/small[m=2,n=100,width=3]")
    assert problem.n > reference_table.FEW
    assert not reference_table.by_mpmath(problem).off
    assert reference_table.by_mpmath(planted(problem, 1, 71)).off


def test_an_error_at_the_second_point_alone_is_found() -> None:
    problem = problems.get("shape/small[m=3,n=3,width=3]")
    right = problem.jacobian
    assert right is not None

    def wrong(x: Any, *constants: Any) -> Any:
        here = np.array_equal(x, problem.x)
        return right(x, *constants) * (1 if here else 1 + 1e-6)

    found = confirmations(dataclasses.replace(problem, jacobian=wrong))
    assert all(c.off for c in found)


def test_the_command_fails_where_one_is_off(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(problems, "names", lambda: ["basics/linear-sum"])
    assert reference_table.main() == 0
    assert "allowed by" not in capsys.readouterr().out
    wrong = planted(problems.get("basics/linear-sum"), 0, 0)
    monkeypatch.setattr(problems, "get", lambda name: wrong)
    assert reference_table.main() == 1
    out = capsys.readouterr().out
    for by in ("complex step", "mpmath", "directions"):
        assert f"by {by}, and" in out


def test_a_row_that_cannot_be_had_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def get(name: str) -> Problem:
        raise JacbenchError("needs data that is not here")

    monkeypatch.setattr(problems, "get", get)
    monkeypatch.setattr(problems, "names", lambda: ["basics/linear-sum"])
    found = reference_table.row("basics/linear-sum")
    assert (found.absent, found.off) == ("needs data that is not here", [])
    assert reference_table.main() == 0
    assert "needs data" in capsys.readouterr().out


def test_a_missing_confirmation_is_told() -> None:
    found = reference_table.Row("mine", "analytic", (Confirmed(DIRECTIONS, 0.0, 1e-8),))
    assert found.off == ["mine: 2 confirmations are missing"]
    assert Confirmed(DIRECTIONS, float("nan"), 1e-8).off


# --- what has no hand-written Jacobian ---


def row_of(problem: Problem, monkeypatch: pytest.MonkeyPatch) -> reference_table.Row:
    monkeypatch.setattr(reference_table, "small_instance", lambda name: problem)
    return reference_table.row("mine", full=False)


def test_a_complex_step_is_confirmed_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    bare = dataclasses.replace(problems.get("basics/mlp-weights[batch=2]"), jacobian=None)
    found = row_of(bare, monkeypatch)
    assert found.kind == "complex-step"
    assert [c.by for c in found.confirmed] == ["mpmath", "directions"]
    assert found.off == []


def refuses_complex(xp: Any, x: Any) -> Any:
    if np.iscomplexobj(x):
        raise TypeError("no complex numbers here")
    return xp.sin(x)


def test_differences_are_confirmed_to_their_own_error(monkeypatch: pytest.MonkeyPatch) -> None:
    found = row_of(Problem(name="mine", function=refuses_complex, x=np.ones(3)), monkeypatch)
    assert found.kind == "central-difference"
    assert found.off == []
    assert 1e-15 < found.confirmed[0].error < found.confirmed[0].limit < 1e-8


def test_a_native_function_is_confirmed_by_a_witness(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    assert len(registry.load("torch").witnesses) >= 2
    native = Problem(name="mine", native={"torch": lambda x: torch.tanh(x) * x.sum()}, x=X)
    found = row_of(native, monkeypatch)
    assert (found.kind, found.off) == ("consensus", [])
    assert [c.by for c in found.confirmed] == [WITNESS, DIRECTIONS]
    # what differences see and derivatives do not
    cut = Problem(name="mine", native={"torch": lambda x: x.detach() * x}, x=X)
    found = row_of(cut, monkeypatch)
    assert [c.off for c in found.confirmed] == [True, False]


# --- what is cut ---


def cut_cubic(xp: Any, x: Any, c: Any) -> Any:
    return xp.stop_gradient(xp.sum(x * x)) * x + xp.stop_gradient(xp.exp(x)) * c


def test_differences_hold_what_is_cut() -> None:
    x = np.array([0.3, -0.2, 0.9])
    problem = Problem(
        name="cut",
        function=cut_cubic,
        x=x,
        constants=(np.ones(3),),
        jacobian=lambda x, c: np.sum(x * x) * np.eye(3),
        stops_gradient=True,
    )
    assert not any(c.off for c in confirmations(problem))
    through = dataclasses.replace(
        problem, jacobian=lambda x, c: np.sum(x * x) * np.eye(3) + 2 * np.outer(x, x)
    )
    assert all(c.off for c in confirmations(through))


# --- 60 digits ---


def test_the_namespace_has_every_operation() -> None:
    xp = mp_namespace.operations()
    assert [name for name in namespace.OPERATIONS if name not in vars(xp)] == []


@pytest.mark.parametrize("operation", CASES)
def test_each_operation_in_60_digits(operation: str) -> None:
    for function in CASES[operation]:
        problem = Problem(name=operation, function=function, x=X)
        y = mp_namespace.Function(problem, X, ()).y
        assert mp_namespace.distance(np.ravel(function(numpy_xp, X)), y) <= 1e-14
        J = mp_namespace.jacobian(problem, X, ())
        assert mp_namespace.distance(complex_step(function, X), J) <= 1e-14
    assert operation in {CUT, *namespace.OPERATIONS}


def test_differences_are_right_to_35_digits() -> None:
    x = {"b": np.array([0.1, 0.7]), "a": np.array(1.3)}
    problem = Problem(
        name="mine",
        function=lambda xp, x, c: xp.sin(x["b"] * x["a"]) * c,
        x=x,
        constants=(X[0, 0],),
    )
    a, b, c = (mp_namespace.exact(leaf) for leaf in (x["a"][()], x["b"], X[0, 0]))
    slope = mp_namespace.operations().cos(b * a) * c
    expected = np.stack([slope * b, slope * [a, 0 * a], slope * [0 * a, a]], axis=1)
    J = mp_namespace.jacobian(problem, x, problem.constants)
    assert mp_namespace.distance(J, expected) <= 1e-35
    assert mp_namespace.distance(J.astype(float), expected) > 1e-18


def test_mpmath_is_left_as_it_is() -> None:
    import mpmath

    before = mpmath.mp.dps
    assert mp_namespace.mp.dps == mp_namespace.DIGITS != before
    problem = problems.get("basics/linear-sum")
    mp_namespace.jacobian(problem, problem.x, problem.constants)
    assert mpmath.mp.dps == before


def test_digits_that_are_lost_are_told() -> None:
    problem = Problem(name="mine", function=lambda xp, x: np.array([float(v) for v in x]), x=X[0])
    with pytest.raises(TypeError, match=r"^problem 'mine': y holds a float: its digits are lost"):
        mp_namespace.jacobian(problem, X[0], ())


def test_an_operation_that_is_missing_is_told() -> None:
    with pytest.raises(
        AttributeError, match=r"no operation 'sinc', nor has jacbench\.core\.namespace"
    ):
        _ = mp_namespace.operations().sinc


def test_a_tree_keeps_its_structure() -> None:
    problem = problems.get("basics/mlp-weights")
    function = mp_namespace.Function(problem, problem.x, problem.constants)
    assert tree.names(function.x) == tree.names(problem.x)
    assert function.y.shape == (20,)
