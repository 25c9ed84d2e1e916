"""A planted fault is caught on every problem whose numbers it changes, and said where and by what.

``python tests/fault_table.py`` shows the same as a table.
"""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from jacbench import problems, registry
from jacbench.cell import Verdict
from jacbench.settle import Settled
from tests.faults import FAULTS, Fault, absent, cell_of, changes, is_caught, put_on_trial, right

# jax compiles for every shape anew; these differ in kind, and numpy's faults see all the others
FEW = ("basics/mlp-weights", "basics/linear-sum", "shape/small")

CASES = [
    pytest.param(fault, problem, id=f"{fault.name}-{problem}")
    for fault in FAULTS
    for problem in (FEW if fault.backend == "jax" else problems.names())
]
WORST = re.compile(r"worst at row (\d+), column (\d+) \(x\S*( \S+)*\): (\S+), expected (\S+)$")


@pytest.fixture
def trial(fault: Fault, problem: str) -> Settled:
    reason = absent(fault)
    if reason is not None:
        pytest.skip(reason)
    return put_on_trial(fault, problem)


@pytest.mark.parametrize(("fault", "problem"), CASES)
def test_caught_exactly_where_it_changes_anything(
    fault: Fault, problem: str, trial: Settled
) -> None:
    assert is_caught(trial) == changes(fault, problem), trial.result
    if not is_caught(trial):
        assert trial.result.verdict is Verdict.AGREES
        return
    assert trial.prepared is None, "what is wrong must not be timed"
    reason = trial.result.reason
    assert reason
    assert "\n" not in reason
    if fault.wrong_numbers:
        check_worst_entry(trial, problem)


def check_worst_entry(trial: Settled, problem: str) -> None:
    """The message and the result name one place, with what was found and what belongs there."""
    assert trial.result.verdict is Verdict.DISAGREES
    found = WORST.search(trial.result.reason or "")
    assert found, trial.result.reason
    row, column = int(found[1]), int(found[2])
    value, expected = float(found[4]), float(found[5])
    second = "in a second call" in (trial.result.reason or "")
    point = right(problem).here if second else right(problem).elsewhere
    assert expected == point.jacobian[row, column]
    assert value != expected
    worst = trial.result.worst
    assert worst is not None
    assert (worst["row"], worst["column"]) == (row, column)
    assert float(worst["expected"]) == expected
    assert str(float(worst["value"])) == str(value)


def test_every_fault_is_caught_somewhere() -> None:
    for fault in FAULTS:
        if absent(fault) is None:
            assert any(
                changes(fault, problem) and is_caught(put_on_trial(fault, problem))
                for problem in ("basics/mlp-weights", "basics/logistic-loss")
            ), fault.name


def test_names_are_unique() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("transposed", r"^native shape \(47, 20\), but the method declares \(m, n\): \(20, 47\)$"),
        ("another shape than declared", r"^native shape \(20, 1, 47\), but the method declares"),
        ("result of another dtype", r"^the result is float32 in a float64 cell$"),
        ("one buffer for all calls", r"^a later call overwrote the result of an earlier one: each"),
        ("a list of rows, not an array", r"^the result holds a float, not one of the library's"),
        ("None", r"^the result holds a NoneType, not one of the library's arrays$"),
        ("wrong value, right Jacobian", r"^the function's value differs before any derivative: "),
        ("value of another shape", r"^the function's value has shape \(1, 20\), not \(20, 1\)$"),
        ("stale: answers for the prepared point", r"^at another point than it prepared: ‖J-R‖"),
        ("stale: answers for the first point it was asked", r"^in a second call: ‖J-R‖/‖R‖ = "),
        ("second call adds to the first", r"^in a second call: ‖J-R‖/‖R‖ = "),
        (
            "one entry NaN",
            r"^at another point .* = inf > 1e-12; worst at row 19, column 46 .*: nan",
        ),
        ("one entry off by 1e-9 of the norm", r"= 1e-09 > 1e-12; worst at row 19, column 0 \(x\["),
        ("autograd: seems independent of input", r"^warned 'Output seems independent of input"),
    ],
)
def test_message(name: str, message: str) -> None:
    fault = next(fault for fault in FAULTS if fault.name == name)
    if absent(fault) is not None:
        pytest.skip(str(absent(fault)))
    assert re.search(message, put_on_trial(fault, "basics/mlp-weights").result.reason or "")


def test_changed_input_is_said_where_the_numbers_stay() -> None:
    fault = next(fault for fault in FAULTS if fault.name == "input changed in place")
    result = put_on_trial(fault, "basics/linear-sum").result
    assert (result.verdict, result.reason) == (Verdict.DISAGREES, "the call changed its input")


@pytest.mark.parametrize("problem", problems.names())
def test_no_alarm_for_a_method_that_only_sums_in_another_order(problem: str) -> None:
    method = registry.method("numpy.analytic")
    jacobian = problems.get(problem).jacobian
    assert jacobian is not None

    def perturbed(x: object, *constants: object) -> np.ndarray:
        J = jacobian(x, *constants)
        return J * (1 + 1e-14 * np.cos(np.arange(J.size)).reshape(J.shape))

    fault = Fault(
        "rounding",
        method.info.name,
        alter=lambda p: dataclasses.replace(p, jacobian=perturbed),
    )
    result = put_on_trial(fault, problem).result
    assert result.verdict is Verdict.AGREES
    assert 0 < (result.error or 0) < 1e-13
    assert result.cell == cell_of(problem, "numpy.analytic")
