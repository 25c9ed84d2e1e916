"""What is measured at length where the time is short."""

from __future__ import annotations

import math

import pytest

from tests.picking.contests import row, run
from tests.picking.simulated import Planted, SimulatedBench


def test_slow_ones_are_measured_no_longer_than_there_is_time():
    made = run(SimulatedBench(Planted("a", 30.0), Planted("b", 40.0)), time_limit_s=60.0, today="b")
    assert made.picks()["dense"].method == "a"
    assert row(made, "a").result.median_s is None
    assert row(made, "a").seconds == pytest.approx(30.0, rel=0.05)
    assert made.speedup.estimate == pytest.approx(4 / 3, rel=0.05)
    assert math.isnan(made.speedup.low)
