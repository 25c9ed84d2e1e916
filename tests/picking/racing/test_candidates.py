"""Who is in the field at all."""

from __future__ import annotations

from tests.picking.contests import contest
from tests.picking.simulated import Planted


def test_structure_can_be_left_out():
    made, _ = contest(Planted("a"), Planted("s", 1e-7, structure="samples"), structure=False)
    assert made.picks()["dense"].method == "a"
