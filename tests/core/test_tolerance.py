"""A tolerance of the user's: how it arrives, what it lets pass, and what is refused."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

import jacbench
from jacbench.backend import Prepared, Target, registry
from jacbench.checking import matrix_error
from jacbench.core.cell import CellResult, Verdict
from jacbench.core.errors import JacbenchError
from jacbench.core.tolerance import why_no_tolerance
from jacbench.results import source_hash
from jacbench.running.settings import Settings

X = np.array([0.3, -0.4, 0.9])


def problem(**parts: Any) -> jacbench.Problem:
    return jacbench.Problem(**{"name": "mine", "function": lambda xp, x: xp.sin(x), "x": X} | parts)


@pytest.fixture
def off(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let the complex step be off by a share, or by a number in each entry."""
    method = registry.method("numpy.complex-step")
    right = method.prepare

    def spoil(share: float = 0.0, entry: float = 0.0) -> None:
        def prepare(target: Target) -> Prepared:
            made = right(target)
            return dataclasses.replace(
                made, call=lambda x: np.asarray(made.call(x)) * (1 + share) + entry
            )

        monkeypatch.setattr(method, "prepare", prepare)

    return spoil


def checked(given: jacbench.Problem, **options: Any) -> CellResult:
    run = jacbench.check(given, methods=["numpy.complex-step"], operators=["jacobian"], **options)
    return run.cells[0]


def exact(x: Any) -> Any:
    return np.diag(np.cos(x))


def test_without_one_the_usual_holds(off: Any) -> None:
    off(share=1e-9)
    found = checked(problem(jacobian=exact))
    assert (found.verdict, found.tolerance, found.atol) == (Verdict.DISAGREES, 1e-12, None)


def test_rtol_of_the_check_and_of_the_problem(off: Any) -> None:
    off(share=1e-9)
    for found in (
        checked(problem(jacobian=exact), rtol=1e-8),
        checked(problem(jacobian=exact, rtol=1e-8)),
        checked(problem(jacobian=exact, rtol=1e-15), rtol=1e-8),
    ):
        assert (found.verdict, found.tolerance) == (Verdict.AGREES, 1e-8)
        assert found.error == pytest.approx(1e-9, rel=1e-3)
    narrow = checked(problem(jacobian=exact, rtol=1e-8), rtol=1e-10)
    assert (narrow.verdict, narrow.tolerance) == (Verdict.DISAGREES, 1e-10)


def test_a_small_row_is_held_to_it_too(off: Any) -> None:
    scales = np.array([1.0, 1.0, 1e-6])
    given = problem(
        function=lambda xp, x: xp.sin(x) * xp.asarray(scales),
        jacobian=lambda x: scales[:, None] * exact(x) * np.array([1, 1, 1]),
        rtol=1e-8,
    )
    # normwise 4e-4; over the size of the small row, beside which a tenth of the whole counts, 2e-3
    off(entry=3e-4)
    told = checked(dataclasses.replace(given, rtol=1e-3))
    assert told.verdict is Verdict.DISAGREES
    assert (told.error or 1) < 1e-3
    assert "of one entry over its row's or column's size" in (told.reason or "")
    assert checked(dataclasses.replace(given, rtol=1e-2)).verdict is Verdict.AGREES


def test_atol_is_for_a_jacobian_of_zero(off: Any) -> None:
    flat = problem(function=lambda xp, x: 0 * x + 1.0, jacobian=lambda x: np.zeros((3, 3)))
    off(entry=1e-10)
    assert checked(flat).verdict is Verdict.DISAGREES
    found = checked(flat, atol=1e-9)
    assert (found.verdict, found.error, found.atol) == (Verdict.AGREES, 0.0, 1e-9)
    assert checked(dataclasses.replace(flat, atol=1e-9)).verdict is Verdict.AGREES
    assert checked(flat, atol=1e-11).verdict is Verdict.DISAGREES


def test_atol_lets_no_entry_pass_that_is_off_by_more() -> None:
    R = np.eye(2)
    J = R + np.array([[1e-9, 0.0], [3e-6, 0.0]])
    assert not matrix_error.compare(J, R, atol=1e-6).within(1e-12)
    found = matrix_error.compare(J, R, atol=3e-6)
    assert found.within(1e-12)
    assert found.error == 0.0


def test_what_a_method_is_itself_good_to_is_allowed() -> None:
    run = jacbench.check(
        problem(jacobian=exact),
        methods=["numpy.central-difference"],
        operators=["jacobian"],
        rtol=1e-14,
    )
    assert run.cells[0].verdict is Verdict.AGREES
    assert (run.cells[0].tolerance or 0) > 1e-10


def test_it_is_recorded_and_reaches_workers() -> None:
    settings = Settings(rtol=1e-7, atol=1e-9, timed=False)
    assert Settings.from_json(settings.to_json()) == settings
    run = jacbench.check(
        "basics/generator",
        methods=["numpy.complex-step"],
        operators=["jacobian"],
        rtol=1e-7,
        atol=1e-9,
    )
    assert (run.cells[0].tolerance, run.cells[0].atol) == (1e-7, 1e-9)
    assert (run.options["rtol"], run.options["atol"]) == (1e-7, 1e-9)
    again = CellResult.from_json(run.cells[0].to_json())
    assert again.atol == 1e-9


def test_a_tolerance_makes_no_other_problem() -> None:
    assert source_hash.of_problem(problem()) == source_hash.of_problem(problem(rtol=1e-3, atol=1.0))


@pytest.mark.parametrize("value", [-1e-9, math.nan, math.inf, 1.0, "1e-3", True])
def test_nonsense_is_refused_in_one_line(value: Any) -> None:
    for refused in (
        lambda: problem(rtol=value),
        lambda: jacbench.check(problem(), rtol=value),
        lambda: jacbench.run(problem(), rtol=value),
    ):
        with pytest.raises(JacbenchError, match=r"rtol is .*: give a number") as caught:
            refused()
        assert "\n" not in str(caught.value)


def test_an_absolute_one_may_be_large() -> None:
    assert why_no_tolerance("atol", 5.0) is None
    assert why_no_tolerance("rtol", 0) is None
    assert why_no_tolerance("atol", None) is None
    assert why_no_tolerance("--atol", -1.0) == "--atol is -1.0: give a number of at least 0"
