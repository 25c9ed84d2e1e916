"""Crossovers are where they were put, as sure as the samples are, and noise makes none."""

from __future__ import annotations

import math

import numpy as np
import pytest

from jacbench.core.cell import Verdict
from jacbench.sweeping.crossover import Crossover, Race
from tests.sweeping.simulated import Law, law, panel_of, swept

CROSSING = 130.0
BELOW = law(1e-6, 1.0)
ABOVE = law(1e-6 * CROSSING**0.5, 0.5)


def race(laws: dict[str, Law], *, noise: float = 0.0, among: str = "") -> Race:
    (found,) = (one for one in panel_of(laws, noise=noise).races if one.among == among)
    return found


def only(found: Race) -> Crossover:
    (one,) = found.crossovers
    return one


def test_where_two_power_laws_cross() -> None:
    found = race({"jax.jacfwd": BELOW, "jax.jacrev": ABOVE})
    assert [(r.method, r.first, r.last) for r in found.reigns] == [
        ("jax.jacfwd", 16, 128),
        ("jax.jacrev", 256, 4096),
    ]
    one = only(found)
    assert (one.below, one.above) == ("jax.jacfwd", "jax.jacrev")
    assert one.at is not None
    assert (one.at.low, one.at.estimate, one.at.high) == pytest.approx([CROSSING] * 3)


def test_the_order_of_methods_changes_nothing() -> None:
    laws = {"jax.jacfwd": BELOW, "jax.jacrev": ABOVE}
    assert race(laws, noise=0.05) == race(dict(reversed(laws.items())), noise=0.05)


def test_the_interval_holds_the_crossover_as_often_as_it_says() -> None:
    held, widths = [], []
    for seed in range(40):
        found = swept({"jax.a": BELOW, "jax.b": ABOVE}, noise=0.05, seed=seed, n="64:256")
        at = only(found.panels[0].races[0]).at
        assert at is not None
        held.append(at.low <= CROSSING <= at.high)
        widths.append(at.high / at.low)
    assert np.mean(held) >= 0.85  # of 95 %, with three visits each
    assert 1.02 < np.median(widths) < 1.5


def test_noise_alone_makes_no_crossover() -> None:
    same = {f"jax.{name}": law(1e-6, 1.0) for name in "abcd"}
    found = race(same, noise=0.02)
    assert len(found.reigns) == 1
    assert found.crossovers == ()
    assert (found.reigns[0].first, found.reigns[0].last) == (16, 4096)


def test_a_slightly_slower_method_is_not_told_apart() -> None:
    # Two percent are real in the samples, and no more than what one process differs by.
    laws = {"jax.a": law(1e-6, 1.0), "jax.b": law(1.02e-6, 1.0)}
    assert [reign.method for reign in race(laws).reigns] == ["jax.a"]


def test_three_methods_in_turn() -> None:
    # By twos of the exponent: at 16 x 2^2.5 and 16 x 2^5.5.
    laws = {
        "jax.a": law(1.0, 2.0),
        "jax.b": law(16 * 2**2.5, 1.0),
        "jax.c": law(16 * 2**2.5 * 16 * 2**5.5, 0.0),
    }
    found = race(laws)
    assert [reign.method for reign in found.reigns] == ["jax.a", "jax.b", "jax.c"]
    at = [one.at.estimate for one in found.crossovers if one.at]
    assert at == pytest.approx([16 * 2**2.5, 16 * 2**5.5])


def test_a_method_may_win_again() -> None:
    def bent(x: float) -> float:
        return 1e-6 * (3.0 if 100 < x < 1000 else 1.0)

    found = race({"jax.a": bent, "jax.b": law(2e-6, 0.0)})
    assert [reign.method for reign in found.reigns] == ["jax.a", "jax.b", "jax.a"]
    assert [64 < one.at.estimate < 1024 for one in found.crossovers if one.at] == [True, True]


def test_a_method_that_ends_does_not_cross() -> None:
    found = race({"jax.a": law(1e-6, 1.0, until=500), "jax.b": law(5e-6, 1.0)})
    assert [reign.method for reign in found.reigns] == ["jax.a", "jax.b"]
    assert only(found).at is None
    assert found.reigns[0].last == 256


def test_what_is_never_told_to_be_slower_wins_throughout() -> None:
    # Equal up to the middle, within wide noise; then one falls behind.
    def late(x: float) -> float:
        return 1e-6 if x < 500 else 3e-6

    def slightly(x: float) -> float:
        return 1.01e-6 if x < 500 else 1e-6

    found = swept({"jax.a": late, "jax.b": slightly}, noise=0.2)
    (told,) = found.panels[0].races
    assert [reign.method for reign in told.reigns] == ["jax.b"]


def test_an_open_end_is_infinite() -> None:
    from jacbench.sweeping.crossover import crossover

    panel = panel_of(
        {"jax.a": law(1e-6, 0.0), "jax.b": law(1.001e-6, -0.0003)}, noise=0.2, n="16:4096"
    )
    one, other = panel.group.series
    found = crossover(one, other, (16, 4096))
    back = crossover(other, one, (16, 4096))
    crossing = [each.at for each in (found, back) if each.at is not None]
    assert crossing  # they cross by noise, one way or the other
    assert any(at.low == 0 or at.high == math.inf for at in crossing)


def test_references_take_no_part() -> None:
    laws = {"numpy.analytic": law(1e-9, 1.0), "jax.a": BELOW, "jax.b": ABOVE}
    found = race(laws)
    assert {reign.method for reign in found.reigns} == {"jax.a", "jax.b"}


def test_each_backend_has_a_race_of_its_own() -> None:
    laws = {
        "torch.a": law(1e-6, 1.0),
        "jax.a": law(1e-3, 1.0),
        "jax.b": law(1e-3 * CROSSING**0.5, 0.5),
    }
    panel = panel_of(laws)
    # torch has one method: who wins within it needs no telling.
    assert [one.among for one in panel.races] == ["", "jax"]
    assert [reign.method for reign in panel.races[0].reigns] == ["torch.a"]
    one = only(panel.races[1]).at
    assert one is not None
    assert one.estimate == pytest.approx(CROSSING)


def test_without_any_time_there_is_no_race() -> None:
    assert panel_of({"jax.a": lambda _: Verdict.TIMED_OUT}).races == ()
    assert panel_of({"numpy.analytic": BELOW}).races == ()


def test_a_hole_is_passed_over() -> None:
    def holed(x: float) -> float | Verdict:
        return Verdict.TIMED_OUT if x == 64 else 1e-6 * x

    found = race({"jax.a": holed, "jax.b": ABOVE})
    assert [reign.method for reign in found.reigns] == ["jax.a", "jax.b"]
    at = only(found).at
    assert at is not None
    assert at.estimate == pytest.approx(CROSSING)
