"""The parts of a run's time add up to all of it, however many workers work at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jacbench.results import run
from jacbench.running import account


class Time:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


def test_workers_at_once_share_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Time()
    monkeypatch.setattr(account, "time", clock)
    spent = account.Account()
    for seconds, who, doing in (
        (1.0, "a", "workers"),
        (2.0, "b", "workers"),
        (4.0, "a", "settling"),
        (8.0, "b", None),
        (16.0, "a", "timing"),
        (32.0, "a", None),
    ):
        clock.now += seconds
        spent.now(who, doing)
    clock.now += 64.0
    assert spent.seconds() == {
        "wall": 127.0,
        "workers": 2.0 + 4.0 + 4.0,
        "settling": 4.0 + 16.0,
        "timing": 32.0,
        "memory": 0.0,
        "other": 1.0 + 64.0,
    }
    assert spent.elapsed() == 127.0


@given(st.floats(0, 1e4), st.dictionaries(st.sampled_from(run.ACTIVITIES), st.floats(0, 1e3)))
def test_nothing_is_negative(wall: float, spent: dict[str, float]) -> None:
    found = run.accounted(wall, spent)
    assert set(found) == {"wall", "other", *run.ACTIVITIES}
    assert min(found.values()) >= 0
    if sum(spent.values()) <= wall:
        rest = sum(seconds for name, seconds in found.items() if name != "wall")
        assert rest == pytest.approx(wall, abs=0.01)


def test_two_parts_of_a_run_are_added() -> None:
    first = run.accounted(10.0, {"timing": 4.0})
    second = run.accounted(5.0, {"settling": 1.0})
    found = run.added(first, second)
    assert (found["wall"], found["timing"], found["settling"], found["other"]) == (15, 4, 1, 10)
    assert run.added({}, second) == second
