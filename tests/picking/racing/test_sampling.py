"""A moment of timing: how many calls it takes, and one that is lost then."""

from __future__ import annotations

import math

import pytest

from jacbench.core.cell import Verdict
from jacbench.picking.racing import sampling
from jacbench.picking.racing.candidates import Known
from tests.picking.simulated import Planted, SimulatedBench


class Counting(SimulatedBench):
    """A bench that keeps how many calls were asked for."""

    asked = ()

    def block(self, candidate, repeats, iterations):
        self.asked = (repeats, iterations)
        return super().block(candidate, repeats, iterations)


def known(planted):
    bench = Counting(planted, noise=0.0)
    (offer,) = bench.offers()
    entry = bench.enter(offer.candidate)
    return Known(offer, bench, entry=entry, call_s=entry.call_s, result=entry.result)


@pytest.mark.parametrize(
    ("call_s", "in_a_block", "in_a_stretch"),
    [(1e-5, (3, 150), (16, 300)), (5e-3, (3, 1), (10, 1)), (0.5, (1, 1), (1, 1))],
)
def test_samples_last_long_against_the_clock_and_slow_calls_are_few(
    call_s, in_a_block, in_a_stretch
):
    one = known(Planted("a", call_s))
    assert sampling.block(one) == pytest.approx(call_s)
    assert one.bench.asked == in_a_block
    assert sampling.stretch(one) == pytest.approx([call_s] * in_a_stretch[0])
    assert one.bench.asked == in_a_stretch


def test_the_least_time_seen_is_kept():
    one = known(Planted("a", 1e-5))
    one.call_s = 3e-5
    sampling.block(one)
    assert one.call_s == pytest.approx(1e-5)
    one.call_s = 5e-6
    sampling.block(one)
    assert one.call_s == 5e-6


@pytest.mark.parametrize(
    ("times", "told"),
    [(sampling.block, math.inf), (sampling.stretch, [])],
    ids=["block", "stretch"],
)
def test_one_that_fails_is_lost_with_its_verdict(times, told):
    one = known(Planted("a", lost_at=1))
    assert times(one) == told
    assert one.lost
    assert not one.agrees
    assert (one.fate, one.result.verdict) == ("crashed", Verdict.CRASHED)


def test_of_a_block_the_sample_in_the_middle_counts(monkeypatch: pytest.MonkeyPatch):
    one = known(Planted("a", 1e-3))
    monkeypatch.setattr(one.bench, "block", lambda *asked: [7e-3, 1e-3, 2e-3])
    assert sampling.block(one) == 2e-3
