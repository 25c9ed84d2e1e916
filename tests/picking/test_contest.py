"""The contest on planted candidates: who enters, who is spared, who wins, what is told."""

from __future__ import annotations

import pytest

from jacbench.cell import Verdict
from jacbench.picking.candidate import Candidate
from jacbench.picking.contest import Contest, Terms
from tests.picking.simulated import Planted, SimulatedBench


def contest(*planted, passes=None, **terms):
    bench = SimulatedBench(*planted)
    made = Contest(
        [bench],
        {"sim": 1e-5},
        passes or {"reverse": 200, "forward": 100},
        Terms(**terms),
        lambda what: None,
    )
    made.run()
    return made, bench


def row(made, method, chunk_size=None, operator="jacobian"):
    wanted = Candidate(operator, method, chunk_size)
    return next(row for row in made.rows() if row.candidate == wanted)


def test_the_fastest_that_agrees_is_picked_and_measured():
    made, _ = contest(
        Planted("a", 2e-5), Planted("b", 1e-5), Planted("c", 1e-6, verdict=Verdict.DISAGREES)
    )
    assert made.picks()["dense"].method == "b"
    assert row(made, "c").fate == "disagrees"
    assert row(made, "a").fate in ("dropped", "slower")
    result = row(made, "b").result
    assert result.median_s == pytest.approx(1e-5, rel=0.02)
    assert result.low_s <= result.median_s <= result.high_s
    assert result.peak_bytes == 1000


def test_formats_are_never_compared_with_each_other():
    made, _ = contest(
        Planted("a", 2e-5), Planted("b", 1e-7, operator="sparse_jacobian", structure="sparse")
    )
    assert {form: c.method for form, c in made.picks().items()} == {"dense": "a", "csr": "b"}


def test_a_loop_that_cannot_win_is_not_tried_and_that_is_said():
    made, bench = contest(
        Planted("a", 2e-5, mode="reverse"), Planted("loop", 1.0, mode="reverse", chunking="loop")
    )
    assert row(made, "loop").fate == "not tried"
    assert "200 passes one at a time" in row(made, "loop").reason
    assert Candidate("jacobian", "loop") not in bench.entered


def test_what_is_used_today_is_tried_however_slow():
    made, _ = contest(
        Planted("a", 2e-5, mode="reverse"),
        Planted("loop", 2e-2, mode="reverse", chunking="loop"),
        today="loop",
    )
    assert row(made, "loop").result.median_s == pytest.approx(2e-2, rel=0.02)
    speedup = made.speedup
    assert speedup.estimate == pytest.approx(1000, rel=0.03)
    assert speedup.low <= speedup.estimate <= speedup.high


def test_known_reasons_are_kept_and_cost_nothing():
    made, bench = contest(Planted("a"), Planted("b", reason="needs a batch"))
    assert row(made, "b").fate == "unsupported"
    assert row(made, "b").reason == "needs a batch"
    assert Candidate("jacobian", "b") not in bench.entered


def test_chunks_are_tried_of_the_leader_and_kept_where_they_help():
    planted = Planted("a", 1e-4, mode="reverse", chunking="chunked", by_chunk={50: 5e-5, 13: 9e-5})
    made, _ = contest(planted)
    assert made.picks()["dense"] == Candidate("jacobian", "a", 50)


def test_a_memory_limit_holds_by_a_smaller_chunk():
    planted = Planted(
        "a",
        1e-5,
        mode="reverse",
        chunking="chunked",
        peak_bytes=4000,
        by_chunk={50: 2e-5, 13: 3e-5},
    )
    made, _ = contest(planted, memory_bytes=2000)
    picked = made.picks()["dense"]
    assert picked.chunk_size is not None
    assert row(made, "a", picked.chunk_size).result.peak_bytes <= 2000
    assert row(made, "a").fate == "too large"


def test_preparation_counts_where_calls_are_counted():
    few, _ = contest(Planted("a", 1e-5, prepare_s=1.0), Planted("b", 2e-5), calls=10)
    many, _ = contest(Planted("a", 1e-5, prepare_s=1.0), Planted("b", 2e-5), calls=10**8)
    assert few.picks()["dense"].method == "b"
    assert many.picks()["dense"].method == "a"
    even = row(many, "b").calls_to_break_even
    assert even == pytest.approx(1.0 / 1e-5, rel=0.05)


def test_compilers_come_last_and_their_start_counts_for_break_even():
    made, bench = contest(
        Planted("a", 2e-5), Planted("slow-build", 1e-5, compiled=True, prepare_s=1.0, start_s=3.0)
    )
    assert made.picks()["dense"].method == "slow-build"
    assert bench.entered[-1].method == "slow-build"
    assert row(made, "a").calls_to_break_even == pytest.approx(4.0 / 1e-5, rel=0.05)


def test_compilers_can_be_left_out():
    made, bench = contest(Planted("a"), Planted("c", compiled=True), compile=False)
    assert Candidate("jacobian", "c") not in bench.entered
    assert row(made, "c").fate == "not tried"


def test_structure_can_be_left_out():
    made, _ = contest(Planted("a"), Planted("s", 1e-7, structure="samples"), structure=False)
    assert made.picks()["dense"].method == "a"


@pytest.mark.parametrize("at", [1, 3, 7])
def test_one_that_is_lost_while_it_is_timed_has_its_verdict_and_the_rest_goes_on(at):
    made, _ = contest(Planted("a", 1e-5, lost_at=at), Planted("b", 1.1e-5))
    assert made.picks()["dense"].method == "b"
    assert row(made, "a").fate == "crashed"
    assert row(made, "a").result.verdict is Verdict.CRASHED
    assert row(made, "b").result.median_s == pytest.approx(1.1e-5, rel=0.02)


def test_nobody_wins_where_all_are_lost():
    made, _ = contest(Planted("a", lost_at=1), Planted("b", lost_at=1))
    assert made.picks() == {}


def test_all_rounds_run_on_one_processor_drawn_anew():
    _, bench = contest(Planted("a", 1e-5), Planted("b", 1e-5))
    rounds = [cpus for cpus in bench.bound if len(cpus) == 1]
    if bench.bound:  # a machine with several
        assert rounds
        assert len(bench.bound[-1]) > 1


def test_the_time_limit_keeps_late_comers_out():
    made, _ = contest(Planted("a"), Planted("b"), time_limit_s=1e-9)
    assert {r.fate for r in made.rows()} == {"not tried"}
    assert "time limit" in made.rows()[0].reason
