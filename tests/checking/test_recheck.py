"""What is timed is what was checked: methods that lie are caught after the clock has stopped."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np
import pytest

from jacbench.backend import registry
from jacbench.checking import recheck
from jacbench.checking.new_points import NewPoints
from jacbench.checking.reference import Reference, reference
from jacbench.checking.verdict import settle
from jacbench.core.cell import Cell, Verdict
from jacbench.core.errors import JacbenchError
from jacbench.problems.problem import Problem
from tests.deviants import DEVIANTS, TIMED_CALLS, Deviant, put_through, said
from tests.faults import BY_HAND


@pytest.mark.parametrize("deviant", DEVIANTS, ids=lambda deviant: deviant.name)
def test_a_deviant_is_caught_or_it_is_said_why_not(deviant: Deviant) -> None:
    step, result = put_through(deviant)
    if deviant.caught is None:
        assert deviant.why
        assert (step, result.verdict) == ("not caught", Verdict.AGREES), said(result)
        return
    assert step != "not caught"
    assert re.search(deviant.caught, said(result)), said(result)
    assert "\n" not in said(result)
    assert (result.verdict is Verdict.AGREES) == (step == "caution")


def test_a_right_method_is_told_nothing() -> None:
    for operator in BY_HAND:
        step, result = put_through(Deviant("right", lambda right, target: right, None, operator))
        assert (step, result.verdict) == ("not caught", Verdict.AGREES), said(result)


@pytest.mark.parametrize(
    "f",
    [
        lambda xp, x: xp.log(x[0] - 0.5) * x[1:],  # defined near x alone
        lambda xp, x: xp.abs(x - x[0]),  # a kink wherever two are equal
        lambda xp, x: xp.where(x > 0, xp.sin(x), 3 * x),  # another branch at another sign
        lambda xp, x: xp.exp(3 * x),
        lambda xp, x: xp.sin(5 * x),
        lambda xp, x: 0 * x,
        lambda xp, x: x,
    ],
)
def test_no_function_is_held_against_a_right_method(f: Any) -> None:
    problem = Problem(name="mine", function=f, x=np.array([0.7, 1.3, 0.4]))
    for name in ("numpy.complex-step", "numpy.central-difference", "autograd.jacobian"):
        backend = registry.load(name.partition(".")[0])
        cell = Cell("mine", "jacobian", name, name.partition(".")[0], "cpu", "float64", 1)
        known = reference(problem, "float64")
        settled = settle(cell, problem, backend, registry.method(name), known)
        assert settled.prepared is not None, settled.result
        points = NewPoints(problem, known, lambda p: reference(p, "float64"), "float64")
        last = settled.prepared.call(settled.x)
        found = recheck.again(settled, last, points, whole=True).result
        assert (found.verdict, found.reason) == (Verdict.AGREES, None)
        assert points.current() is not None


def test_where_no_new_point_can_be_had_that_is_noted() -> None:
    step, result = put_through(
        Deviant("right", lambda right, target: right, None),
        rightly=_nowhere,
    )
    assert step == "not caught"
    assert "at a new point" in result.notes["not_asked_again"]


def _nowhere(problem: Problem) -> Reference:
    raise JacbenchError("it is finite nowhere else")


def test_a_slow_call_is_asked_the_least_and_that_is_noted(monkeypatch: Any) -> None:
    monkeypatch.setattr(recheck, "BUDGET_S", 0.0)
    step, result = put_through(Deviant("right", lambda right, target: right, None))
    assert step == "not caught"
    assert result.notes["not_asked_again"].startswith("at a point near x, whether its")


def test_after_later_stretches_the_least_is_asked() -> None:
    asked = []

    def counts(right: Any, target: Any) -> Any:
        return lambda x: asked.append(1) or right(x)

    put_through(Deviant("right", counts, None), whole=False)
    assert len(asked) == 3 + TIMED_CALLS + 1  # and once at a new point


def test_what_is_known_there_by_products_alone_is_no_new_point() -> None:
    problem = Problem(name="mine", function=lambda xp, x: xp.sin(x), x=np.array([0.7, 1.3]))

    def by_products(moved: Problem) -> Reference:
        whole = reference(moved, "float64")
        here = dataclasses.replace(whole.here, jacobian=whole.here.jacobian[:, :0])
        return dataclasses.replace(whole, here=here)

    points = NewPoints(problem, reference(problem, "float64"), by_products, "float64")
    assert points.current() is None
