"""A visit is planned so that it is long enough to measure and no longer than it may be."""

from __future__ import annotations

import inspect
import math
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_benchmark.fixture import BenchmarkFixture

from jacbench.measuring import warm_up as timing
from jacbench.measuring.warm_up import MAX_ROUNDS, ROUND_S, SLOW_S, plan

CALLS = st.floats(1e-9, 100.0)
BUDGETS = st.floats(1e-6, 60.0)
MINIMA = st.integers(1, 50)


@given(CALLS, BUDGETS, MINIMA)
def test_rounds_and_iterations_are_whole_and_positive(call: float, budget: float, n: int) -> None:
    found = plan(call, budget, n)
    assert isinstance(found.rounds, int)
    assert isinstance(found.iterations, int)
    assert 1 <= found.rounds <= MAX_ROUNDS
    assert found.iterations >= 1


@given(CALLS, BUDGETS, MINIMA)
def test_a_round_is_long_enough_and_not_much_longer(call: float, budget: float, n: int) -> None:
    length = plan(call, budget, n).iterations * call
    assert length >= ROUND_S * (1 - 1e-9)
    assert length <= ROUND_S + call or math.isclose(length, ROUND_S + call)


@given(CALLS, BUDGETS, MINIMA)
def test_the_minimum_of_rounds_holds_unless_a_call_is_slow(
    call: float, budget: float, n: int
) -> None:
    assert plan(call, budget, n).rounds >= (min(n, 2) if call > SLOW_S else n)


@given(CALLS, BUDGETS, MINIMA)
def test_the_budget_holds_beyond_the_minimum(call: float, budget: float, n: int) -> None:
    found = plan(call, budget, n)
    if found.rounds > n:
        assert found.rounds * found.iterations * call <= budget * (1 + 1e-9)


@given(CALLS, BUDGETS, st.floats(1.0, 10.0), MINIMA)
def test_more_time_never_means_fewer_rounds(
    call: float, budget: float, factor: float, n: int
) -> None:
    assert plan(call, budget * factor, n).rounds >= plan(call, budget, n).rounds


@given(st.floats(1.0001, 1000.0), BUDGETS)
def test_a_slow_call_is_timed_at_least_twice(call: float, budget: float) -> None:
    assert plan(call, budget, 10).rounds >= 2


def test_calls_are_those_that_are_made() -> None:
    calls: list[object] = []
    for chosen in (timing.Plan(3, 1), timing.Plan(3, 4)):
        calls.clear()
        fixture = pytest_benchmark_fixture()
        fixture.pedantic(calls.append, (1,), rounds=chosen.rounds, iterations=chosen.iterations)
        assert chosen.calls == len(calls)


def pytest_benchmark_fixture() -> Any:
    """Return the fixture that times, without a session."""
    node = SimpleNamespace(name="test", nodeid="test")
    timer = SimpleNamespace(target=timing.time.perf_counter)
    nothing = dict.fromkeys(("logger", "warner", "cprofile_loops", "cprofile_dump"))
    numbers = dict.fromkeys(("min_rounds", "min_time", "max_time", "calibration_precision"), 1)
    flags = dict.fromkeys(("disable_gc", "warmup", "disabled", "cprofile"), False)
    wanted = inspect.signature(BenchmarkFixture).parameters
    known = {**nothing, **numbers, **flags, "timer": timer, "add_stats": lambda _: None}
    known |= {"warmup_iterations": 0, "precision": None, "confidence": None}
    return BenchmarkFixture(node, **{name: known[name] for name in wanted if name in known})


def test_processor_time_is_that_of_the_block() -> None:
    with timing.ProcessorTime() as idle:
        threading.Event().wait(0.05)
    with timing.ProcessorTime() as busy:
        begun = timing.time.process_time()
        while timing.time.process_time() - begun < 0.05:
            pass
    assert busy.seconds >= 0.05
    assert idle.seconds < busy.seconds


def test_by_hand() -> None:
    assert plan(1e-3, 0.3, 5) == timing.Plan(rounds=100, iterations=3)
    assert plan(20e-6, 1.0, 5) == timing.Plan(rounds=333, iterations=150)
    assert plan(0.5, 1.0, 5) == timing.Plan(rounds=5, iterations=1)
    assert plan(2.0, 1.0, 5) == timing.Plan(rounds=2, iterations=1)
    assert plan(1e-6, 1e6, 5).rounds == MAX_ROUNDS


class Clock:
    """A clock that moves only when a call says so."""

    def __init__(self, times: list[float]) -> None:
        self.now, self.times, self.calls = 0.0, times, 0

    def perf_counter(self) -> float:
        return self.now

    def call(self, x: object) -> None:
        self.now += self.times[min(self.calls, len(self.times) - 1)]
        self.calls += 1


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock([1.0, 0.02, 0.01])
    monkeypatch.setattr(timing.time, "perf_counter", clock.perf_counter)
    return clock


def test_warm_up_returns_the_smallest_time(clock: Clock) -> None:
    # the slow first call alone is beyond the budget, and a second is made all the same
    assert timing.warm_up(clock.call, None, 0.5) == pytest.approx(0.02)
    assert clock.calls == 2


def test_warm_up_keeps_to_a_fifth_of_the_budget(clock: Clock) -> None:
    clock.times = [0.01]
    assert timing.warm_up(clock.call, None, 1.0) == pytest.approx(0.01)
    assert 20 <= clock.calls <= 22


def test_warm_up_ends_and_never_gives_zero(clock: Clock) -> None:
    clock.times = [0.0]
    assert timing.warm_up(clock.call, None, 1.0) > 0
    assert clock.calls < 1000


def test_warm_up_calls_with_the_point_it_was_given() -> None:
    seen: list[object] = []
    timing.warm_up(seen.append, "x", 0.0)
    assert set(seen) == {"x"}
