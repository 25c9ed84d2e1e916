"""How sure a figure is: intervals by block bootstrap, and outliers by class.

Consecutive rounds of a benchmark are not independent (caches, frequency, a neighbour that comes and
goes), so that whole stretches are resampled, never single rounds: first the visits (or launches of
a process), then blocks of neighbouring rounds within each (Künsch, 1989, "The jackknife and the
bootstrap for general stationary observations", Annals of Statistics 17; Kalibera and Jones, 2013,
"Rigorous benchmarking in reasonable time", ISMM, for the levels).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

RESAMPLES = 2000
"""Resamples behind an interval: its ends move by about 2 % of its width from seed to seed."""
MANY = 10_000
"""Samples of one side beyond which a ratio's interval takes every second, third, ... of them."""
MILD, SEVERE = 1.5, 3.0
"""Tukey's fences (Exploratory Data Analysis, 1977), in interquartile ranges off the quartiles."""


@dataclass(frozen=True)
class Interval:
    """An estimate and the interval that holds it with the confidence asked for."""

    estimate: float
    low: float
    high: float


def median_interval(
    visits: Sequence[Sequence[float]], *, confidence: float = 0.95, seed: int = 0
) -> Interval:
    """Return the median of all rounds and its interval.

    Parameters
    ----------
    visits
        Seconds per call, one per round, a sequence for each separate visit. Not all empty.
    confidence
        Of the interval, between 0 and 1.
    seed
        Of the resampling: the same samples give the same interval.

    Notes
    -----
    Visits are resampled first, then blocks of about the square root of a visit's rounds in each
    drawn visit. With one visit only its blocks are; the interval then says nothing of how the next
    visit would differ.
    """
    kept = [np.asarray(visit, dtype=np.float64) for visit in visits if len(visit)]
    pooled = np.concatenate(kept)
    estimate = float(np.median(pooled))
    medians, _ = _resampled_medians(kept, pooled, seed)
    return _around(estimate, medians, confidence)


def ratio_interval(
    launches: Sequence[Sequence[float]], *, confidence: float = 0.99, seed: int = 0
) -> Interval:
    """Return the median of paired ratios and its interval.

    Parameters
    ----------
    launches
        Ratios, one for each pair of neighbouring blocks, a sequence for each launch of the pair of
        processes. All above 0, not all empty.
    confidence
        Of the interval, between 0 and 1.
    seed
        Of the resampling.

    Notes
    -----
    Launches are resampled first: addresses, hash seeds and the like make each process a little
    faster or slower for all of its life. Then pairs within each drawn launch.
    """
    kept = [np.asarray(launch, dtype=np.float64) for launch in launches if len(launch)]
    pooled = np.concatenate(kept)
    estimate = float(np.median(pooled))
    counts = _drawn_blocks([len(launch) for launch in kept], seed)
    order = np.argsort(pooled, kind="stable")
    return _around(estimate, _weighted_medians(pooled[order], counts[:, order]), confidence)


def independent_ratio_interval(
    base_visits: Sequence[Sequence[float]],
    new_visits: Sequence[Sequence[float]],
    *,
    confidence: float = 0.95,
) -> Interval:
    """Return the ratio of the medians of two runs, new over base, and its interval.

    Parameters
    ----------
    base_visits, new_visits
        Seconds per call, one per round, a sequence for each separate visit. All above 0, neither
        side all empty.
    confidence
        Of the interval, between 0 and 1.

    Notes
    -----
    Visits and blocks of each side are resampled as in :func:`median_interval`, independently of
    the other side. A bootstrap of u units gives a variance that is too small by (u - 1)/u, which
    matters where u is 3: the logarithms of each side's medians are spread by √(u / (u - 1))
    (narrowness bias in Hesterberg, 2015, "What teachers should know about the bootstrap", The
    American Statistician 69). One unit says nothing: its interval is from 0 to infinity. Exchanging
    the sides gives the reciprocal ratio and ends.

    What the machine did differently from one run to the other is not in the samples, hence not in
    the interval.
    """
    (base, base_off), (new, new_off) = map(log_medians, (base_visits, new_visits))
    ratio = math.exp(new - base)
    if base_off is None or new_off is None:
        return Interval(ratio, 0.0, math.inf)
    low, high = np.quantile(new_off - base_off, _tails(confidence))
    return Interval(ratio, ratio * math.exp(min(low, 0.0)), ratio * math.exp(max(high, 0.0)))


def log_medians(visits: Sequence[Sequence[float]]) -> tuple[float, Floats | None]:
    """Return the logarithm of the median of all rounds, and how far each resample's is off it."""
    step = -(-sum(map(len, visits)) // MANY)
    kept = [np.asarray(visit[::step], dtype=np.float64) for visit in visits if len(visit)]
    pooled = np.concatenate(kept)
    # Seeded by the samples: the draws do not depend on which side they stand on.
    medians, sizes = _resampled_medians(kept, pooled, zlib.crc32(pooled.tobytes()))
    estimate = math.log(np.median(pooled))
    units = len(kept) if len(kept) > 1 else sizes[0]
    if units == 1:
        return estimate, None
    off: Floats = (np.log(medians) - estimate) * math.sqrt(units / (units - 1))
    return estimate, off


def _resampled_medians(
    visits: Sequence[Floats], pooled: Floats, seed: int
) -> tuple[Floats, list[int]]:
    """Return the median of each resample, visits first, then blocks; and the blocks of each."""
    blocks = [_block_of_each(len(visit)) for visit in visits]
    sizes = [int(ids[-1]) + 1 for ids in blocks]
    drawn = _drawn_blocks(sizes, seed)
    starts = np.cumsum([0, *sizes])
    owner = np.concatenate([ids + start for ids, start in zip(blocks, starts, strict=False)])
    order = np.argsort(pooled, kind="stable")
    return _weighted_medians(pooled[order], drawn[:, owner[order]]), sizes


def _around(estimate: float, resampled: Floats, confidence: float) -> Interval:
    low, high = np.quantile(resampled, _tails(confidence))
    return Interval(estimate, min(float(low), estimate), max(float(high), estimate))


def _tails(confidence: float) -> tuple[float, float]:
    return (1 - confidence) / 2, (1 + confidence) / 2


def _block_of_each(rounds: int) -> npt.NDArray[np.intp]:
    """Return the block that each round of a visit belongs to: about √rounds of as many rounds."""
    size = max(1, math.isqrt(rounds))
    return np.arange(rounds) // size


def _drawn_blocks(sizes: Sequence[int], seed: int) -> npt.NDArray[np.int64]:
    """Return how often each block is drawn in each resample, groups first, then blocks in each.

    ``sizes`` are the numbers of blocks of each group; the result has a column for each block.
    """
    rng = np.random.default_rng(seed)
    times = rng.multinomial(len(sizes), [1 / len(sizes)] * len(sizes), size=RESAMPLES)
    return np.concatenate(
        [rng.multinomial(times[:, i] * size, [1 / size] * size) for i, size in enumerate(sizes)],
        axis=1,
    )


def _weighted_medians(ordered: Floats, weights: npt.NDArray[np.int64]) -> Floats:
    """Return the median of each resample of ``ordered`` values, given how often each is drawn."""
    reached = np.cumsum(weights, axis=1)
    total = reached[:, -1:]
    lower = ordered[np.argmax(reached >= np.ceil(total / 2), axis=1)]
    upper = ordered[np.argmax(reached >= np.floor(total / 2) + 1, axis=1)]
    middle: Floats = (lower + upper) / 2
    return middle


def outliers(samples: Sequence[float]) -> dict[str, int]:
    """Count the samples beyond Tukey's fences by class; a class without any is left out.

    ``low_severe`` and ``high_severe`` lie more than three interquartile ranges off the quartiles,
    ``low_mild`` and ``high_mild`` more than one and a half.
    """
    values = np.asarray(samples, dtype=np.float64)
    if values.size < 4:
        return {}
    first, third = np.quantile(values, (0.25, 0.75))
    mild, severe = MILD * (third - first), SEVERE * (third - first)
    counts = {
        "low_severe": int(np.sum(values < first - severe)),
        "low_mild": int(np.sum((values >= first - severe) & (values < first - mild))),
        "high_mild": int(np.sum((values > third + mild) & (values <= third + severe))),
        "high_severe": int(np.sum(values > third + severe)),
    }
    return {name: count for name, count in counts.items() if count}


def proportion_interval(hits: int, trials: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's interval of a proportion (1927, JASA 22): sound for 0 of n too."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    rate, share = hits / trials, z * z / trials
    centre = (rate + share / 2) / (1 + share)
    half = z / (1 + share) * math.sqrt(rate * (1 - rate) / trials + share / (4 * trials))
    return max(0.0, centre - half), min(1.0, centre + half)
