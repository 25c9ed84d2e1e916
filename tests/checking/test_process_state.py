"""A method that changes the whole process is caught, and its neighbours find all as it was."""

from __future__ import annotations

import gc
import os
import random
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jacbench.backend import Backend, Method, MethodInfo, Prepared, Target, registry
from jacbench.checking import process_state
from jacbench.checking.checks import Settled
from jacbench.checking.reference import reference
from jacbench.checking.verdict import settle
from jacbench.core import layouts
from jacbench.core.cell import Cell, Verdict
from jacbench.core.layouts import Layout
from jacbench.measuring import blas
from jacbench.problems.problem import Problem
from jacbench.running.prepared_cells import Harness, Limits
from tests.runs import PROBLEM as LINEAR_SUM
from tests.runs import environment, jacbench, strict, tiny_site

CELL = Cell("mine", "jacobian", "numpy.told", "numpy", "cpu", "float64", 1)
PROBLEM = Problem(
    name="mine",
    function=lambda xp, x: x * x,
    x=np.array([1.0, 2.0, 3.0]),
    jacobian=lambda x: np.diag(2 * x),
)
LEAVE = ": a method, and the function under it, must leave the process as it was"


class Meddles(Method):
    """A right method that does something else besides, in its preparation or in its calls."""

    def __init__(self, meddle: Callable[[], object], *, preparing: bool = False) -> None:
        self.info = MethodInfo("numpy.told", "right numbers")
        self.meddle, self.preparing = meddle, preparing

    def layout(self, target: Target) -> Layout:
        return layouts.MATRIX

    def prepare(self, target: Target) -> Prepared:
        if self.preparing:
            self.meddle()
            return Prepared(lambda x: np.diag(2 * x))
        return Prepared(lambda x: (np.diag(2 * x), self.meddle())[0])


def settled(
    meddle: Callable[[], object], backend: Backend | None = None, **options: Any
) -> Settled:
    method = Meddles(meddle, **options)
    backend = backend or registry.load("numpy")
    return settle(CELL, PROBLEM, backend, method, reference(PROBLEM, "float64"))


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """Fail a test that leaves this process changed, whatever it found out."""
    before = process_state.take(registry.load("numpy"))
    with warnings.catch_warnings():
        yield
    assert process_state.put_back(before).lines == ()


MEDDLERS: Mapping[str, Callable[[], object]] = {
    "the working directory from ": lambda: os.chdir("/"),
    "the environment (JACBENCH_TEST)": lambda: os.environ.update(JACBENCH_TEST="secret"),
    "the environment (HOME)": lambda: os.environ.pop("HOME", None),
    "numpy's error handling (divide from warn to raise)": lambda: np.seterr(divide="raise"),
    "numpy's function for errors": lambda: np.seterrcall(lambda *_: None),
    "sys.path": lambda: sys.path.append("nowhere"),
    "sys.stdout": lambda: setattr(sys, "stdout", sys.__stderr__),
    "sys.stdin": lambda: setattr(sys, "stdin", None),
    "the switch interval of threads from ": lambda: sys.setswitchinterval(0.5),
    "the profile function": lambda: sys.setprofile(lambda *_: None),
    "the garbage collector's settings": gc.disable,
    "the filters of warnings, to ignore them all": lambda: warnings.simplefilter("ignore"),
}


@pytest.mark.parametrize("preparing", [False, True], ids=["calling", "preparing"])
@pytest.mark.parametrize("told", MEDDLERS)
def test_a_change_is_caught_told_and_put_back(
    told: str, preparing: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", "/home/of-the-test")
    monkeypatch.chdir(tmp_path)
    before = process_state.take(registry.load("numpy"))
    found = settled(MEDDLERS[told], preparing=preparing)
    assert found.prepared is None
    assert found.result.verdict is Verdict.FAILED
    reason = found.result.reason or ""
    assert reason.startswith(f"changed {told}")
    assert reason.endswith(LEAVE)
    assert "secret" not in reason
    assert "\n" not in reason
    assert process_state.put_back(before).lines == ()


def test_several_changes_stand_in_one_line() -> None:
    def meddle() -> None:
        np.seterr(all="ignore")
        os.environ["JACBENCH_TEST"] = "1"

    reason = settled(meddle).result.reason or ""
    assert reason.startswith("changed the environment (JACBENCH_TEST); numpy's error handling (")
    assert "JACBENCH_TEST" not in os.environ


def test_the_threads_of_numpy_s_blas_are_watched() -> None:
    if blas.threads() is None:
        pytest.skip("this NumPy's BLAS does not tell its threads")
    before = blas.threads()
    assert before is not None
    reason = settled(lambda: blas.set_threads(before + 1)).result.reason or ""
    if "BLAS" not in reason:
        pytest.skip("this BLAS was built for so many threads at most")
    assert reason == (f"changed the threads of numpy's BLAS from {before} to {before + 1}" + LEAVE)
    assert blas.threads() == before


def test_the_processors_to_run_on_are_watched() -> None:
    if not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2:
        pytest.skip("there is no choice of processors")
    mine = os.sched_getaffinity(0)
    reason = settled(lambda: os.sched_setaffinity(0, {min(mine)})).result.reason
    assert reason == "changed the processors to run on" + LEAVE
    assert os.sched_getaffinity(0) == mine


def test_what_leaves_the_process_alone_agrees() -> None:
    def careful() -> None:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            np.log(np.zeros(1))

    result = settled(careful).result
    assert (result.verdict, result.reason) == (Verdict.AGREES, None)
    assert dict(result.notes) == {}


# --- random numbers ---


@pytest.mark.parametrize(
    ("names", "draw"),
    [
        ("random", random.random),
        ("random", lambda: random.seed(0)),
        ("numpy", np.random.rand),
        ("random, numpy", lambda: (random.seed(1), np.random.seed(1))),  # noqa: NPY002
    ],
)
def test_random_numbers_may_be_drawn_and_are_drawn_again(
    names: str, draw: Callable[[], object]
) -> None:
    random.seed(7)
    np.random.seed(7)  # noqa: NPY002
    expected = random.random(), np.random.rand()  # noqa: NPY002, S311
    random.seed(7)
    np.random.seed(7)  # noqa: NPY002
    result = settled(draw).result
    assert (result.verdict, dict(result.notes)) == (
        Verdict.AGREES,
        {"drew_random_numbers": names},
    )
    assert (random.random(), np.random.rand()) == expected  # noqa: NPY002, S311


# --- cells that have another verdict anyway ---


def test_a_fault_keeps_its_reason_and_tells_the_change_too() -> None:
    def meddle() -> None:
        os.environ["JACBENCH_TEST"] = "1"
        raise ArithmeticError("no")

    result = settled(meddle).result
    assert result.verdict is Verdict.FAILED
    assert result.reason == (
        "ArithmeticError: no; and it changed the environment (JACBENCH_TEST)" + LEAVE
    )
    assert "JACBENCH_TEST" not in os.environ


def test_what_is_declined_stays_unsupported() -> None:
    def meddle() -> None:
        os.environ["JACBENCH_TEST"] = "1"
        raise NotImplementedError("no rule")

    result = settled(meddle).result
    assert result.verdict is Verdict.UNSUPPORTED
    assert "JACBENCH_TEST" in result.notes["left_behind"]
    assert "JACBENCH_TEST" not in os.environ


# --- what a backend adds ---


class Watched(type(registry.load("numpy"))):  # type: ignore[misc]
    """A backend with a setting, a generator, and one setting that cannot be put back."""

    def __init__(self) -> None:
        self.held = {"its level": 1, "its stuck level": 1}
        self.drawn = 0

    def state(self) -> Mapping[str, Any]:
        return dict(self.held)

    def generators(self) -> Mapping[str, Any]:
        return {"its generator": self.drawn}

    def restore(self, state: Mapping[str, Any]) -> None:
        assert len(state) == 1
        if "its stuck level" in state:
            raise RuntimeError("stuck")
        self.drawn = state.get("its generator", self.drawn)
        self.held.update({k: v for k, v in state.items() if k in self.held})


def test_a_backend_s_own_state_is_watched() -> None:
    backend = Watched()
    reason = settled(lambda: backend.held.update({"its level": 2}), backend).result.reason
    assert reason == "changed its level from 1 to 2" + LEAVE
    assert backend.held["its level"] == 1


def test_what_cannot_be_put_back_is_told() -> None:
    backend = Watched()
    reason = settled(lambda: backend.held.update({"its stuck level": 2}), backend).result.reason
    assert reason == "changed its stuck level from 1 to 2 (not put back: RuntimeError)" + LEAVE


def test_a_backend_s_generators_are_put_back() -> None:
    backend = Watched()
    result = settled(lambda: setattr(backend, "drawn", 5), backend).result
    assert result.notes["drew_random_numbers"] == "its generator"
    assert backend.drawn == 0


# --- in a session ---


def test_a_change_in_a_later_call_is_found_once() -> None:
    own = Harness(1, Limits(), {"mine": PROBLEM}, verify_pins=False)
    cell = replace(CELL, method="numpy.analytic")
    assert own.state_changes() is None
    assert own.settle(cell).prepared is not None
    assert own.state_changes() is None
    os.environ["JACBENCH_TEST"] = "1"
    assert own.state_changes() == "changed the environment (JACBENCH_TEST)" + LEAVE
    assert "JACBENCH_TEST" not in os.environ
    assert own.state_changes() is None


def test_a_cell_without_a_call_is_not_watched() -> None:
    own = Harness(1, Limits(), {"mine": PROBLEM}, verify_pins=False)
    assert own.settle(replace(CELL, operator="vjp", method="numpy.analytic")).prepared is None
    os.environ["JACBENCH_TEST"] = "1"
    assert own.state_changes() is None
    del os.environ["JACBENCH_TEST"]


def test_neighbours_of_meddlers_are_right(tmp_path: Path) -> None:
    names = ("first", "changes-folder", "ignores-numpy-errors", "sets-environment", "last")
    done = jacbench(
        *("check", LINEAR_SUM, "--json", "-"),
        *(word for name in names for word in ("--method", f"meddling.{name}")),
        cwd=tmp_path,
        env=environment(tiny_site()),
    )
    assert (done.returncode, done.stderr) == (1, "")
    rows = {row["method"]: row for row in strict(done.stdout)["cells"]}
    verdicts = {name: rows[f"meddling.{name}"]["verdict"] for name in names}
    assert verdicts == {
        "first": "agrees",
        "changes-folder": "failed",
        "ignores-numpy-errors": "failed",
        "sets-environment": "failed",
        "last": "agrees",
    }
    told = rows["meddling.sets-environment"]["reason"]
    assert told == "changed the environment (MEDDLED)" + LEAVE
