"""Who enters, in which order, and what is told of those who do not."""

from __future__ import annotations

import threading

import pytest

from jacbench.core.cell import Verdict
from jacbench.core.errors import JacbenchError
from jacbench.core.progress import Quiet
from jacbench.measuring.deadline import Deadline
from jacbench.picking.candidate import Candidate
from jacbench.picking.options import PickOptions
from jacbench.picking.racing.admission import Entering
from jacbench.picking.racing.candidates import Field
from jacbench.workers.lost import LostError
from jacbench.workers.pool import Abreast, abreast
from tests.picking.contests import PASSES, Late, contest, row, run
from tests.picking.simulated import Planted, SimulatedBench


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
    speedup = made.speedup and made.speedup.ratio
    assert speedup.estimate == pytest.approx(1000, rel=0.03)
    assert speedup.low <= speedup.estimate <= speedup.high


def test_what_is_used_today_is_tried_though_it_cannot_win(monkeypatch):
    monkeypatch.setattr("time.monotonic", lambda: 100.0)
    planted = Planted("a", 2e-5), Planted("loop", 2e-3, mode="reverse", chunking="loop")
    # too little time to begin with it: it comes once the other has been seen
    made, bench = contest(*planted, today="loop", time_limit_s=0.15)
    assert [candidate.method for candidate in bench.entered] == ["a", "loop"]
    assert row(made, "loop").fate == "dropped"


def test_a_loop_that_may_come_near_the_best_so_far_is_tried():
    # 200 passes take a millisecond at the least, five times the best so far
    planted = Planted("a", 2e-4), Planted("loop", 1.1e-3, mode="reverse", chunking="loop")
    _, bench = contest(*planted)
    assert Candidate("jacobian", "loop") in bench.entered


def test_known_reasons_are_kept_and_cost_nothing():
    made, bench = contest(Planted("a"), Planted("b", reason="needs a batch"))
    assert row(made, "b").fate == "unsupported"
    assert row(made, "b").reason == "needs a batch"
    assert Candidate("jacobian", "b") not in bench.entered


def test_one_that_has_nothing_to_be_held_against_has_failed():
    nothing = JacbenchError("nothing to hold it against")
    made = run(Late(Planted("a", 1e-5), Planted("b", 2e-5), step="enter", method="a", does=nothing))
    assert made.picks()["dense"].method == "b"
    assert (row(made, "a").fate, row(made, "a").reason) == ("failed", str(nothing))


def test_compilers_can_be_left_out():
    made, bench = contest(Planted("a"), Planted("c", compiled=True), compile=False)
    assert Candidate("jacobian", "c") not in bench.entered
    assert row(made, "c").fate == "not tried"


def test_the_time_limit_keeps_late_comers_out():
    made, _ = contest(Planted("a"), Planted("b"), time_limit_s=1e-9)
    assert {r.fate for r in made.rows()} == {"no time"}
    assert not made.decided
    assert "time limit" in made.rows()[0].reason


def test_compilers_have_a_limit_of_their_own(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])

    class Compiling(SimulatedBench):
        def enter(self, candidate, time_limit_s=None):
            if self.planted[candidate.method].compiled:
                now[0] += 30.0
                limits.append(time_limit_s)
            return super().enter(candidate, time_limit_s)

    limits = []
    compiled = [Planted(name, 5e-6, compiled=True) for name in "cde"]
    made = run(Compiling(Planted("a"), *compiled), time_limit_s=20.0, compile_limit_s=50.0)
    assert limits == [50.0, 20.0]
    assert row(made, "e").fate == "no time"
    assert row(made, "e").reason == "the compile limit of 50 s leaves no time for it"
    assert not made.decided


def test_a_loop_that_cannot_win_leaves_nothing_undecided_however_little_time():
    made, _ = contest(
        Planted("a", 2e-5, mode="reverse"),
        Planted("loop", 1.0, mode="reverse", chunking="loop"),
        time_limit_s=0.5,
    )
    assert row(made, "loop").fate == "not tried"
    assert made.decided


def test_nobody_may_take_longer_to_enter_than_there_is_time_left():
    bench = SimulatedBench(Planted("a"), Planted("b"))
    seen = []
    enter = bench.enter
    bench.enter = lambda candidate, time_limit_s: (seen.append(time_limit_s), enter(candidate))[1]
    run(bench, time_limit_s=3.0)
    assert max(seen) <= 3.0
    assert bench.left_s() <= 3.0


def test_the_time_limit_is_told_as_it_was_asked_for():
    bench = SimulatedBench(Planted("a"))
    made = run(bench, time_limit_s=7.0, left_s=1e-9)
    assert row(made, "a").reason == "the time limit of 7 s leaves no time for it"


def test_what_is_used_today_enters_first_where_calls_are_slow():
    bench = SimulatedBench(
        Planted("structured", 0.1, structure="sparse"),
        Planted("loop", 0.1, mode="reverse", chunking="loop"),
    )
    options = PickOptions(today="loop")
    field, deadline = Field([bench], options), Deadline(options.time_limit_s)
    entering = Entering(field, deadline, {"sim": 0.3}, PASSES, Quiet(), Abreast(1))
    assert [known.candidate.method for known in entering.order()] == ["loop", "structured"]


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


def test_structure_is_looked_for_before_dense_passes_eat_the_time():
    planted = [
        Planted("plain", mode="forward"),
        Planted("now", mode="reverse", chunking="loop"),
        Planted("structured", structure="sparse"),
        Planted("csr", operator="sparse_jacobian", structure="sparse"),
    ]
    bench = SimulatedBench(*planted)
    field = Field([bench], PickOptions(today="now"))

    def order(call_s, time_limit_s):
        calls, passes = {"sim": call_s}, {"reverse": 2400, "forward": 2400}
        deadline = Deadline(time_limit_s)
        made = Entering(field, deadline, calls, passes, Quiet(), Abreast(1))
        return [known.candidate.method for known in made.order()]

    # 2400 passes of 0.4 ms take a second, and the Jacobian is wanted five times: of thirty
    assert set(order(4e-4, 30.0)[:2]) == {"structured", "csr"}
    # the same where there is time, and where looking itself would take much of it
    assert order(4e-4, 1000.0)[0] == "now"
    assert order(0.4, 30.0)[0] == "now"


class Meeting(SimulatedBench):
    """A bench whose first candidate enters only once another bench's is entering too."""

    def __init__(self, *planted, meeting, **options):
        super().__init__(*planted, **options)
        self.meeting = meeting

    def enter(self, candidate, time_limit_s=None):
        if not self.entered:
            self.meeting.wait()
        return super().enter(candidate, time_limit_s)


def entering(*benches, runner, **options):
    field = Field(benches, PickOptions(**options))
    deadline = Deadline(field.options.time_limit_s)
    calls = {bench.backend: 1e-5 for bench in benches}
    return field, Entering(field, deadline, calls, PASSES, Quiet(), runner)


def test_benches_of_their_own_processes_check_at_the_same_time():
    meeting = threading.Barrier(2, timeout=20)
    benches = [
        Meeting(Planted("a"), Planted("b"), backend="one", meeting=meeting),
        Meeting(Planted("c"), Planted("d"), backend="two", meeting=meeting),
    ]
    with abreast(2) as runner:
        field, made = entering(*benches, runner=runner)
        made.enter_all(compiled=False)
    assert all(known.agrees for known in field)


def test_in_one_process_the_most_promising_of_all_libraries_is_first():
    entered = []

    class Noting(SimulatedBench):
        def enter(self, candidate, time_limit_s=None):
            entered.append(candidate.method)
            return super().enter(candidate, time_limit_s)

    benches = [
        Noting(Planted("dear", mode="reverse"), Planted("cheap", mode="forward"), backend="one"),
        Noting(Planted("now", mode="reverse"), backend="two"),
    ]
    _, made = entering(*benches, runner=Abreast(1), today="now")
    made.enter_all(compiled=False)
    assert entered == ["now", "cheap", "dear"]


def test_compilers_come_one_after_another():
    threads = set()

    class Noting(SimulatedBench):
        def enter(self, candidate, time_limit_s=None):
            threads.add(threading.current_thread())
            return super().enter(candidate, time_limit_s)

    benches = [Noting(Planted(name, compiled=True), backend=name) for name in ("one", "two")]
    with abreast(2) as runner:
        _, made = entering(*benches, runner=runner)
        made.enter_all(compiled=True)
    assert threads == {threading.current_thread()}


def test_nobody_else_enters_once_it_is_given_up():
    bench = SimulatedBench(Planted("a"), Planted("b"))
    runner = Abreast(1)
    field, made = entering(bench, runner=runner)
    runner.stopped.set()
    made.enter_all(compiled=False)
    assert not bench.entered
    assert all(known.entry is None for known in field)


def test_a_process_that_is_lost_for_good_is_told_once_the_others_are_done():
    lost = LostError(Verdict.CRASHED, "it cannot be started again")
    late = Late(Planted("a"), step="enter", method="a", does=lost, backend="one")
    other = SimulatedBench(Planted("b"), Planted("c"), backend="two")
    with abreast(2) as runner:
        _, made = entering(late, other, runner=runner)
        with pytest.raises(LostError):
            made.enter_all(compiled=False)
    assert len(other.entered) == 2
