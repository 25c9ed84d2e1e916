"""The ratio of two times on a machine that does other things too.

Both functions are timed in turn, in blocks so short that a disturbance hits either alike, in random
order, so that no order favours one, and the medians of many blocks forget what hit only one.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Times: TypeAlias = npt.NDArray[np.float64]

SAMPLE_S = 1.5e-3
"""How long one sample takes: long against the clock, short against the machine's moods."""

_RESAMPLES = 2000


@dataclass(frozen=True)
class Ratio:
    """The time of ``a`` over the time of ``b``.

    Attributes
    ----------
    median
        The median over blocks of the ratio within a block; 1.03: ``a`` takes 3 % longer.
    low, high
        The 95 % bootstrap interval of the median, over blocks.
    a_median_s, b_median_s
        The median time of one call, in seconds.
    blocks, calls
        How many blocks there were, and how many calls a sample in each.
    """

    median: float
    low: float
    high: float
    a_median_s: float
    b_median_s: float
    blocks: int
    calls: int


def ratio(a: Callable[[], object], b: Callable[[], object], blocks: int, seed: int) -> Ratio:
    """Time ``a`` against ``b``.

    Parameters
    ----------
    a, b
        Functions without arguments, which return when their work is done.
    blocks
        How many times both are sampled.
    seed
        Of the order within blocks and of the bootstrap.
    """
    rng = np.random.default_rng(seed)
    arms = (a, b)
    calls = _calls(b)
    times_s = np.empty((blocks, 2))
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for block in times_s:
            for arm in rng.permutation(2):
                arms[arm]()  # untimed: it finds the caches as the other arm left them
                block[arm] = _sample_s(arms[arm], calls) / calls
    finally:
        if collecting:
            gc.enable()
    return summary(times_s, calls, rng)


def summary(times_s: Times, calls: int, rng: np.random.Generator) -> Ratio:
    """Return what the times of two functions say of their ratio.

    Parameters
    ----------
    times_s
        Of one call in seconds, shape (blocks, 2): a row holds both functions' of one block.
    calls
        How many calls a sample was, to be told.
    rng
        What the bootstrap draws from.
    """
    blocks = len(times_s)
    ratios = times_s[:, 0] / times_s[:, 1]
    resampled = np.median(ratios[rng.integers(0, blocks, (_RESAMPLES, blocks))], axis=1)
    low, high = np.quantile(resampled, [0.025, 0.975])
    a_median_s, b_median_s = np.median(times_s, axis=0)
    return Ratio(
        median=float(np.median(ratios)),
        low=float(low),
        high=float(high),
        a_median_s=float(a_median_s),
        b_median_s=float(b_median_s),
        blocks=blocks,
        calls=calls,
    )


def _sample_s(function: Callable[[], object], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        function()
    return time.perf_counter() - start


def _calls(function: Callable[[], object]) -> int:
    """Return how many calls fill a sample; the least of several guesses, as noise only adds."""
    for _ in range(3):
        function()
    once_s = min(_sample_s(function, 3) / 3 for _ in range(10))
    return max(1, round(SAMPLE_S / once_s))
