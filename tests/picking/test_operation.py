"""A pick from function to answer: in this process, and where a library or a worker fails."""

from __future__ import annotations

import gc
import os
import random

import numpy as np
import pytest

import jacbench
from jacbench import process_state
from jacbench.cell import Verdict
from jacbench.errors import JacbenchError
from jacbench.picking import operation
from jacbench.picking.bench import Look
from jacbench.picking.lost import LostError
from jacbench.picking.operation import Wanted
from jacbench.structure.samples import Samples
from tests.picking.simulated import Planted, SimulatedBench

DESCRIBED = {"name": "f", "kind": "planted", "device": "cpu", "notes": ["said before"]}
X = np.array([0.3, -0.4, 0.9])


class Faulty(SimulatedBench):
    """A bench of which one step raises."""

    def __init__(self, *planted, step="", raises=None, look=None, **options):
        super().__init__(*planted, **options)
        self.step, self.raises, self.look = step, raises, look

    def __getattribute__(self, name):
        own = super().__getattribute__
        if name[0] != "_" and name == own("__dict__").get("step"):
            raise own("raises")
        return own(name)

    def examine(self, time_limit_s):
        return self.look or super().examine(time_limit_s)


def decide(*benches, **wanted):
    known = {"time_limit_s": 5.0, "compile": False, **wanted}
    return operation._decide(
        benches, DESCRIBED, Wanted(**known), operation.quiet, starting_s=0.0, bind=False
    )


def sim(*names, **options):
    return Faulty(*(Planted(name, 1e-5 * (i + 1)) for i, name in enumerate(names)), **options)


STEPS = ("examine", "samples", "evidence")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    "raises", [JacbenchError("not with me"), LostError(Verdict.CRASHED, "killed by SIGSEGV")]
)
@pytest.mark.parametrize("first", [True, False])
def test_a_library_that_cannot_look_leaves_the_answer_to_the_others(step, raises, first):
    bad = sim("bad.a", backend="bad", step=step, raises=raises)
    good = sim("good.a", "good.b", backend="good")
    answer = decide(*((bad, good) if first else (good, bad)))
    assert answer.method == "good.a"
    told = [note for note in answer.notes if note.startswith("bad is left out: ")]
    assert len(told) == 1
    assert ("SIGSEGV" in told[0]) == isinstance(raises, LostError)
    assert not bad.entered


@pytest.mark.parametrize("step", STEPS)
def test_where_no_library_can_look_the_first_one_says_why(step):
    benches = [
        sim("a", backend=name, step=step, raises=JacbenchError(f"not in {name}"))
        for name in ("one", "two")
    ]
    with pytest.raises(JacbenchError, match=r"^not in one$"):
        decide(*benches)
    lost = sim("a", step=step, raises=LostError(Verdict.TIMED_OUT, "it took longer than 5 s"))
    with pytest.raises(JacbenchError, match="ended its process: it took longer than 5 s"):
        decide(lost)


def test_libraries_that_compute_something_else_are_not_compared():
    other = Look(m=200, n=100, dtype="float32", call_s=1e-5)
    answer = decide(sim("a", backend="one"), sim("b", backend="two", look=other))
    assert [row.candidate.method for row in answer.rows] == ["a"]
    assert "two is left out: its Jacobian is 200 x 100 in float32" in answer.notes[-1]


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


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"time_limit_s": 0}, "--time-limit 0: give seconds above 0"),
        ({"time_limit_s": float("nan")}, "--time-limit nan"),
        ({"calls": 0}, "--calls 0"),
        ({"form": "coo"}, "--format 'coo': give one of dense, blocks, csr, factors"),
        ({"threads": 0}, "--threads 0"),
        ({"memory": "much"}, "--memory 'much'"),
        ({"today": "torch.nope"}, "unknown method 'torch.nope'"),
    ],
)
def test_what_makes_no_sense_is_one_line(options, told):
    with pytest.raises(JacbenchError) as caught:
        Wanted(**options)
    assert str(caught.value).startswith(told)
    assert "\n" not in str(caught.value)


# --- here ---


def test_an_object_is_measured_here_and_leaves_this_process_as_it_was():
    anp = pytest.importorskip("autograd.numpy")

    def f(x):
        np.random.random()  # noqa: NPY002 - draws, and does not use it
        random.random()  # noqa: S311
        return anp.sin(x) * anp.sum(x)

    generators = np.random.get_state(legacy=False), random.getstate()  # noqa: NPY002
    frozen, cpus, folder = gc.get_freeze_count(), process_state._affinity(), os.getcwd()  # noqa: PTH109
    environment, errors = dict(os.environ), np.geterr()
    answer = jacbench.pick(f, X, time_limit_s=5, compile=False)
    assert answer.best.result.error < 1e-12
    assert answer.operator == "jacobian"
    assert answer.rows
    now = np.random.get_state(legacy=False), random.getstate()  # noqa: NPY002
    np.testing.assert_equal(now, generators)
    assert (gc.get_freeze_count(), process_state._affinity()) == (frozen, cpus)
    assert (os.getcwd(), np.geterr()) == (folder, errors)  # noqa: PTH109
    assert {k: v for k, v in os.environ.items() if k in environment} == environment


def test_an_interrupted_pick_lets_go():
    anp = pytest.importorskip("autograd.numpy")
    count = [0]

    def f(x):
        count[0] += 1
        if count[0] == 150:
            raise KeyboardInterrupt
        return anp.sin(x)

    frozen = gc.get_freeze_count()
    with pytest.raises(KeyboardInterrupt):
        jacbench.pick(f, X, time_limit_s=5, compile=False)
    assert gc.get_freeze_count() == frozen


def test_a_problem_for_several_libraries_answers_without_the_one_that_declines():
    anp = pytest.importorskip("autograd.numpy")
    pytest.importorskip("torch")

    def declines(x):
        raise RuntimeError("not here")

    problem = jacbench.Problem(name="two", native={"torch": declines, "autograd": anp.sin}, x=X)
    answer = jacbench.pick(problem, time_limit_s=5, compile=False)
    assert answer.best.backend == "autograd"
    assert any(note.startswith("torch is left out: ") for note in answer.notes)


def test_a_name_says_what_x_is():
    with pytest.raises(JacbenchError, match="leave x out"):
        jacbench.pick("model.py:f", X)


def test_samples_of_a_bench_that_says_none_are_not_told():
    answer = decide(sim("a"))
    assert answer.notes == ("said before",)
    assert Samples(None).axis is None
