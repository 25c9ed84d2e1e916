"""Evidence keeps to its share of the time, and says what was left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jacbench.checking import gathering
from jacbench.checking.evidence.modes import Witnesses
from jacbench.measuring import deadline
from jacbench.picking.examining import smoothness
from jacbench.picking.examining.examination import examine
from jacbench.picking.reference import choice
from jacbench.picking.reference.evidence import truth
from jacbench.problems import counted_function
from tests.picking.gathering import exact, off
from tests.picking.planted import A, X, subject

anp = pytest.importorskip("autograd.numpy")

# torch's own: the first use of forward mode
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")


def slow(monkeypatch: pytest.MonkeyPatch, call_s: float) -> tuple[Callable[[Any], Any], list[Any]]:
    """Return a function that takes so long by a clock that only its calls move, and its calls."""
    clock = Clock()
    for module in (deadline, counted_function, smoothness, gathering, choice):
        monkeypatch.setattr(module, "time", clock)
    seen: list[Any] = []

    def f(x: Any) -> Any:
        seen.append(x)
        clock.now += call_s
        return anp.tanh(anp.dot(A, x))

    return f, seen


class Clock:
    """A clock that is moved by hand."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now

    monotonic = perf_counter


@pytest.mark.parametrize(
    ("call_s", "most"), [(0.001, 100), (0.04, 70), (0.1, 40), (0.3, 13), (0.8, 10)]
)
def test_evidence_keeps_to_its_share(
    call_s: float, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    f, seen = slow(monkeypatch, call_s)
    asked = subject(f)
    found = truth(asked, "autograd", examine(asked, "autograd", time_limit_s=10.0))
    assert len(seen) <= most
    # something else than the first method confirms it all the same
    assert found.products.agreement is not None or found.judgement.confirmed is not None
    assert off(found, exact(X)) < 1e-14
    assert off(found, exact(X) * 1.001) > 1e-4
    assert ("as one call takes" in found.told) == (call_s > 0.05)


def test_what_was_left_out_for_time_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    f, _ = slow(monkeypatch, 0.3)
    asked = subject(f)
    looked = examine(asked, "autograd", time_limit_s=10.0)
    found = truth(asked, "autograd", looked)
    assert looked.skipped == (
        "not looked for: noise, kinks, linearity: one call takes 300 ms and the time limit is 10 s",
    )
    assert "as the forward mode was left out for time" in found.told
    assert "differences in 1 random direction confirm it to" in found.told
    assert "on 1 random product from one side" in found.told
    assert found.told.endswith(
        "less was asked than usual, as one call takes 300 ms and the time limit is 10 s"
    )
    assert not found.whole


def test_without_a_limit_nothing_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    f, _ = slow(monkeypatch, 3.0)
    asked = subject(f)
    found = truth(asked, "autograd", examine(asked, "autograd"))
    assert len(found.products.names) == 2
    assert "3 random directions" in found.told
    assert "less was asked" not in found.told


def test_a_wrong_rule_is_found_in_no_time_too(monkeypatch: pytest.MonkeyPatch) -> None:
    from autograd.extend import defvjp, primitive

    f, _ = slow(monkeypatch, 0.8)

    @primitive
    def wrong(x: Any) -> Any:
        return f(x)

    defvjp(wrong, lambda ans, x: lambda g: 1.01 * (g * (1 - ans**2)) @ A)
    asked = subject(wrong)
    found = truth(asked, "autograd", examine(asked, "autograd", time_limit_s=10.0))
    assert found.reference.kind == "central-difference"
    assert off(found, exact(X)) < 1e-6


def test_where_the_reverse_mode_cannot_the_forward_mode_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    f, _ = slow(monkeypatch, 0.3)
    asked = subject(f)
    looked = examine(asked, "autograd", time_limit_s=10.0)
    # the reverse mode comes to nothing
    monkeypatch.setattr(Witnesses, "reverse", lambda *_: ("", []))
    found = truth(asked, "autograd", looked)
    assert found.products.names == ("autograd.jvp",)
    assert found.judgement.confirmed is not None


def test_two_modes_that_agree_can_do_without_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    f, _ = slow(monkeypatch, 0.05)
    asked, forward = subject(f), Witnesses.forward

    def long(*arguments: Any) -> Any:
        deadline.time.now += 10.0
        return forward(*arguments)

    looked = examine(asked, "autograd", time_limit_s=10.0)
    monkeypatch.setattr(Witnesses, "forward", long)
    found = truth(asked, "autograd", looked)
    assert (len(found.products.names), found.judgement.confirmed) == (2, None)
    assert "differences were not asked: there was no time for them" in found.told
