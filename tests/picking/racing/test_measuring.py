"""What is measured at length where the time is short."""

from __future__ import annotations

import math

import pytest

from jacbench.picking.racing.measuring import SLOW_VISITS, VISITS
from tests.picking.contests import row, run
from tests.picking.simulated import Planted, SimulatedBench


def test_slow_ones_are_measured_no_longer_than_there_is_time():
    made = run(SimulatedBench(Planted("a", 30.0), Planted("b", 40.0)), time_limit_s=60.0, today="b")
    assert made.picks()["dense"].method == "a"
    assert row(made, "a").result.median_s is None
    assert row(made, "a").seconds == pytest.approx(30.0, rel=0.05)
    assert made.speedup.ratio.estimate == pytest.approx(4 / 3, rel=0.05)
    assert math.isnan(made.speedup.ratio.low)


def test_those_that_are_measured_take_turns_in_an_order_drawn_anew():
    bench = SimulatedBench(Planted("a", 1e-5), Planted("b", 1.5e-5), noise=0.0)
    made = run(bench, today="b")
    assert made.speedup.pairs == VISITS
    last = [candidate.method for candidate in bench.blocks[-2 * VISITS :]]
    turns = {tuple(last[i : i + 2]) for i in range(0, len(last), 2)}
    assert turns == {("a", "b"), ("b", "a")}


def test_a_slow_one_has_fewer_visits_and_all_are_paired():
    made = run(SimulatedBench(Planted("a", 0.2), Planted("b", 0.3)), time_limit_s=1000.0, today="b")
    assert row(made, "a").result.visits == SLOW_VISITS
    assert row(made, "b").ratio.estimate == pytest.approx(1.5, rel=0.02)
    assert made.speedup.pairs == SLOW_VISITS


class Gone(SimulatedBench):
    """A bench whose process is lost once all have entered: all have to be prepared again."""

    def __init__(self, *planted, clock, **options):
        super().__init__(*planted, **options)
        self.clock, self.again = clock, []

    def enter(self, candidate, time_limit_s=None):
        self.clock[0] += 8.0
        return super().enter(candidate, time_limit_s)

    def ready(self, candidate):
        return len(self.entered) < len(self.planted)

    def block(self, candidate, repeats, iterations):
        self.again.append(candidate)
        return super().block(candidate, repeats, iterations)


def test_what_would_have_to_be_prepared_again_is_not_measured_beyond_the_time(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    bench = Gone(Planted("a", 1e-5), Planted("b", 2e-5), clock=now)
    made = run(bench, time_limit_s=20.0)
    assert bench.again == []
    assert made.picks()["dense"].method == "a"
    assert row(made, "a").result.median_s is None
    assert row(made, "b").fate == "open"
    assert not made.decided
