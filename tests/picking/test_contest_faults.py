"""A contest in which benches fail late, the time is short, or leaders change."""

from __future__ import annotations

import math

import pytest

from jacbench.cell import Verdict
from jacbench.errors import JacbenchError
from jacbench.picking.candidate import Candidate
from jacbench.picking.contest import Contest, Terms
from jacbench.picking.lost import LostError
from tests.picking.simulated import Planted, SimulatedBench

PASSES = {"reverse": 200, "forward": 100}


class Late(SimulatedBench):
    """A bench of which one step raises, or says something, for one method."""

    def __init__(self, *planted, step, method, does, **options):
        super().__init__(*planted, **options)
        self.step, self.method, self.does = step, method, does

    def _late(self, step, candidate):
        if (step, candidate.method) == (self.step, self.method):
            if isinstance(self.does, Exception):
                raise self.does
            return self.does
        return None

    def enter(self, candidate, time_limit_s=None):
        self._late("enter", candidate)
        return super().enter(candidate, time_limit_s)

    def peak(self, candidate):
        self._late("peak", candidate)
        return super().peak(candidate)

    def changes(self, candidate):
        return self._late("changes", candidate)


def run(*benches, call_s=1e-5, **terms):
    made = Contest(
        benches, {b.backend: call_s for b in benches}, PASSES, Terms(**terms), lambda what: None
    )
    made.run()
    return made


def row(made, method, chunk_size=None):
    wanted = Candidate("jacobian", method, chunk_size)
    return next(r for r in made.rows() if r.candidate == wanted)


LOST = LostError(Verdict.CRASHED, "the worker was killed by SIGKILL")


@pytest.mark.parametrize(
    ("step", "does", "fate"),
    [
        ("enter", JacbenchError("nothing to hold it against"), "failed"),
        ("peak", LOST, "crashed"),
        ("changes", LOST, "crashed"),
        ("changes", "changed the working directory", "failed"),
    ],
)
def test_one_that_fails_at_any_step_leaves_the_pick_to_the_next(step, does, fate):
    bench = Late(Planted("a", 1e-5), Planted("b", 1.5e-5), step=step, method="a", does=does)
    made = run(bench)
    assert made.picks()["dense"].method == "b"
    assert row(made, "a").fate == fate
    assert row(made, "b").result.median_s == pytest.approx(1.5e-5, rel=0.03)


def test_the_ratio_to_what_is_used_today_is_of_who_is_picked_in_the_end():
    planted = Planted("a", 1e-5), Planted("b", 1.5e-5), Planted("now", 3e-5)
    bench = Late(*planted, step="peak", method="a", does=LOST)
    made = run(bench, today="now")
    assert made.speedup.estimate == pytest.approx(2.0, rel=0.03)


@pytest.mark.parametrize("at", [1, 2, 5, 12])
def test_there_is_no_ratio_to_what_is_lost(at):
    made = run(SimulatedBench(Planted("a", 1e-5), Planted("now", 1.1e-5, lost_at=at)), today="now")
    assert made.picks()["dense"].method == "a"
    speedup = made.speedup
    assert speedup is None or math.isfinite(speedup.estimate)
    if row(made, "now").fate == "crashed":
        assert row(made, "now").ratio is None


def test_where_what_is_used_today_needs_too_much_memory_there_is_no_ratio():
    planted = Planted("now", 1e-5, peak_bytes=9000), Planted("b", 2e-5)
    made = run(SimulatedBench(*planted), today="now", memory_bytes=5000)
    assert made.picks()["dense"].method == "b"
    assert row(made, "now").fate == "too large"
    assert made.speedup is None


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


def test_what_is_used_today_enters_first_where_calls_are_slow():
    planted = [
        Planted("structured", 0.1, structure="sparse"),
        Planted("loop", 0.1, mode="reverse", chunking="loop"),
    ]
    bench = SimulatedBench(*planted)
    made = Contest([bench], {"sim": 0.3}, PASSES, Terms(today="loop"), lambda what: None)
    waiting = sorted(made._known.values(), key=made._outlook)
    assert [known.offer.candidate.method for known in waiting] == ["loop", "structured"]


def test_a_plain_method_enters_before_those_that_look_for_a_structure():
    planted = [
        Planted("structured", structure="sparse"),
        Planted("by-sample", operator="batch_jacobian"),
        Planted("loop", mode="forward", chunking="loop"),
        Planted("dear", mode="reverse"),
        Planted("plain", mode="forward"),
        Planted("now", mode="reverse", chunking="loop"),
    ]
    bench = SimulatedBench(*planted)
    made = run(bench, today="now", time_limit_s=1000.0)
    assert made.picks()
    order = [candidate.method for candidate in bench.entered]
    assert order[:2] == ["now", "plain"]
    assert order.index("structured") > order.index("plain")
    assert order.index("dear") > order.index("structured")


def test_the_time_limit_is_told_as_it_was_asked_for():
    bench = SimulatedBench(Planted("a"))
    made = run(bench, time_limit_s=1e-9, asked_s=7.0)
    assert row(made, "a").reason == "the time limit of 7 s leaves no time for it"


def test_slow_ones_are_measured_no_longer_than_there_is_time():
    made = run(SimulatedBench(Planted("a", 30.0), Planted("b", 40.0)), time_limit_s=60.0, today="b")
    assert made.picks()["dense"].method == "a"
    assert row(made, "a").result.median_s is None
    assert row(made, "a").seconds == pytest.approx(30.0, rel=0.05)
    assert made.speedup.estimate == pytest.approx(4 / 3, rel=0.05)
    assert math.isnan(made.speedup.low)
