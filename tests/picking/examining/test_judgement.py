"""What is believed, from what two modes and differences say of each other."""

from __future__ import annotations

from typing import Any

import pytest

from jacbench.picking.examining.differences import Confirmation
from jacbench.picking.examining.judgement import Judgement, judge

GOOD = Confirmation(3e-10, holds=True)
BAD = Confirmation(0.3, holds=False)


def said(forward: Any, reverse: Any, agreement: float | None, unasked: str = "") -> Judgement:
    return judge(forward, reverse, agreement=agreement, limit=1e-11, unasked=unasked)


def test_two_that_agree_and_are_confirmed() -> None:
    found = said(GOOD, GOOD, 1e-15)
    assert found == Judgement(forward=True, reverse=True, confirmed=3e-10)


def test_two_that_agree_against_differences_are_believed_and_told() -> None:
    found = said(BAD, BAD, 1e-15)
    assert (found.forward, found.reverse, found.confirmed) == (True, True, 0.3)
    assert "central differences are 0.3 away" in (found.contradicted or "")


def test_of_two_that_differ_the_confirmed_one_is_believed() -> None:
    assert said(GOOD, BAD, 0.3) == Judgement(forward=True, reverse=False, confirmed=3e-10)
    assert said(BAD, GOOD, 0.3) == Judgement(forward=False, reverse=True, confirmed=3e-10)


def test_two_that_differ_within_what_differences_see_are_both_believed() -> None:
    assert said(GOOD, GOOD, 1e-9) == Judgement(forward=True, reverse=True, confirmed=3e-10)


@pytest.mark.parametrize(("forward", "reverse"), [(BAD, BAD), (BAD, None), (None, BAD)])
def test_what_nothing_supports_leaves_differences_alone(forward: Any, reverse: Any) -> None:
    agreement = 0.5 if forward and reverse else None
    assert said(forward, reverse, agreement) == Judgement(forward=False, reverse=False)


def test_one_alone_needs_differences() -> None:
    assert said(GOOD, None, None) == Judgement(forward=True, reverse=False, confirmed=3e-10)


def test_nothing_at_all() -> None:
    assert said(None, None, None) == Judgement(forward=False, reverse=False)


def test_where_differences_are_not_asked() -> None:
    assert said(GOOD, GOOD, 1e-15, "a kink").contradicted is None
    assert said(GOOD, GOOD, 1e-15, "a kink").undecided is None
    assert "differ by 0.3, and a kink" in (said(GOOD, GOOD, 0.3, "a kink").undecided or "")
    assert "nothing confirms it: a kink" in (said(GOOD, None, None, "a kink").contradicted or "")
    assert said(GOOD, GOOD, 1e-15, "a kink").confirmed is None
