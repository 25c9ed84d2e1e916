"""What is believed, from what two modes and differences say of each other."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jacbench.backend.graph_cut import GraphCut
from jacbench.checking.evidence.claims import Confirmation
from jacbench.checking.evidence.judgement import Judgement, judge

GOOD = Confirmation(3e-10, "confirms")
BAD = Confirmation(0.3, "denies")
OPEN = Confirmation(0.05, "cannot tell")
LIMIT = 1e-11
MEANT = GraphCut(".detach()", "f.py:3")
LOST = GraphCut(".item()", "f.py:4", meant=False)


def said(
    forward: Any, reverse: Any, agreement: float | None, unasked: str = "", cuts: Any = ()
) -> Judgement:
    ways = {"forward": forward, "reverse": reverse}
    given = {name: mode for name, mode in ways.items() if mode is not None}
    return judge(given, agreement=agreement, limit=LIMIT, unasked=unasked, cuts=cuts)


def test_two_that_agree_and_are_confirmed() -> None:
    found = said(GOOD, GOOD, 1e-15)
    assert found == Judgement(("forward", "reverse"), confirmed=3e-10)


def test_two_that_agree_are_not_believed_against_differences() -> None:
    found = said(BAD, BAD, 1e-15)
    assert (found.believed, found.confirmed) == ((), None)
    assert "differences of its values are 0.3 away from what both" in (found.refused or "")


def test_what_one_of_two_that_agree_is_denied_the_other_is_too() -> None:
    # products from the left see a single wrong entry less well
    assert said(BAD, GOOD, 1e-15).refused is not None


@pytest.mark.parametrize(("forward", "reverse"), [(BAD, BAD), (BAD, None), (None, BAD)])
def test_what_stops_gradients_on_purpose_is_not_confirmed(forward: Any, reverse: Any) -> None:
    agreement = 1e-15 if forward and reverse else None
    found = said(forward, reverse, agreement, cuts=[MEANT])
    given = {"forward": forward, "reverse": reverse}
    assert found.believed == tuple(name for name, mode in given.items() if mode is not None)
    told = "is cut in part, by .detach() at f.py:3: if that is meant, say --stops-gradient"
    assert (found.doubt or "").endswith(told)


def test_two_that_differ_and_are_denied_leave_nothing_where_gradients_stop() -> None:
    assert "forward and reverse mode differ" in (said(BAD, BAD, 0.5, cuts=[MEANT]).refused or "")


@pytest.mark.parametrize(("forward", "reverse"), [(BAD, BAD), (BAD, None), (None, BAD)])
def test_a_conversion_that_loses_the_graph_is_refused_by_its_place(
    forward: Any, reverse: Any
) -> None:
    agreement = 1e-15 if forward and reverse else None
    refused = said(forward, reverse, agreement, cuts=[MEANT, LOST]).refused or ""
    assert refused.endswith("is cut in part, by .item() at f.py:4")


def test_of_two_that_differ_the_confirmed_one_is_believed() -> None:
    for other in (BAD, OPEN):
        assert said(GOOD, other, 0.3) == Judgement(("forward",), confirmed=3e-10)
        assert said(other, GOOD, 0.3) == Judgement(("reverse",), confirmed=3e-10)


def test_two_that_differ_within_what_differences_see_are_both_believed() -> None:
    assert said(GOOD, GOOD, 1e-9) == Judgement(("forward", "reverse"), confirmed=3e-10)


def test_of_two_that_differ_one_much_further_away_is_left() -> None:
    far = Confirmation(1e-7, "confirms")
    assert said(GOOD, far, 1e-7) == Judgement(("forward",), confirmed=3e-10)


@pytest.mark.parametrize(("forward", "reverse"), [(BAD, BAD), (BAD, None), (None, BAD)])
def test_what_nothing_supports_leaves_differences_alone(forward: Any, reverse: Any) -> None:
    agreement = 0.5 if forward and reverse else None
    assert said(forward, reverse, agreement) == Judgement()


def test_where_differences_cannot_tell_agreement_is_not_confirmed() -> None:
    found = said(OPEN, OPEN, 1e-15)
    assert (found.believed, found.confirmed) == (("forward", "reverse"), None)
    assert found.doubt == "differences cannot tell here"
    assert "one method alone" in (said(OPEN, None, None).doubt or "")
    assert "cannot tell which" in (said(OPEN, OPEN, 0.3).refused or "")
    assert "deny one and cannot tell of the other" in (said(OPEN, BAD, 0.3).refused or "")


def test_one_alone_needs_differences() -> None:
    assert said(GOOD, None, None) == Judgement(("forward",), confirmed=3e-10)


def test_two_are_as_good_as_they_agree_and_one_alone_is_what_its_dtype_is() -> None:
    both = Judgement(("forward", "reverse"))
    assert both.error(1e-15, LIMIT) == 0.0
    assert both.error(1e-9, LIMIT) == 3 * 1e-9
    for alone in (Judgement(("forward",)), Judgement(("reverse",))):
        assert alone.error(0.5, LIMIT) == 0.0
        assert alone.error(0.5, LIMIT, 1e-4) == 1e-4


def test_nothing_at_all() -> None:
    assert said(None, None, None) == Judgement()


def test_where_differences_are_not_asked() -> None:
    assert said(OPEN, OPEN, 1e-15, "a kink").refused is None
    assert said(OPEN, OPEN, 1e-15, "a kink").doubt == "differences were not asked: a kink"
    assert "differ by 0.3, and a kink" in (said(OPEN, OPEN, 0.3, "a kink").refused or "")
    assert "one method alone says so" in (said(OPEN, None, None, "a kink").doubt or "")
    assert said(OPEN, OPEN, 1e-15, "a kink").confirmed is None


errors = st.one_of(st.just(0.0), st.floats(1e-16, 1e3))
verdicts = st.sampled_from(["confirms", "denies", "cannot tell"])
modes = st.none() | st.builds(Confirmation, errors, verdicts)


@given(modes, modes, errors, st.sampled_from(["", "a kink"]), st.sampled_from([(), (MEANT,)]))
def test_what_holds_of_every_judgement(
    forward: Any, reverse: Any, apart: float, unasked: str, cuts: Any
) -> None:
    agreement = apart if forward and reverse else None
    found = said(forward, reverse, agreement, unasked, cuts)
    believed = [{"forward": forward, "reverse": reverse}[name] for name in found.believed]
    agree = agreement is not None and agreement <= LIMIT
    # what is believed answered, and a mode that is denied is so only where gradients are stopped
    assert None not in believed
    if not unasked and not cuts:
        assert not any(mode.denied for mode in believed)
    # right is what differences confirm, and nothing stands beside it that says otherwise
    if found.confirmed is not None:
        assert found.doubt is None
        assert all(mode.holds for mode in believed)
        assert found.confirmed == max(mode.error for mode in believed)
        assert not (agree and len(believed) < 2)
    else:
        assert found.doubt or found.refused or not believed
    assert not (found.doubt and found.refused)
    if found.refused:
        assert not believed
    # two are believed that are not the same only where both are confirmed about as well
    if len(believed) == 2 and not agree:
        assert all(mode.holds for mode in believed)
        assert max(m.error for m in believed) <= 10 * min(m.error for m in believed)
    # nobody who may be right is left out for the sake of one who is not
    if not unasked and not agree and any(mode and mode.holds for mode in (forward, reverse)):
        assert found.confirmed is not None
