"""The quickest of several ways is found, and what a library cannot do is left out."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import pytest

from jacbench.structure.autotune import ROUNDS, SECONDS, fastest


def test_the_quickest_is_chosen() -> None:
    assert fastest({"slow": lambda: time.sleep(0.02), "quick": lambda: None}) == "quick"


def test_a_way_that_raises_is_out() -> None:
    def fails() -> None:
        raise NotImplementedError("no rule")

    calls = []
    assert fastest({"fails": fails, "works": lambda: calls.append(1)}) == "works"
    assert len(calls) == 1  # of one that is left nothing has to be timed
    with pytest.raises(NotImplementedError, match="no rule"):
        fastest({"fails": fails, "too": lambda: 1 / 0})


def test_it_takes_a_few_rounds_and_no_longer_than_it_may() -> None:
    calls = []
    fastest({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")})
    assert len(calls) <= 2 * (ROUNDS + 1)
    assert calls[:4] == ["a", "b", "a", "b"]
    calls.clear()
    fastest({"a": lambda: calls.append("a"), "b": lambda: time.sleep(2 * SECONDS)})
    assert len(calls) == 2


def test_a_way_that_gives_something_else_is_out() -> None:
    def after(seconds: float, result: int) -> Callable[[], int]:
        return lambda: time.sleep(seconds) or result

    ways = {"slow": after(0.02, 1), "quick": lambda: 2, "slower": after(0.03, 1)}
    assert fastest(ways, lambda one, other: one == other) == "slow"
    assert fastest(ways) == "quick"


def test_a_disturbed_moment_does_not_decide() -> None:
    calls = itertools.count()

    def disturbed() -> None:
        time.sleep(0.02 if next(calls) == ROUNDS else 0.0)  # in the last round that is counted

    assert fastest({"steady": lambda: time.sleep(0.004), "disturbed": disturbed}) == "disturbed"
