"""The gate's clock: wall time, what was spent waiting for a core taken off where it is known."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from jacbench.measuring import clock
from jacbench.measuring.clock import Clock


class Hands:
    """A wall clock, and a schedstat file, that tests set."""

    def __init__(self, file: Path) -> None:
        self.wall = 100.0
        self.file = file
        self.delay(0.0)

    def delay(self, seconds: float) -> None:
        self.file.write_text(f"123456789 {round(seconds * 1e9)} 42\n", encoding="ascii")


@pytest.fixture
def hands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hands:
    found = Hands(tmp_path / "schedstat")
    monkeypatch.setattr(clock, "_SCHEDSTAT", found.file)
    monkeypatch.setattr(clock, "time", SimpleNamespace(perf_counter=lambda: found.wall))
    return found


def test_waiting_is_taken_off(hands: Hands) -> None:
    hands.delay(3.0)  # what was before is of no matter
    read = Clock()
    assert read.discounts_waiting
    started = read.start()
    hands.wall += 1.0
    hands.delay(3.25)
    assert read.since(started) == (pytest.approx(0.75), pytest.approx(0.25))


def test_without_waiting_it_is_wall_time(hands: Hands) -> None:
    read = Clock()
    started = read.start()
    hands.wall += 0.5
    assert read.since(started) == (pytest.approx(0.5), 0.0)
    # From one start several ends.
    hands.wall += 0.5
    assert read.since(started) == (pytest.approx(1.0), 0.0)


def test_a_time_is_never_zero_or_less(hands: Hands) -> None:
    read = Clock()
    started = read.start()
    # Read one after the other, the two may disagree by a tick.
    hands.wall += 1e-6
    hands.delay(1e-5)
    elapsed, waited = read.since(started)
    assert elapsed > 0
    assert waited == pytest.approx(1e-5)


@pytest.mark.parametrize("after", range(4))
def test_a_core_taken_away_between_two_readings_makes_no_time_too_short(
    hands: Hands, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    read, waited, readings = Clock(), Clock._waited, itertools.count()

    def reading(value: float) -> float:
        if next(readings) == after:
            hands.wall += 4.0
            hands.delay(4.0)
        return value

    monkeypatch.setattr(Clock, "_waited", lambda self: reading(waited(self)))
    monkeypatch.setattr(clock, "time", SimpleNamespace(perf_counter=lambda: reading(hands.wall)))
    started = read.start()
    hands.wall += 1e-3
    assert read.since(started)[0] >= 1e-3 - 1e-9
    assert next(readings) == 4


@pytest.mark.parametrize("content", [None, "", "123", "a b c"])
def test_wall_time_where_the_system_does_not_tell(
    hands: Hands, content: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if content is None:
        monkeypatch.setattr(clock, "_SCHEDSTAT", hands.file.parent / "absent")
    else:
        hands.file.write_text(content, encoding="ascii")
    read = Clock()
    assert not read.discounts_waiting
    started = read.start()
    hands.wall += 2.0
    assert read.since(started) == (pytest.approx(2.0), 0.0)


def test_sleep_is_no_waiting_for_a_core() -> None:
    # A code that sleeps is slow; only time in the queue for a core is not its own.
    read = Clock()
    started = read.start()
    time.sleep(0.05)
    elapsed, _ = read.since(started)
    assert elapsed > 0.03
