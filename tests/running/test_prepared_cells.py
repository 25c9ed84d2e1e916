"""What one process does with its cells, where something goes wrong on the way."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from jacbench.backend import Prepared
from jacbench.core.cell import Cell, Verdict
from jacbench.measuring import memory
from jacbench.problems.problem import Problem
from jacbench.results import source_hash
from jacbench.running.prepared_cells import Harness, Limits

CELL = Cell("basics/linear-sum", "jacobian", "numpy.analytic", "numpy", "cpu", "float64", 1)


def harness(call: Callable[[Any], Any]) -> Harness:
    """Return a harness whose one settled cell calls ``call`` from now on."""
    own = Harness(1, Limits(), verify_pins=False)
    settled = own.settle(CELL)
    assert settled.result.verdict is Verdict.AGREES
    own.settled[CELL] = replace(settled, prepared=Prepared(call))
    return own


@pytest.fixture(autouse=True)
def _measurable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave this process's allocator as it is."""
    monkeypatch.setattr(memory, "prepare_to_measure", lambda: True)
    monkeypatch.setattr(memory, "peak_bytes", lambda call: (call(), 4096)[1])


def test_a_call_that_warns_has_a_peak_where_warnings_are_errors() -> None:
    def call(x: Any) -> Any:
        warnings.warn("said again at every call", UserWarning, stacklevel=2)

    own = harness(call)
    assert own.measure_memory(CELL) == 4096


def test_a_call_that_fails_after_it_was_timed_costs_its_peak_alone() -> None:
    def call(x: Any) -> Any:
        raise RuntimeError("the 51st call")

    assert harness(call).measure_memory(CELL) is None


def test_a_cell_that_was_not_prepared_has_no_peak() -> None:
    own = harness(lambda x: x)
    own.settled[CELL] = replace(own.settled[CELL], prepared=None)
    assert own.measure_memory(CELL) is None


def test_a_leak_is_asked_for_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(memory, "leak_bytes", lambda call: (call(), 2**20)[1])
    assert harness(calls.append).leak_bytes(CELL) == 2**20
    assert len(calls) == 1

    def fails(x: Any) -> Any:
        raise RuntimeError("the 51st call")

    assert harness(fails).leak_bytes(CELL) is None


def test_a_cell_that_was_not_prepared_leaks_nothing() -> None:
    own = harness(lambda x: x)
    own.settled[CELL] = replace(own.settled[CELL], prepared=None)
    assert own.leak_bytes(CELL) is None


@pytest.mark.parametrize(
    ("threads", "cores", "told"),
    [
        (1, 1.0, None),
        (1, 1.15, None),
        (1, 1.9, "numpy used 1.9 cores where 1 was asked for"),
        (2, 1.9, None),
        (2, 3.14, "numpy used 3.1 cores where 2 was asked for"),
        (1, None, None),
    ],
)
def test_pins_that_do_not_hold_are_told(
    threads: int, cores: float | None, told: str | None
) -> None:
    own = Harness(threads, Limits())
    if cores is not None:
        own.settings["numpy"] = {"measured_cores": cores}
    assert own.pins_hold("numpy") == told


def test_every_cell_has_the_hashes_of_what_defines_it() -> None:
    own = Harness(1, Limits(), verify_pins=False)
    results = [
        own.settle(replace(CELL, problem=problem, method=method)).result
        for problem in ("basics/linear-sum", "basics/generator")
        for method in ("numpy.analytic", "numpy.analytic-vjp")
    ]
    assert [r.verdict for r in results] == [Verdict.AGREES, Verdict.UNSUPPORTED] * 2
    problems = [r.problem_hash for r in results]
    methods = [r.method_hash for r in results]
    assert None not in problems + methods
    assert problems[0] == problems[1] != problems[2] == problems[3]
    assert methods[0] == methods[2] != methods[1] == methods[3]


def test_what_cannot_be_hashed_is_settled_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(problem: Any) -> str:
        raise RuntimeError("an attribute that cannot be read")

    monkeypatch.setattr(source_hash, "of_problem", fails)
    result = Harness(1, Limits(), verify_pins=False).settle(CELL).result
    assert (result.verdict, result.problem_hash) == (Verdict.AGREES, None)


def test_memory_that_runs_out_in_a_reference_is_too_large() -> None:
    def function(xp: Any, x: Any) -> Any:
        raise MemoryError("Unable to allocate 7.28 TiB")

    problem = Problem(name="mine", function=function, x=np.ones(2))
    own = Harness(1, Limits(), {"mine": problem}, verify_pins=False)
    result = own.settle(replace(CELL, problem="mine", method="numpy.complex-step")).result
    assert result.verdict is Verdict.TOO_LARGE
    assert "Unable to allocate 7.28 TiB" in (result.reason or "")
