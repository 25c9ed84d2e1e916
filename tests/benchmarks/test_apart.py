"""A call that ends its process costs neither the caller nor the calls after it."""

from __future__ import annotations

import os
import signal

import pytest

from benchmarks.functions.apart import Apart, EndedError, Hold, outlived

GOOD, BAD, WORSE = "good", "bad", "worse"


def nothing() -> None:
    """Set nothing up."""


def added(a: int, b: int, *, hold: Hold) -> int:
    hold([GOOD])
    return a + b


def faulty(*, hold: Hold) -> None:
    del hold
    raise ValueError("its own")


def run(without: frozenset[str], *, hold: Hold) -> list[str]:
    """End as a segmentation fault does, at two of the names."""
    done = []
    for name in (GOOD, BAD, WORSE):
        hold([name])
        if name in without:
            continue
        if name != GOOD:
            os.kill(os.getpid(), signal.SIGKILL)
        done.append(name)
    return done


def test_a_call_returns_what_it_returns() -> None:
    with Apart(nothing) as process:
        assert process.call(added, 1, 2) == 3
        with pytest.raises(ValueError, match="its own"):
            process.call(faulty)
        assert process.call(added, 2, 2) == 4


def test_who_was_in_hand_is_known_and_the_next_call_has_a_process() -> None:
    with Apart(nothing) as process:
        with pytest.raises(EndedError, match="with bad in hand") as ended:
            process.call(run, frozenset())
        assert ended.value.in_hand == {BAD}
        assert process.call(added, 1, 2) == 3


def test_whoever_ends_it_is_left_out() -> None:
    with Apart(nothing) as process:
        found = outlived(lambda without: process.call(run, without), lambda name: name != GOOD)
    assert found == [GOOD]


def test_one_who_is_no_suspect_is_an_error() -> None:
    asked = []

    def call(without: frozenset[str]) -> None:
        asked.append(without)
        raise EndedError(frozenset({GOOD, BAD}))

    with pytest.raises(EndedError):
        outlived(call, lambda name: name == BAD, {WORSE})
    assert asked == [{WORSE}, {WORSE, BAD}]
