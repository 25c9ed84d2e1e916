"""The contest on planted candidates: who wins, over several formats and where some are lost."""

from __future__ import annotations

import time

import pytest

from jacbench.core.cell import Verdict
from jacbench.core.progress import Quiet
from jacbench.measuring.deadline import Deadline
from jacbench.picking.options import PickOptions
from jacbench.picking.racing.contest import Contest
from jacbench.picking.racing.measuring import VISITS
from jacbench.workers.lost import LostError
from tests.picking.contests import PASSES, contest, row, run
from tests.picking.simulated import Planted, SimulatedBench

BLOCK_S = 0.1
WRONG = Planted("c", compiled=True, verdict=Verdict.DISAGREES)


@pytest.fixture
def clock(monkeypatch):
    """Put the time in the test's hand."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


class Noted(Quiet):
    """Keeps what it was told."""

    def __init__(self):
        self.said = []

    def begin(self, what):
        self.said.append(what)


class Slow(SimulatedBench):
    """A bench whose blocks take time, by a clock in the test's hand."""

    def __init__(self, clock, *planted):
        super().__init__(*planted, noise=0.1)
        self.clock = clock

    def block(self, candidate, repeats, iterations):
        self.clock[0] += BLOCK_S
        return super().block(candidate, repeats, iterations)


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


def test_a_close_race_leaves_time_for_compilers(clock):
    bench = Slow(clock, Planted("a", 1e-5), Planted("b", 1e-5), Planted("c", 2e-6, compiled=True))
    made = run(bench, time_limit_s=30 * BLOCK_S)
    assert made.picks()["dense"].method == "c"
    assert made.decided


@pytest.mark.parametrize("compilers", [(), (WRONG,)])
def test_where_no_compiler_enters_what_was_raced_stands(clock, compilers):
    progress = Noted()
    bench = Slow(clock, Planted("a", 1e-5), Planted("b", 1e-5), *compilers)
    options = PickOptions(time_limit_s=30 * BLOCK_S, compile=True)
    deadline = Deadline(options.time_limit_s)
    made = Contest([bench], {bench.backend: 1e-5}, PASSES, options, deadline, progress)
    made.run()
    assert not made.decided
    races = [what for what in progress.said if what.startswith("racing")]
    assert races == ["racing 2 candidates (dense)"]


def test_starting_what_a_compiler_took_with_it_is_not_counted(clock):
    class Killed(Slow):
        gone = False

        def enter(self, candidate, time_limit_s=None):
            self.gone = candidate.method == "c"
            return super().enter(candidate, time_limit_s)

        def revive(self):
            self.clock[0] += 1000 * BLOCK_S * self.gone
            self.gone = False

    made = run(Killed(clock, Planted("a", 1e-5), WRONG), time_limit_s=60 * BLOCK_S)
    assert made.seconds["compiling"] >= 1000 * BLOCK_S
    assert row(made, "a").result.visits == VISITS


def test_a_process_that_cannot_be_started_again_leaves_what_there_is():
    class Gone(SimulatedBench):
        def revive(self):
            raise LostError(Verdict.CRASHED, "gone")

    assert run(Gone(Planted("a"))).picks()["dense"].method == "a"
