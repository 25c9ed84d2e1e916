"""What counts in a race."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from jacbench.core.progress import Quiet
from jacbench.measuring.deadline import Deadline
from jacbench.picking.options import PickOptions
from jacbench.picking.racing.candidates import Field
from jacbench.picking.racing.draws import Draws
from jacbench.picking.racing.races import Heats
from tests.picking.contests import contest, row, run
from tests.picking.simulated import Planted, SimulatedBench


def test_preparation_counts_where_calls_are_counted():
    few, _ = contest(Planted("a", 1e-5, prepare_s=1.0), Planted("b", 2e-5), calls=10)
    many, _ = contest(Planted("a", 1e-5, prepare_s=1.0), Planted("b", 2e-5), calls=10**8)
    assert few.picks()["dense"].method == "b"
    assert many.picks()["dense"].method == "a"
    even = row(many, "b").calls_to_break_even
    assert even == pytest.approx(1.0 / 1e-5, rel=0.05)


def test_of_ties_what_holds_for_every_x_is_preferred_to_what_was_seen_at_points():
    seen = Planted(
        "s", 1e-5, structure="sparse", notes={"guard": "every call: repair", "guard_cost": 1.3}
    )
    known = Planted(
        "the-longer-name", 1e-5, structure="sparse", notes={"guard": "none: it holds for every x"}
    )
    for planted in ((seen, known), (known, seen)):
        bench = SimulatedBench(*planted, noise=0.0)
        assert run(bench, today="s").picks()["dense"].method == "the-longer-name"
    faster = replace(seen, call_s=0.9e-5)
    assert contest(faster, known)[0].picks()["dense"].method == "s"


class Disturbed(SimulatedBench):
    """A bench on which the first block of ``b`` takes long."""

    def __init__(self, *planted):
        super().__init__(*planted)
        self.b_blocks = itertools.count()

    def block(self, candidate, repeats, iterations):
        if candidate.method == "b" and next(self.b_blocks) == 0:
            return [2e-5] * repeats
        return super().block(candidate, repeats, iterations)


def test_who_was_behind_when_a_race_was_cut_short_may_still_win(monkeypatch):
    bench, options, now = Disturbed(Planted("a", 1e-5), Planted("b", 0.9e-5)), PickOptions(), [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    field = Field([bench], options)
    for known in field:
        known.entry = bench.enter(known.candidate)
        known.call_s = known.entry.call_s
    draws, deadline = Draws([bench], options, bind=True), Deadline(10.0)
    heats = Heats(field, deadline, draws, Quiet())

    def a_round_takes_long():
        now[0] += 3.0

    monkeypatch.setattr(draws, "bind_to_one", a_round_takes_long)
    heats.race("dense", 0.4)
    assert {k.candidate.method: k.fate for k in field} == {"a": "picked", "b": "open"}
    assert heats.open == {"dense"}
    monkeypatch.setattr(draws, "bind_to_one", lambda: None)
    heats.again("dense")
    assert {k.candidate.method: k.fate for k in field} == {"a": "dropped", "b": "picked"}
    assert not heats.open
