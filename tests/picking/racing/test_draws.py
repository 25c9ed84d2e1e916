"""What is bound to which processor."""

from __future__ import annotations

import os

import pytest

from jacbench.picking.options import PickOptions
from jacbench.picking.racing.draws import Draws
from tests.picking.contests import contest
from tests.picking.simulated import Planted, SimulatedBench


def test_all_rounds_run_on_one_processor_drawn_anew():
    _, bench = contest(Planted("a", 1e-5), Planted("b", 1e-5))
    rounds = [cpus for cpus in bench.bound if len(cpus) == 1]
    if bench.bound:  # a machine with several
        assert rounds
        assert len(bench.bound[-1]) > 1


def test_each_processor_has_its_turn(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {2, 3, 5}, raising=False)
    benches = [SimulatedBench(), SimulatedBench()]
    draws = Draws(benches, PickOptions(), bind=True)
    for _ in range(20):
        draws.bind_to_one()
    assert set(benches[0].bound) == {(2,), (3,), (5,)}
    assert benches[1].bound == benches[0].bound
    draws.unbind()
    assert benches[0].bound[-1] == (2, 3, 5)
