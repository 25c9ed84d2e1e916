"""An answer put together over several libraries, also where a process is lost."""

from __future__ import annotations

import pytest

from jacbench.cell import Verdict
from jacbench.errors import JacbenchError
from jacbench.picking.benches.lost import LostError
from jacbench.structure.samples import Samples
from tests.picking.decided import decide, sim
from tests.picking.simulated import Planted, SimulatedBench


def test_code_that_cannot_be_had_any_more_does_not_cost_the_answer():
    lost = LostError(Verdict.CRASHED, "killed")
    answer = decide(sim("a", step="code", raises=lost))
    assert answer.method == "a"
    assert answer.code["dense"] == ["# a: killed"]


def test_a_process_that_cannot_be_asked_is_one_line():
    for step in ("offers", "fingerprint"):
        with pytest.raises((JacbenchError, LostError)) as caught:
            decide(sim("a", step=step, raises=LostError(Verdict.CRASHED, "killed")))
        assert "\n" not in str(caught.value)


def test_nobody_right_is_one_line_with_the_worst_reason():
    bench = SimulatedBench(Planted("a", verdict=Verdict.DISAGREES), Planted("b", reason="no batch"))
    with pytest.raises(
        JacbenchError, match="no method was found to give a right dense Jacobian: a"
    ):
        decide(bench)


def test_a_form_that_cannot_be_had_is_one_line_with_those_that_can():
    bench = SimulatedBench(
        Planted("a"), Planted("s", operator="sparse_jacobian", verdict=Verdict.UNSUPPORTED)
    )
    with pytest.raises(JacbenchError, match=r"right csr Jacobian: s: planted; leave --format out"):
        decide(bench, form="csr")


def test_what_is_said_to_be_used_today_has_to_be_there():
    with pytest.raises(JacbenchError, match=r"--today autograd.jacobian: .*name a method of sim"):
        decide(sim("a"), today="autograd.jacobian")


def test_samples_of_a_bench_that_says_none_are_not_told():
    answer = decide(sim("a"))
    assert answer.notes == ("said before",)
    assert Samples(None).axis is None
