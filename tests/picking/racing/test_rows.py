"""What a row tells: ratios, times, and from how many calls on a method pays."""

from __future__ import annotations

import pytest

from jacbench.measuring.statistics import Interval
from jacbench.picking.options import PickOptions
from jacbench.picking.racing import rows
from jacbench.picking.racing.candidates import Field
from tests.picking.contests import contest, row, run
from tests.picking.simulated import Planted, SimulatedBench


def test_ratios_are_to_the_pick_also_of_who_dropped_out_against_another():
    made = run(
        SimulatedBench(
            Planted("first", 4e-5), Planted("slow", 1e-4), Planted("built", 1e-5, compiled=True)
        )
    )
    assert made.picks()["dense"].method == "built"
    assert row(made, "first").ratio.estimate == pytest.approx(4.0, rel=0.05)
    assert row(made, "slow").ratio.estimate == pytest.approx(10.0, rel=0.05)
    assert row(made, "slow").call_s == pytest.approx(1e-4, rel=0.05)


def test_compilers_come_last_and_their_start_counts_for_break_even():
    made, bench = contest(
        Planted("a", 2e-5), Planted("slow-build", 1e-5, compiled=True, prepare_s=1.0, start_s=3.0)
    )
    assert made.picks()["dense"].method == "slow-build"
    assert bench.entered[-1].method == "slow-build"
    assert row(made, "a").calls_to_break_even == pytest.approx(4.0 / 1e-5, rel=0.05)


def test_the_start_of_a_compiler_is_part_of_what_each_of_its_methods_has_to_make_up_for():
    planted = [
        Planted("plain", 2e-5),
        Planted("one", 1.2e-5, compiled=True, prepare_s=1.0, start_s=9.0),
        Planted("two", 1e-5, compiled=True, prepare_s=1.0, start_s=0.1),
    ]
    made = run(SimulatedBench(*planted))
    assert made.picks()["dense"].method == "two"
    assert row(made, "plain").calls_to_break_even == pytest.approx(10.0 / 1e-5, rel=0.05)
    assert row(made, "one").start_s == 9.0
    assert row(made, "plain").start_s is None


def test_where_calls_are_counted_times_stay_times_of_calls():
    planted = Planted("a", 1e-5, prepare_s=2e-2), Planted("b", 2e-5)
    made = run(SimulatedBench(*planted), calls=1000)
    assert made.picks()["dense"].method == "b"
    assert row(made, "a").ratio.estimate == pytest.approx(1.5, rel=0.05)
    for name, call_s in (("a", 1e-5), ("b", 2e-5)):
        assert row(made, name).seconds == pytest.approx(call_s, rel=0.05)


def test_a_ratio_to_who_was_lost_later_is_none_to_the_pick():
    bench = SimulatedBench(Planted("a"), Planted("lost"), Planted("pick"))
    field = Field([bench], PickOptions())
    for known in field:
        known.entry = bench.enter(known.candidate)
    a, lost, pick = field
    a.fate, a.ratio, a.against = "dropped", Interval(2.0, 1.9, 2.1), lost.candidate
    lost.ratio, lost.against, lost.lost, lost.fate = Interval(1, 1, 1), lost.candidate, True, "x"
    pick.fate, pick.ratio, pick.against = "picked", Interval(1, 1, 1), pick.candidate
    by_name = {row.candidate.method: row for row in rows.rows(field, None)}
    assert by_name["a"].ratio is None
    assert by_name["lost"].ratio is None
    assert by_name["pick"].ratio.estimate == 1


def test_who_is_faster_and_prepared_sooner_has_nothing_to_make_up_for():
    made = run(SimulatedBench(Planted("a", 1e-5, prepare_s=0.1), Planted("b", 2e-5, prepare_s=0.2)))
    assert made.picks()["dense"].method == "a"
    assert row(made, "b").calls_to_break_even is None
