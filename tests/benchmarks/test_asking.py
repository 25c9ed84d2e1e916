"""A function of the regret test reaches the workers as a user would hand it over."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.functions import asking, cases
from jacbench import problems
from jacbench.core.errors import JacbenchError
from jacbench.problems.problem import Problem


def test_a_case_is_handed_over_with_its_point() -> None:
    pytest.importorskip("autograd")
    case = next(case for case in cases() if case.library == "autograd")
    f, x = asking.handed_over(case.name)
    assert f is case.asked()[0]
    assert np.array_equal(x, case.asked()[1])


def test_of_a_problem_nothing_is_said_of_samples() -> None:
    problem, x = asking.handed_over("basics/generator")
    assert isinstance(problem, Problem)
    assert problem.in_axes is None
    assert problems.get("basics/generator").in_axes is not None
    assert x is None


def test_what_is_not_there_is_said() -> None:
    with pytest.raises(JacbenchError, match="no/such"):
        asking.handed_over("no/such")


def test_it_is_picked_in_workers() -> None:
    pytest.importorskip("autograd")
    answer = asking.pick("wide/counts", time_limit_s=5, form="dense", compile=False)
    assert answer.method.startswith("autograd.")
    assert answer.seconds["starting"] > 0
