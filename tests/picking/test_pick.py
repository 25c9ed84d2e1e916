"""A pick from function to answer: in this process, which stays as it was."""

from __future__ import annotations

import gc
import os
import random

import numpy as np
import pytest

import jacbench
from jacbench.checking import process_state
from jacbench.core.errors import JacbenchError

X = np.array([0.3, -0.4, 0.9])


def test_an_object_is_measured_here_and_leaves_this_process_as_it_was():
    anp = pytest.importorskip("autograd.numpy")

    def f(x):
        np.random.random()  # noqa: NPY002 - draws, and does not use it
        random.random()  # noqa: S311
        return anp.sin(x) * anp.sum(x)

    gc.unfreeze()  # what another test left frozen may end meanwhile, and the count with it
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


def test_what_may_crash_is_left_out_of_this_process():
    torch = pytest.importorskip("torch")
    answer = jacbench.pick(torch.sin, torch.linspace(0.1, 0.9, 3).double(), time_limit_s=5)
    compiled = [row for row in answer.rows if "compile" in row.candidate.method]
    assert compiled
    assert {row.fate for row in compiled} == {"not tried"}
    (note,) = (note for note in answer.notes if "compile" in note)
    assert "torch.compile-jacrev" in note
    assert note.endswith("or say compile=True")


def test_it_is_not_told_to_who_decided_or_has_no_compiler():
    anp = pytest.importorskip("autograd.numpy")
    answer = jacbench.pick(anp.sin, X, time_limit_s=5)
    assert not any("compile" in note for note in answer.notes)
    torch = pytest.importorskip("torch")
    x = torch.linspace(0.1, 0.9, 3).double()
    answer = jacbench.pick(torch.sin, x, time_limit_s=5, compile=False)
    assert not any("compile" in note for note in answer.notes)


def test_a_name_says_what_x_is():
    with pytest.raises(JacbenchError, match="leave x out"):
        jacbench.pick("model.py:f", X)


def test_a_method_of_today_that_no_library_has_is_one_line() -> None:
    with pytest.raises(JacbenchError, match=r"^unknown method 'torch\.nope'"):
        jacbench.pick(lambda x: x, np.ones(3), today="torch.nope")
