"""The ratio of two times, worked out of given times and of counted calls."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from benchmarks import interleaved


def test_the_ratio_is_that_within_a_block() -> None:
    # the machine is ever slower; in each block the first function takes twice as long
    second = np.linspace(1.0, 3.0, 51)
    found = interleaved.summary(np.stack([2 * second, second], axis=1), 7, np.random.default_rng(0))
    assert (found.median, found.low, found.high) == (2, 2, 2)
    assert (found.a_median_s, found.b_median_s) == (4, 2)
    assert (found.blocks, found.calls) == (51, 7)


def test_the_interval_is_of_the_median_and_forgets_a_few_blocks() -> None:
    rng = np.random.default_rng(1)
    times_s = np.ones((200, 2))
    times_s[:, 0] = rng.normal(1.5, 0.1, 200)
    times_s[:5, 0] = 100
    found = interleaved.summary(times_s, 1, rng)
    assert found.low < found.median < found.high
    assert found.low < 1.5 < found.high
    assert found.high - found.low < 0.1
    again = [interleaved.summary(times_s, 1, np.random.default_rng(2)) for _ in range(2)]
    assert again[0] == again[1]


@pytest.mark.parametrize("collecting", [True, False])
def test_both_are_called_as_often_and_the_collector_is_put_back(collecting: bool) -> None:
    counts = {"a": 0, "b": 0}
    collected = []

    def call(name: str) -> None:
        counts[name] += 1
        collected.append(gc.isenabled())

    before = gc.isenabled()
    (gc.enable if collecting else gc.disable)()
    try:
        found = interleaved.ratio(lambda: call("a"), lambda: call("b"), blocks=3, seed=0)
        assert gc.isenabled() == collecting
    finally:
        (gc.enable if before else gc.disable)()
    assert found.blocks == 3
    assert counts["a"] == 3 * (found.calls + 1)
    # of b some calls were to find out how many fill a sample
    assert counts["b"] > counts["a"]
    assert not any(collected[-2 * counts["a"] :])
