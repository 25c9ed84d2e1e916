"""What counts as spent of a time limit."""

from __future__ import annotations

import pytest

from jacbench.measuring import budget as budgets
from jacbench.measuring.budget import Budget


@pytest.fixture
def clock(monkeypatch):
    """Put the time in the test's hand."""
    now = [100.0]
    monkeypatch.setattr(budgets.time, "monotonic", lambda: now[0])
    return now


def test_what_is_left_is_of_a_share_of_the_limit(clock):
    budget = Budget(10.0)
    clock[0] += 4.0
    assert budget.left() == 6.0
    assert budget.left(0.5) == 1.0
    assert budget.left(0.1) == -3.0


def test_what_is_uncounted_costs_nothing_also_where_it_raises(clock):
    budget = Budget(10.0)

    def compile_and_fail():
        clock[0] += 120.0
        raise KeyError

    with pytest.raises(KeyError), budget.uncounted():
        compile_and_fail()
    clock[0] += 1.0
    assert budget.left() == 9.0
