"""What counts in a race."""

from __future__ import annotations

import pytest

from tests.picking.contests import contest, row
from tests.picking.simulated import Planted


def test_preparation_counts_where_calls_are_counted():
    few, _ = contest(Planted("a", 1e-5, prepare_s=1.0), Planted("b", 2e-5), calls=10)
    many, _ = contest(Planted("a", 1e-5, prepare_s=1.0), Planted("b", 2e-5), calls=10**8)
    assert few.picks()["dense"].method == "b"
    assert many.picks()["dense"].method == "a"
    even = row(many, "b").calls_to_break_even
    assert even == pytest.approx(1.0 / 1e-5, rel=0.05)
