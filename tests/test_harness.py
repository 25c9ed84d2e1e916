"""What one process does with its cells, where something goes wrong on the way."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from jacbench import memory
from jacbench.backend import Prepared
from jacbench.cell import Cell, Verdict
from jacbench.harness import Harness, Limits

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
