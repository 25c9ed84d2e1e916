"""What a turn is expected to take, and what is kept for the end of a run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from jacbench.core.cell import Cell
from jacbench.running.settings import Settings
from jacbench.running.time_budget import ASSUMED_S, CLOSING_S, Budget
from tests import samples

CELL, OTHER = samples.cell("torch.a"), samples.cell("torch.b")
ELSEWHERE = samples.cell("jax.a", problem="another/problem")


def budget(spent_s: float = 0.0, total_s: float = 10.0) -> Budget:
    account: Any = SimpleNamespace(elapsed=lambda: spent_s)
    return Budget(Settings(total_s=total_s, budget_s=0.6, visits=3), account)


def expected_s(
    made: Budget, cell: Cell = CELL, *, settled: bool = True, started: bool = True
) -> float:
    return made.expected_s(cell, settled=settled, started=started)


def test_a_visit_is_expected_to_take_what_the_last_one_took() -> None:
    made = budget()
    before = expected_s(made)
    made.learn("visit", CELL, 3.0)
    made.learn("visit", CELL, 2.0)
    assert expected_s(made) == 2.0
    assert expected_s(made, OTHER) == before  # of another cell it says nothing


def test_settling_and_starting_are_expected_where_they_are_to_come() -> None:
    made = budget()
    made.learn("visit", CELL, 1.0)
    both = expected_s(made, settled=False, started=False)
    assert both == pytest.approx(1.0 + ASSUMED_S["settling"] + ASSUMED_S["start"])
    made.learn("settling", OTHER, 0.5)
    made.learn("start", ELSEWHERE, 4.0)
    # like another cell of its problem, and for want of that like any other
    assert expected_s(made, settled=False) == 1.5
    assert expected_s(made, started=False) == 5.0


def test_time_is_kept_for_what_comes_last() -> None:
    made = budget(spent_s=8.0)
    made.learn("visit", CELL, 2.0 - CLOSING_S - 0.001)
    assert made.fits(CELL, settled=True, started=True)
    made.learn("visit", CELL, 2.0 - CLOSING_S + 0.001)
    assert not made.fits(CELL, settled=True, started=True)
    made.learn("visit", CELL, 1.0)
    assert made.fits(CELL, settled=True, started=True)
    # a call for the peak memory after one to warm up, and some that would show a leak
    made.reserve(0.2)
    assert not made.fits(CELL, settled=True, started=True)
