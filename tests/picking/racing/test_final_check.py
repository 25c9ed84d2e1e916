"""A pick that fails at last gives way to the next."""

from __future__ import annotations

import pytest

from jacbench.core.cell import Verdict
from jacbench.workers.lost import LostError
from tests.picking.contests import Late, contest, row, run
from tests.picking.simulated import Planted

LOST = LostError(Verdict.CRASHED, "the worker was killed by SIGKILL")


@pytest.mark.parametrize(
    ("step", "does", "fate"),
    [
        ("peak", LOST, "crashed"),
        ("changes", LOST, "crashed"),
        ("changes", "changed the working directory", "failed"),
    ],
)
def test_one_that_fails_the_last_check_leaves_the_pick_to_the_next(step, does, fate):
    bench = Late(Planted("a", 1e-5), Planted("b", 1.5e-5), step=step, method="a", does=does)
    made = run(bench)
    assert made.picks()["dense"].method == "b"
    assert row(made, "a").fate == fate
    assert row(made, "b").result.median_s == pytest.approx(1.5e-5, rel=0.03)


def test_a_memory_limit_holds_by_a_smaller_chunk():
    planted = Planted(
        "a",
        1e-5,
        mode="reverse",
        chunking="chunked",
        peak_bytes=4000,
        by_chunk={50: 2e-5, 13: 3e-5},
    )
    made, _ = contest(planted, memory="2000B")
    picked = made.picks()["dense"]
    assert picked.chunk_size is not None
    assert row(made, "a", picked.chunk_size).result.peak_bytes <= 2000
    assert row(made, "a").fate == "too large"


def test_a_pick_that_there_is_no_time_to_ask_again_is_named():
    assert contest(Planted("a"), time_limit_s=3.0)[0].not_asked_again == ["a"]
    assert contest(Planted("a"), time_limit_s=60.0)[0].not_asked_again == []
    lost = Late(Planted("a", 1e-5), step="changes", method="a", does=LOST)
    assert run(lost, time_limit_s=3.0).not_asked_again == []
