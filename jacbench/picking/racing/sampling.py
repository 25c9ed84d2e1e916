"""Timing one candidate for a moment, on its own bench; one that fails then is lost."""

from __future__ import annotations

import math
import statistics

from jacbench.picking.racing.candidates import Known
from jacbench.workers.lost import LostError

SAMPLE_S = 1.5e-3
"""What one sample lasts, seconds: long against the clock, short against the machine's moods."""
REPEATS = 3
"""Samples in a block, after one call to warm up; their median counts."""
STRETCH_S = 0.05
"""What a stretch of samples lasts, seconds."""
SLOW_S = 0.1
"""A call that takes longer is made once a stretch, after one to warm up."""


def block(known: Known) -> float:
    """Return the time of a call by a few samples, seconds; infinity where it is lost."""
    iterations = max(1, round(SAMPLE_S / max(known.call_s or SAMPLE_S, 1e-9)))
    repeats = 1 if (known.call_s or 0.0) > 10 * SAMPLE_S else REPEATS
    try:
        seconds = statistics.median(known.bench.block(known.candidate, repeats, iterations))
    except LostError as exc:
        known.lose(exc)
        return math.inf
    known.call_s = min(known.call_s or seconds, seconds)
    return seconds


def block_s(known: Known) -> float:
    """Return what a block of it will take, seconds: where it is slow, two calls."""
    call_s = known.call_s or SAMPLE_S
    return (
        known.again_s
        + call_s
        + (call_s if call_s > 10 * SAMPLE_S else REPEATS * max(call_s, SAMPLE_S))
    )


def stretch(known: Known) -> list[float]:
    """Return the times of a call by as many samples as a stretch has; none where it is lost."""
    call_s = max(known.call_s or SAMPLE_S, 1e-9)
    iterations = max(1, round(2 * SAMPLE_S / call_s))
    least = 1 if call_s > SLOW_S else 2
    repeats = max(least, int(STRETCH_S / (iterations * call_s)))
    try:
        return list(known.bench.block(known.candidate, repeats, iterations))
    except LostError as exc:
        known.lose(exc)
        return []
