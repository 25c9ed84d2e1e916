"""What an answer claims holds in its own table, over planted contests of every kind."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jacbench.picking.candidate import Candidate
from tests.picking.contests import row, run
from tests.picking.simulated import Planted, SimulatedBench

times = st.lists(
    st.sampled_from((1e-5, 1.01e-5, 1.04e-5, 1.3e-5, 4e-5, 2e-3)), min_size=1, max_size=6
)


class Moody(SimulatedBench):
    """A bench that is another one once it is measured at length: blocks have many samples then."""

    def __init__(self, *planted, moods, noise):
        super().__init__(*planted, noise=noise)
        self.moods = moods

    def block(self, candidate, repeats, iterations):
        mood = self.moods[candidate.method] if repeats > 3 else 1.0
        return [mood * second for second in super().block(candidate, repeats, iterations)]


def holds(made):
    """Say that no row contradicts the pick of its format, nor its own fate."""
    picks = made.picks()
    for one in made.rows():
        pick = next(r for r in made.rows() if r.candidate == picks[one.candidate.format])
        own, best = one.result, pick.result
        if one.fate not in ("equal", "slower", "dropped", "open") or own is None or best is None:
            continue
        if own.median_s is not None and best.median_s is not None:
            assert not own.high_s < best.low_s, (one, pick)
        if one.fate == "slower":
            assert one.ratio.low > 1 or math.isnan(one.ratio.low), one
            assert one.ratio.estimate > 1, one
            assert one.seconds > pick.seconds, (one, pick)
    found = made.speedup
    if found is not None and not math.isnan(found.ratio.low):
        assert found.pairs >= 4 or made.today() in picks.values()
        assert found.ratio.low <= found.ratio.estimate <= found.ratio.high


@settings(max_examples=25, deadline=None)
@given(
    seconds=times,
    moods=st.lists(st.sampled_from((1.0, 0.5, 1.5, 3.0)), min_size=6, max_size=6),
    noise=st.sampled_from((0.0, 0.02, 0.1)),
    today=st.integers(0, 5),
)
def test_no_answer_keeps_a_pick_that_its_table_shows_slower(seconds, moods, noise, today):
    planted = [Planted(f"m{i}", s) for i, s in enumerate(seconds)]
    bench = Moody(*planted, moods={f"m{i}": mood for i, mood in enumerate(moods)}, noise=noise)
    holds(run(bench, today=f"m{today}"))


def test_who_is_faster_when_measured_at_length_takes_the_place_of_the_pick():
    moods = {"a": 3.0, "b": 1.0}
    made = run(Moody(Planted("a", 1e-5), Planted("b", 1.02e-5), moods=moods, noise=0.01), today="b")
    assert made.picks()["dense"].method == "b"
    assert row(made, "a").fate == "slower"
    assert row(made, "a").ratio.estimate == pytest.approx(3 / 1.02, rel=0.05)
    assert made.speedup.ratio.estimate == 1.0


def test_of_ties_what_is_used_today_is_picked_and_else_the_shorter_recipe():
    planted = Planted("long-name", 1e-5), Planted("b", 1.003e-5), Planted("today", 1.004e-5)
    made = run(SimulatedBench(*planted), today="today")
    assert made.picks()["dense"].method == "today"
    assert row(made, "long-name").fate == "equal"
    made = run(SimulatedBench(*planted), today="none")
    assert made.picks()["dense"] == Candidate("jacobian", "b")


def test_a_speedup_has_an_interval_from_four_pairs_and_is_rough_before():
    planted = Planted("a", 1.0), Planted("now", 1.5)
    few = run(SimulatedBench(*planted), today="now", time_limit_s=2.5)
    assert math.isnan(few.speedup.ratio.low)
    assert few.speedup.pairs < 4
    many = run(SimulatedBench(*planted), today="now", time_limit_s=100.0)
    assert many.speedup.pairs == 4
    assert many.speedup.ratio.low <= 1.5 <= many.speedup.ratio.high
