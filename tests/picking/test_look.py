"""Libraries that cannot look at a function, or compute something else."""

from __future__ import annotations

import pytest

from jacbench.core.cell import Verdict
from jacbench.core.errors import JacbenchError
from jacbench.picking import look as looking
from jacbench.picking.bench import Look
from jacbench.picking.options import PickOptions
from jacbench.workers import pool
from jacbench.workers.lost import LostError
from tests.picking.decided import decide, sim

STEPS = ("examine", "samples", "evidence")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    "raises", [JacbenchError("not with me"), LostError(Verdict.CRASHED, "killed by SIGSEGV")]
)
@pytest.mark.parametrize("first", [True, False])
def test_a_library_that_cannot_look_leaves_the_answer_to_the_others(step, raises, first):
    bad = sim("bad.a", backend="bad", step=step, raises=raises)
    good = sim("good.a", "good.b", backend="good")
    answer = decide(*((bad, good) if first else (good, bad)))
    assert answer.method == "good.a"
    told = [note for note in answer.notes if note.startswith("bad is left out: ")]
    assert len(told) == 1
    assert ("SIGSEGV" in told[0]) == isinstance(raises, LostError)
    assert not bad.entered


@pytest.mark.parametrize("step", STEPS)
def test_where_no_library_can_look_the_first_one_says_why(step):
    benches = [
        sim("a", backend=name, step=step, raises=JacbenchError(f"not in {name}"))
        for name in ("one", "two")
    ]
    with pytest.raises(JacbenchError, match=r"^not in one$"):
        decide(*benches)
    lost = sim("a", step=step, raises=LostError(Verdict.TIMED_OUT, "it took longer than 5 s"))
    with pytest.raises(JacbenchError, match="ended its process: it took longer than 5 s"):
        decide(lost)


def test_libraries_that_compute_something_else_are_not_compared():
    other = Look(m=200, n=100, dtype="float32", call_s=1e-5)
    answer = decide(sim("a", backend="one"), sim("b", backend="two", look=other))
    assert [row.candidate.method for row in answer.rows] == ["a"]
    assert "two is left out: its Jacobian is 200 x 100 in float32" in answer.notes[-1]


@pytest.mark.parametrize(("width", "part"), [(1, 1 / 3), (2, 2 / 3), (3, 1.0), (8, 1.0)])
def test_libraries_that_look_in_turn_share_the_time_for_it(width, part):
    benches = [sim(f"{name}.a", backend=name) for name in ("one", "two", "three")]
    with pool.abreast(width) as runner:
        looking.see_all(benches, PickOptions(time_limit_s=5.0), runner)
    assert [bench.part for bench in benches] == [pytest.approx(part)] * 3
