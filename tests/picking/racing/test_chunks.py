"""Chunks of who leads."""

from __future__ import annotations

from jacbench.picking.candidate import Candidate
from tests.picking.contests import contest
from tests.picking.simulated import Planted


def test_chunks_are_tried_of_the_leader_and_kept_where_they_help():
    planted = Planted("a", 1e-4, mode="reverse", chunking="chunked", by_chunk={50: 5e-5, 13: 9e-5})
    made, _ = contest(planted)
    assert made.picks()["dense"] == Candidate("jacobian", "a", 50)
