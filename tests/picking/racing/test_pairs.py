"""Ratios of two that were measured in turn: of the visits that both had."""

from __future__ import annotations

import math

import pytest

from jacbench.picking.options import PickOptions
from jacbench.picking.racing import pairs, placing
from jacbench.picking.racing.candidates import Field
from tests.picking.simulated import Planted, SimulatedBench


def field_of(**visits):
    """Return a field of candidates with what each took at every visit, and those."""
    bench = SimulatedBench(*(Planted(name) for name in visits))
    field = Field([bench], PickOptions())
    for known in field:
        known.entry = bench.enter(known.candidate)
        known.visits = dict(visits[known.candidate.method])
    return field, list(field)


def test_only_visits_that_both_had_are_paired_and_each_by_its_median():
    _, (a, b) = field_of(
        a={0: [2.0, 4.0, 90.0], 1: [6.0], 3: [7.0]}, b={0: [2.0], 1: [2.0], 2: [1.0]}
    )
    assert pairs.ratios(a, b) == [2.0, 3.0]
    assert pairs.ratios(a, b, 2.0, 1.0) == [2.0, pytest.approx(8 / 3)]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6])
def test_there_is_an_interval_from_four_pairs_on(count):
    _, (a, b) = field_of(
        a={i: [2.0 + 0.1 * (i % 2)] for i in range(count)}, b={i: [1.0] for i in range(count)}
    )
    found = pairs.ratio(a, b)
    assert 2.0 <= found.estimate <= 2.1
    assert math.isnan(found.low) is (count < 4)
    assert found.low < found.estimate < found.high or count < 4


def test_slower_is_who_is_so_by_the_interval():
    field, (a, b, c) = field_of(
        a={i: [1.0] for i in range(6)},
        b={i: [1.5 if i % 2 else 0.8] for i in range(6)},
        c={i: [1.5 if i % 2 else 1.4] for i in range(6)},
    )
    a.fate, b.fate, c.fate = "picked", "slower", "equal"
    placing.place(field, "dense")
    assert (a.fate, b.fate, c.fate) == ("picked", "equal", "slower")
