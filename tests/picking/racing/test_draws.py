"""What is bound to which processor."""

from __future__ import annotations

from tests.picking.contests import contest
from tests.picking.simulated import Planted


def test_all_rounds_run_on_one_processor_drawn_anew():
    _, bench = contest(Planted("a", 1e-5), Planted("b", 1e-5))
    rounds = [cpus for cpus in bench.bound if len(cpus) == 1]
    if bench.bound:  # a machine with several
        assert rounds
        assert len(bench.bound[-1]) > 1
