"""What may be spent before anything is timed, by a clock that is moved by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from jacbench.measuring import deadline as deadlines
from jacbench.measuring.deadline import Deadline, InTime, OutOfTimeError
from jacbench.picking.benches.local import LocalBench
from jacbench.picking.examining import smoothness
from jacbench.problems import counted_function
from tests.picking.planted import subject

anp = pytest.importorskip("autograd.numpy")


class Clock:
    """A clock that is moved by hand."""

    now = 5.0

    def perf_counter(self) -> float:
        return self.now

    monotonic = perf_counter


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    for module in (deadlines, counted_function, smoothness):
        monkeypatch.setattr(module, "time", made)
    return made


def test_a_share_of_the_limit_is_left_and_runs_out(clock: Clock) -> None:
    deadline = Deadline(10.0, 0.4)
    assert deadline.left() == pytest.approx(4.0)
    assert deadline.left(0.5) == pytest.approx(2.0)
    clock.now += 10
    assert deadline.left() == pytest.approx(-6.0)
    assert deadline.left(0.5) == pytest.approx(-8.0)
    assert deadline.spent() == pytest.approx(10.0)
    assert deadline.why(0.25) == "one call takes 250 ms and the time limit is 10 s"


def test_without_a_limit_there_is_no_end(clock: Clock) -> None:
    deadline = Deadline(share=0.4)
    clock.now += 1e9
    assert deadline.left() == math.inf
    assert deadline.why(2.0) == "one call takes 2.00 s"


def test_what_is_uncounted_costs_nothing_also_where_it_raises(clock: Clock) -> None:
    deadline = Deadline(10.0)

    def compile_and_fail() -> None:
        clock.now += 120.0
        raise KeyError

    with pytest.raises(KeyError), deadline.uncounted():
        compile_and_fail()
    clock.now += 1.0
    assert deadline.left() == pytest.approx(9.0)
    assert deadline.spent() == pytest.approx(1.0)


def test_a_function_is_called_once_and_then_while_there_is_time(clock: Clock) -> None:
    def double(x: float) -> float:
        clock.now += 1.0
        return 2 * x

    in_time = InTime(double, Deadline(10.0, 0.4), kept_s=2.0, call_s=1.0)
    assert [in_time(x) for x in (1, 2, 3)] == [2, 4, 6]
    with pytest.raises(OutOfTimeError):
        in_time(4)
    assert in_time.over == "not looked for: one call takes 1.00 s and the time limit is 10 s"
    late = InTime(double, Deadline(10.0, 0.0), kept_s=2.0, call_s=1.0)
    assert late(1) == 2
    assert late.over == ""


@pytest.mark.parametrize(("call_s", "looked"), [(0.001, True), (0.2, False)])
def test_samples_are_looked_for_while_there_is_time(
    call_s: float, looked: bool, clock: Clock
) -> None:
    def f(x: Any) -> Any:
        clock.now += call_s
        return anp.sin(x)

    bench = LocalBench(subject(f, np.ones((8, 2))), "autograd", configure=False)
    bench.examine(10.0)
    found = bench.samples()
    assert (found.axis == 0) == looked
    if not looked:
        assert found.reason == "not looked for: one call takes 200 ms and the time limit is 10 s"


def test_samples_of_a_function_with_float32_constants() -> None:
    torch = pytest.importorskip("torch")
    W = torch.ones(2, 2)
    x = np.arange(6.0).reshape(3, 2)
    asked = subject(lambda x: torch.tanh(x @ W), x, backend="torch", dtype="float32")
    bench = LocalBench(asked, "torch", configure=False)
    bench.examine(10.0)
    assert bench.samples().axis == 0
