"""How blocks are planned, and which verdict of many launches is kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jacbench.core.cell import CellResult, Verdict
from jacbench.gating.record import Pair, Record, each_pair, ratios
from jacbench.gating.settings import SAMPLE_S, SAMPLES
from tests.gating.simulated import ONE


@pytest.mark.parametrize(
    ("call_s", "samples", "iterations"),
    [
        (1e-6, 3, 1500),
        (1e-4, 3, 15),
        (1.5e-3, 3, 1),
        (3e-3, 2, 1),
        (9e-3, 1, 1),
        (2.0, 1, 1),
        (None, 3, 1),
    ],
)
def test_plans(call_s: float | None, samples: int, iterations: int) -> None:
    assert Record(call_s=call_s).plan() == (samples, iterations)


@given(call_s=st.floats(1e-8, 100))
def test_a_block_lasts_some_milliseconds_whatever_the_call(call_s: float) -> None:
    samples, iterations = Record(call_s=call_s).plan()
    assert 1 <= samples <= SAMPLES
    assert iterations >= 1
    assert iterations == 1 or 0.6 * SAMPLE_S < iterations * call_s < 1.4 * SAMPLE_S
    if call_s < SAMPLES * SAMPLE_S:
        block = samples * iterations * call_s
        assert 0.6 * SAMPLES * SAMPLE_S < block < 1.6 * SAMPLES * SAMPLE_S


def test_what_was_ever_wrong_stays_wrong() -> None:
    record = Record()
    for verdict in (Verdict.AGREES, Verdict.DISAGREES, Verdict.AGREES, Verdict.CRASHED):
        record.keep("head", CellResult(cell=ONE, verdict=verdict))
    assert record.results["head"].verdict is Verdict.DISAGREES
    assert not record.timed
    record.keep("base", CellResult(cell=ONE, verdict=Verdict.AGREES))
    assert not record.timed


def test_figures() -> None:
    record = Record()
    assert record.median_s("base") is None
    assert record.cores("base") is None
    assert record.waited() == 0.0
    record.samples["base"] += [1.0, 3.0, 2.0]
    record.busy["base"] = [1.0, 2.0, 0.5]
    record.busy["head"] = [2.0, 2.0, 0.5]
    assert record.median_s("base") == 2.0
    assert record.cores("base") == 0.5
    assert record.waited() == 0.25


def test_ratios_are_head_over_base() -> None:
    launches = [[Pair(2.0, 3.0, base_first=True)], [], [Pair(4.0, 2.0, base_first=False)]]
    assert ratios(launches) == [[1.5], [0.5]]
    assert [pair.ratio for pair in each_pair(launches)] == [1.5, 0.5]
