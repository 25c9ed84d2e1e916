"""A planted fault is caught on every problem whose numbers it changes, and said where and by what.

``python tests/fault_table.py`` shows the same as a table.
"""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from jacbench.checking.checks import Settled
from jacbench.core.cell import Verdict
from jacbench.problems.problem import Problem
from tests import faults, operator_faults
from tests.contract.cells import INSTANCES
from tests.planting import (
    Fault,
    absent,
    cell_of,
    changes,
    does,
    is_caught,
    put_on_trial,
    right,
    right_matrix,
    tried_on,
)

FAULTS = [*faults.FAULTS, *operator_faults.FAULTS]

WORST = re.compile(r"worst at row (\d+), column (\d+) \(x\S*( \S+)*\): (\S+), expected (\S+)$")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_caught_exactly_where_it_changes_anything(fault: Fault) -> None:
    reason = absent(fault)
    if reason is not None:
        pytest.skip(reason)
    caught = []
    for problem in tried_on(fault):
        trial = put_on_trial(fault, problem)
        assert is_caught(trial) == changes(fault, problem), trial.result
        if is_caught(trial):
            caught.append(problem)
            check_told(trial, fault, problem)
        else:
            assert trial.result.verdict is Verdict.AGREES
    assert caught, "planted in vain"


def check_told(trial: Settled, fault: Fault, problem: str) -> None:
    assert trial.prepared is None, "what is wrong must not be timed"
    reason = trial.result.reason
    assert reason
    assert "\n" not in reason
    beside = fault.operator == "value_and_jacobian" and "worst at row" not in reason
    if fault.wrong_numbers and not beside:
        check_worst_entry(trial, problem)


def check_worst_entry(trial: Settled, problem: str) -> None:
    """The message and the result name one place, with what was found and what belongs there."""
    assert trial.result.verdict is Verdict.DISAGREES
    found = WORST.search(trial.result.reason or "")
    assert found, trial.result.reason
    row, column = int(found[1]), int(found[2])
    value, expected = float(found[4]), float(found[5])
    cell, second = trial.result.cell, "in a second call" in (trial.result.reason or "")
    reference = right(problem, cell.backend)
    point = reference.here if second else reference.elsewhere
    assert expected == right_matrix(problem, cell.method, point)[row, column]
    assert value != expected
    worst = trial.result.worst
    assert worst is not None
    assert (worst["row"], worst["column"]) == (row, column)
    assert float(worst["expected"]) == expected
    assert str(float(worst["value"])) == str(value)


def test_names_are_unique() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


def test_every_operator_has_planted_faults() -> None:
    assert {fault.operator for fault in FAULTS} == set(faults.BY_HAND)


NETWORK = "basics/mlp-weights"


@pytest.mark.parametrize(
    ("name", "problem", "message"),
    [
        (
            "transposed",
            NETWORK,
            r"^native shape \(47, 20\), but the method declares \(m, n\): \(20, 47\)$",
        ),
        (
            "another shape than declared",
            NETWORK,
            r"^native shape \(20, 1, 47\), but the method declares",
        ),
        ("result of another dtype", NETWORK, r"^the result is float32 in a float64 cell$"),
        (
            "one buffer for all calls",
            NETWORK,
            r"^a later call overwrote the result of an earlier one: each",
        ),
        (
            "a list of rows, not an array",
            NETWORK,
            r"^the result holds a float, not one of the library's",
        ),
        ("None", NETWORK, r"^the result holds a NoneType, not one of the library's arrays$"),
        (
            "wrong value, right Jacobian",
            NETWORK,
            r"^the function's value differs before any derivative: ",
        ),
        (
            "value of another shape",
            NETWORK,
            r"^the function's value has shape \(1, 20\), not \(20, 1\)$",
        ),
        (
            "stale: answers for the prepared point",
            NETWORK,
            r"^at another point than it prepared: ‖J-R‖",
        ),
        (
            "stale: answers for the first point it was asked",
            NETWORK,
            r"^in a second call: ‖J-R‖/‖R‖ = ",
        ),
        ("second call adds to the first", NETWORK, r"^in a second call: ‖J-R‖/‖R‖ = "),
        (
            "one entry NaN",
            NETWORK,
            r"^at another point .* = inf > 1e-12; worst at row 19, column 46 .*: nan",
        ),
        (
            "one entry off by 1e-9 of the norm",
            NETWORK,
            r"= 1e-09 > 1e-12; worst at row 19, column 0 \(x\[",
        ),
        (
            "autograd: seems independent of input",
            NETWORK,
            r"^warned 'Output seems independent of input",
        ),
        (
            "vjp: the cotangent is ignored, ones in its place",
            "wrt/several-inputs",
            r"^at another point than it prepared: .*; worst at row 0, column \d+ \(x\[[01]\]\[",
        ),
        (
            "jvp: along x, not along the tangent",
            "wrt/several-inputs",
            r"worst at row \d, column 0 \(x along the tangent\): ",
        ),
        (
            "batch_jacobian: samples permuted",
            "wrt/per-sample",
            r"worst at row \d, column \d \(x\[\d\]\): ",
        ),
        (
            "value_and_jacobian: the value of the first call",
            "wrt/several-inputs",
            r"^the value returned beside J differs: ‖y-r‖/‖r‖ = .*; worst at output \d: ",
        ),
        (
            "value_and_jacobian: the value in float32",
            "wrt/several-inputs",
            r"^the value returned beside J is float32 in a float64 cell$",
        ),
        (
            "value_and_jacobian: no value",
            "wrt/several-inputs",
            r"^the value returned beside J is a NoneType, not one of the library's arrays$",
        ),
        (
            "value_and_jacobian: J alone",
            "wrt/several-inputs",
            r"^value_and_jacobian returns \(y, J\), and this is no such pair$",
        ),
        (
            "value_and_jacobian: aux left out",
            "wrt/auxiliary",
            r"^value_and_jacobian returns \(\(y, aux\), J\), and this is no such pair$",
        ),
        (
            "value_and_jacobian: aux of the prepared point",
            "wrt/auxiliary",
            r"^aux\['logits'\] differs: ",
        ),
        (
            "value_and_jacobian: a part of aux left out",
            "wrt/auxiliary",
            r"^aux holds 1 arrays, not 2$",
        ),
        (
            "value_and_jacobian: a count in aux off by one",
            "wrt/auxiliary",
            r"^aux\['count'\] is 4, not 3$",
        ),
        (
            "value_and_jacobian: one buffer for all values",
            "basics/linear-sum",
            r"^a later call overwrote the result of an earlier one: each",
        ),
        (
            "unused input: NaN in its place",
            "wrt/several-inputs",
            r"worst at row 0, column 6 \(x\[2\]\[0\]\): nan, expected 0\.0$",
        ),
        (
            "unused input: left out of a vjp",
            "wrt/several-inputs",
            r"^native shape \(3,\), \(3,\), but the method declares .*: \(3,\), \(3,\), \(2,\)$",
        ),
        (
            "torch: an unused input is None",
            "wrt/several-inputs",
            r"^the result holds a NoneType, not one of the library's arrays$",
        ),
    ],
)
def test_message(name: str, problem: str, message: str) -> None:
    fault = next(fault for fault in FAULTS if fault.name == name)
    if absent(fault) is not None:
        pytest.skip(str(absent(fault)))
    assert re.search(message, put_on_trial(fault, problem).result.reason or "")


def test_changed_input_is_said_where_the_numbers_stay() -> None:
    fault = next(fault for fault in FAULTS if fault.name == "input changed in place")
    result = put_on_trial(fault, "basics/linear-sum").result
    assert (result.verdict, result.reason) == (Verdict.DISAGREES, "the call changed its input")


# what differentiates one sample at a time, or the sum over all: right where samples do not interact
PER_SAMPLE = [
    *("torch.vmap-jacrev", "torch.vmap-jacfwd", "torch.sum-trick", "torch.sample-loop"),
    *("jax.vmap-jacrev", "jax.sum-trick", "autograd.sample-loop", "autograd.sum-trick"),
]


@pytest.mark.parametrize("problem", ["nn/batch-norm", "nn/softmax-over-batch"])
@pytest.mark.parametrize("method", PER_SAMPLE)
def test_per_sample_methods_are_caught_where_samples_interact(method: str, problem: str) -> None:
    # the harness refuses these cells; here nothing has looked whether samples interact
    unspoiled = Fault("as it stands", method)
    if absent(unspoiled) is not None:
        pytest.skip(str(absent(unspoiled)))
    trial = put_on_trial(unspoiled, INSTANCES[problem])
    assert is_caught(trial), trial.result
    assert does("numpy.analytic-batch", INSTANCES[problem])


@pytest.mark.parametrize("method", faults.BY_HAND.values())
def test_no_alarm_for_a_method_that_only_sums_in_another_order(method: str) -> None:
    def perturbed(known: Problem) -> Problem:
        jacobian = known.jacobian
        assert jacobian is not None

        def rounded(x: object, *constants: object) -> np.ndarray:
            J = jacobian(x, *constants)
            return J * (1 + 1e-14 * np.cos(np.arange(J.size)).reshape(J.shape))

        return dataclasses.replace(known, jacobian=rounded)

    fault = Fault("rounding", method, alter=perturbed)
    for problem in tried_on(fault):
        result = put_on_trial(fault, problem).result
        assert result.verdict is Verdict.AGREES
        zero = not right(problem).elsewhere.jacobian.any()
        assert zero or 0 < (result.error or 0) < 1e-13
        assert result.cell == cell_of(problem, method)
