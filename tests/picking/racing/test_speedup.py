"""The ratio to what is used today, also where one of the two is lost."""

from __future__ import annotations

import math

import pytest

from jacbench.core.cell import Verdict
from jacbench.workers.lost import LostError
from tests.picking.contests import Late, row, run
from tests.picking.simulated import Planted, SimulatedBench

LOST = LostError(Verdict.CRASHED, "the worker was killed by SIGKILL")


def test_the_ratio_to_what_is_used_today_is_of_who_is_picked_in_the_end():
    planted = Planted("a", 1e-5), Planted("b", 1.5e-5), Planted("now", 3e-5)
    bench = Late(*planted, step="peak", method="a", does=LOST)
    made = run(bench, today="now")
    assert made.speedup.ratio.estimate == pytest.approx(2.0, rel=0.03)


@pytest.mark.parametrize("at", [1, 2, 5, 12])
def test_there_is_no_ratio_to_what_is_lost(at):
    made = run(SimulatedBench(Planted("a", 1e-5), Planted("now", 1.1e-5, lost_at=at)), today="now")
    assert made.picks()["dense"].method == "a"
    speedup = made.speedup and made.speedup.ratio
    assert speedup is None or math.isfinite(speedup.estimate)
    if row(made, "now").fate == "crashed":
        assert row(made, "now").ratio is None


def test_where_what_is_used_today_needs_too_much_memory_there_is_no_ratio():
    planted = Planted("now", 1e-5, peak_bytes=9000), Planted("b", 2e-5)
    made = run(SimulatedBench(*planted), today="now", memory="5000B")
    assert made.picks()["dense"].method == "b"
    assert row(made, "now").fate == "too large"
    assert made.speedup is None
