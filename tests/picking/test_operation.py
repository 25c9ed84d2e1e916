"""A pick from function to answer: in this process, which stays as it was."""

from __future__ import annotations

import gc
import os
import random

import numpy as np
import pytest

import jacbench
from jacbench import process_state
from jacbench.errors import JacbenchError

X = np.array([0.3, -0.4, 0.9])


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
