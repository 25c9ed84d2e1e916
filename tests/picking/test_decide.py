"""An answer put together over several libraries, also where a process is lost."""

from __future__ import annotations

import pytest

from jacbench.core.cell import Verdict
from jacbench.core.errors import JacbenchError
from jacbench.measuring import memory
from jacbench.structure.samples import Samples
from jacbench.workers.lost import LostError
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


def test_of_several_forms_the_dense_one_answers_also_where_another_is_faster():
    bench = SimulatedBench(Planted("s", 1e-6, operator="sparse_jacobian"), Planted("a", 1e-3))
    answer = decide(bench)
    assert set(answer.picks) == {"dense", "csr"}
    assert (answer.format, answer.method) == ("dense", "a")


def test_an_answer_is_undecided_where_a_rival_was_not_measured():
    compiled = [Planted(name, compiled=True) for name in ("c", "d")]
    # the compile limit is over once the first of them has entered
    answer = decide(SimulatedBench(Planted("a"), *compiled), compile=True, compile_limit_s=1e-9)
    assert not answer.decided
    assert (answer.scarce, answer.enough_s) == ("compile", 1.0)
    answer = decide(SimulatedBench(Planted("a"), *compiled))
    assert (answer.decided, answer.enough_s) == (True, None)


def test_what_is_said_to_be_used_today_has_to_be_there():
    with pytest.raises(JacbenchError, match=r"--today autograd.jacobian: .*name a method of sim"):
        decide(sim("a"), today="autograd.jacobian")


def test_samples_of_a_bench_that_says_none_are_not_told():
    answer = decide(sim("a"))
    assert answer.notes == ("said before",)
    assert Samples(None).axis is None


@pytest.mark.parametrize(
    ("large", "told"),
    [(None, "could not be started again: killed"), ("a 200 x 100 Jacobian needs much", "much")],
)
def test_a_process_lost_over_a_jacobian_too_large_says_its_size(
    large: str | None, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "too_large", lambda *_: large)
    lost = LostError(Verdict.CRASHED, "killed")
    with pytest.raises(JacbenchError, match=told) as caught:
        decide(sim("a", step="offers", raises=lost))
    assert "\n" not in str(caught.value)


def test_a_pick_that_is_not_asked_again_is_told_in_one_line():
    told = "a: checked before timing, and not once more after it: the time limit of 3 s leaves no "
    assert any(note.startswith(told) for note in decide(sim("a"), time_limit_s=3.0).notes)
    assert not any("once more" in note for note in decide(sim("a"), time_limit_s=60.0).notes)
