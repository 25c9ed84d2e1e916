"""Tasks side by side: their results, their errors, an interrupt."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator

import pytest

from jacbench.workers import pool
from jacbench.workers.pool import Abreast


def test_alone_each_runs_in_turn_in_the_callers_thread() -> None:
    seen: list[threading.Thread] = []

    def task() -> None:
        seen.append(threading.current_thread())

    with pool.abreast(1) as runner:
        runner.each([task, task])
    assert seen == [threading.current_thread()] * 2


def test_side_by_side_they_meet() -> None:
    meeting = threading.Barrier(2, timeout=20)
    with pool.abreast(2) as runner:
        # each waits for the other
        assert sorted(runner.each([meeting.wait, meeting.wait])) == [0, 1]


def test_results_come_in_the_order_of_the_tasks() -> None:
    second = threading.Event()

    def slow() -> str:
        assert second.wait(20)
        return "first"

    def quick() -> str:
        second.set()
        return "second"

    with pool.abreast(2) as runner:
        assert runner.each([slow, quick]) == ["first", "second"]


def test_an_error_is_raised_once_all_have_ended() -> None:
    failed, ended = threading.Event(), threading.Event()

    def fails() -> None:
        failed.set()
        raise ValueError("the first")

    def ends() -> None:
        assert failed.wait(20)
        ended.set()

    with pool.abreast(2) as runner, pytest.raises(ValueError, match="the first"):
        runner.each([fails, ends])
    assert ended.is_set()


def test_threads_last_until_it_is_closed() -> None:
    with pool.abreast(2) as runner:
        (thread,) = runner.each([threading.current_thread])
        runner.each([lambda: None] * 4)
        assert thread.is_alive()
    assert not thread.is_alive()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Have Ctrl-C raise, as a process in the background of a shell script does not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_ends_what_goes_on() -> None:
    runner, begun, killed = Abreast(2), threading.Event(), threading.Event()

    def endless() -> str:
        begun.set()
        assert killed.wait(20)
        return "stopped" if runner.stopped.is_set() else "went on"

    def interrupted() -> None:
        assert begun.wait(20)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        runner.each([endless, interrupted], give_up=killed.set)
    assert runner.stopped.is_set()
    runner.close()


@pytest.mark.parametrize(
    ("processors", "threads", "expected"), [(2, 1, 2), (2, 2, 1), (1, 1, 1), (2, 4, 1), (8, 3, 2)]
)
def test_there_is_a_processor_for_each(
    monkeypatch: pytest.MonkeyPatch, processors: int, threads: int, expected: int
) -> None:
    find: Callable[[int], set[int]] = lambda _: set(range(processors))  # noqa: E731
    monkeypatch.setattr(os, "sched_getaffinity", find, raising=False)
    assert pool.width(threads) == expected
