"""How sure a figure is: Student's intervals over visits, a bootstrap over launches, and outliers.

Consecutive rounds of a benchmark are not independent (caches, frequency, a neighbour that comes and
goes), and a visit is a little faster or slower as a whole. What is known of a median is therefore
what its visits say, one number each: the interval is Student's over the logarithms of their
medians (Student, 1908, "The probable error of a mean", Biometrika 6; Kalibera and Jones, 2013,
"Rigorous benchmarking in reasonable time", ISMM, for the levels). A bootstrap of so few units is
too narrow: of three it covers three quarters where it says 95 %. The many launches and pairs of a
gate are resampled, launches first, then pairs.
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
BLOCKS = 3
"""Stretches into which a single visit is cut: long ones, since its rounds hang together."""
MILD, SEVERE = 1.5, 3.0
"""Tukey's fences (Exploratory Data Analysis, 1977), in interquartile ranges off the quartiles."""


@dataclass(frozen=True)
class Interval:
    """An estimate and the interval that holds it with the confidence asked for.

    From 0 to infinity where there was too little to say, NaN where nothing was asked.
    """

    estimate: float
    low: float
    high: float

    @property
    def known(self) -> bool:
        """False where the samples do not say how sure the estimate is."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def ends(self) -> tuple[float, float] | tuple[None, None]:
        """Both ends, or None twice where they are not known: what a results file keeps."""
        return (self.low, self.high) if self.known else (None, None)


def median_interval(visits: Sequence[Sequence[float]], *, confidence: float = 0.95) -> Interval:
    """Return the median of all rounds, and the interval of the median that a visit has.

    Parameters
    ----------
    visits
        Seconds per call, one per round, a sequence for each separate visit. Not all empty.
    confidence
        Of the interval, between 0 and 1.

    Notes
    -----
    Student's interval over the logarithms of the visits' medians, made longer by what rounds that
    hang together have in common, and where it would not hold the median of all rounds. One visit
    only is cut into :data:`BLOCKS` stretches in their place; the interval then says nothing of how
    the next visit would differ. One number says nothing: its interval is from 0 to infinity.
    """
    kept = _arrays(visits)
    estimate = float(np.median(np.concatenate(kept)))
    spread = _Spread.of(kept, estimate)
    if spread is None:
        return Interval(estimate, 0.0, math.inf)
    return _holding(estimate, spread.centre, spread.error * _student(confidence, spread.freedom))


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


def paired_interval(ratios: Sequence[float], *, confidence: float = 0.95) -> Interval:
    """Return the typical ratio of two that were measured in turn, and its interval.

    Parameters
    ----------
    ratios
        One for each pair of neighbouring stretches. All above 0, not empty.
    confidence
        Of the interval, between 0 and 1.

    Notes
    -----
    The geometric mean, and Student's interval over the logarithms: what the machine does to both
    stretches of a pair is in neither, whatever it does from pair to pair. One pair says nothing:
    its interval is from 0 to infinity. Exchanging the sides gives the reciprocal.
    """
    logs = np.log(np.asarray(ratios, dtype=np.float64))
    estimate = math.exp(float(np.mean(logs)))
    if len(logs) < 2:
        return Interval(estimate, 0.0, math.inf)
    error = float(np.std(logs, ddof=1)) / math.sqrt(len(logs))
    return _holding(estimate, 0.0, error * _student(confidence, len(logs) - 1))


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
    Welch's interval (1947, "The generalization of 'Student's' problem when several different
    population variances are involved", Biometrika 34) of the difference of the means that
    :func:`median_interval` takes. Exchanging the sides gives the reciprocal ratio and ends. One
    number on a side says nothing: its interval is from 0 to infinity.

    What the machine did differently from one run to the other is not in the samples, hence not in
    the interval.
    """
    ratio, spread = _difference(base_visits, new_visits)
    if spread is None:
        return Interval(ratio, 0.0, math.inf)
    return _holding(ratio, spread.centre, spread.error * _student(confidence, spread.freedom))


def chance(base_visits: Sequence[Sequence[float]], new_visits: Sequence[Sequence[float]]) -> float:
    """Return how often two runs of the same would differ so much in time, or more.

    By the same assumptions as :func:`independent_ratio_interval`, whose interval of 95 % leaves out
    1 where this is below 5 %, unless only the ratio of all rounds' medians keeps 1 in it.
    """
    ratio, spread = _difference(base_visits, new_visits)
    if spread is None:
        return 1.0
    gap = abs(math.log(ratio) + spread.centre)
    if not spread.error:
        return 0.0 if gap else 1.0
    from scipy.special import stdtr  # noqa: PLC0415 - slow to import

    return float(2 * stdtr(spread.freedom, -gap / spread.error))


def believed(chances: Sequence[float], false_share: float = 0.05) -> float:
    """Return the largest of several chances that is no more than chance's own, or 0.

    Of all that are as small or smaller, no more than ``false_share`` are false on average (Y.
    Benjamini and Y. Hochberg, 1995, "Controlling the false discovery rate", Journal of the Royal
    Statistical Society B 57).
    """
    ordered = sorted(chances)
    kept = [p for i, p in enumerate(ordered, 1) if p <= false_share * i / len(ordered)]
    return max(kept, default=0.0)


def _difference(
    base_visits: Sequence[Sequence[float]], new_visits: Sequence[Sequence[float]]
) -> tuple[float, _Spread | None]:
    """Return the ratio of two medians, and how its logarithm is spread about that of the visits."""
    sides = _arrays(base_visits), _arrays(new_visits)
    base, new = (float(np.median(np.concatenate(side))) for side in sides)
    before, after = _Spread.of(sides[0], base), _Spread.of(sides[1], new)
    if before is None or after is None:
        return new / base, None
    error = math.hypot(before.error, after.error)
    shares = [((s.error / error) ** 4, s.freedom) for s in (before, after) if error] or [(1, 1)]
    freedom = 1 / sum(share / freedom for share, freedom in shares)
    return new / base, _Spread(after.centre - before.centre, error, freedom)


def log_medians(visits: Sequence[Sequence[float]]) -> tuple[float, Floats | None]:
    """Return the logarithm of the median of all rounds, and draws of how far it may be off.

    The draws are Student's, as :func:`median_interval` has them: for what is computed from several
    medians. None where there is one number only.
    """
    kept = _arrays(visits)
    pooled = np.concatenate(kept)
    estimate = float(np.median(pooled))
    spread = _Spread.of(kept, estimate)
    if spread is None:
        return math.log(estimate), None
    # Seeded by the samples: other cells draw otherwise.
    rng = np.random.default_rng(zlib.crc32(pooled.tobytes()))
    drawn = rng.standard_t(spread.freedom, RESAMPLES)
    off: Floats = spread.centre + spread.error * drawn
    return math.log(estimate), off


@dataclass(frozen=True)
class _Spread:
    """The mean of the logarithms of the visits' medians over an estimate, and how sure it is."""

    centre: float
    error: float
    freedom: float

    @classmethod
    def of(cls, visits: Sequence[Floats], estimate: float) -> _Spread | None:
        """Return that of some visits, or of the stretches of one; None of one number."""
        units = visits if len(visits) > 1 else np.array_split(visits[0], BLOCKS)
        medians = [np.median(unit) for unit in units if len(unit)]
        if len(medians) < 2:
            return None
        least = float(np.finfo(float).tiny)  # a clock may say 0: then little is known
        logs = np.log(np.maximum(medians, least) / max(estimate, least))
        own = float(np.var(logs, ddof=1)) / len(logs)
        whole = own + _shared_variance(units, estimate, least)
        # as Welch and Satterthwaite have it: of two parts, one of them known from many rounds
        freedom = (len(logs) - 1) * min(whole / own, 100.0) ** 2 if own else len(logs) - 1
        return cls(float(np.mean(logs)), math.sqrt(whole), freedom)


def _shared_variance(units: Sequence[Floats], estimate: float, least: float) -> float:
    """Return the covariance of the logarithms of two units, mean over all pairs of them.

    Rounds hang together, and the last of a visit with the first of the next. The visits' own spread
    shows none of that: what they have in common moves all of them. Under a first-order
    autoregression whose coefficient is estimated within the units (its bias is that of M. H.
    Quenouille, 1949, "Approximate tests of correlation in time-series", Journal of the Royal
    Statistical Society B 11), with no time from one unit to the next: where there is some, the
    interval is longer than it need be.
    """
    rounds = sum(map(len, units)) / len(units)
    # over the estimate, as the medians are: another unit changes nothing
    ratios = [np.maximum(unit, least) / max(estimate, least) for unit in units if len(unit) > 2]
    off = [np.log(one) for one in ratios]
    off = [unit - unit.mean() for unit in off]
    total = float(sum(np.sum(unit**2) for unit in off))
    if rounds < 8 or not total > 1e-24 or not math.isfinite(total):  # rounding is no spread
        return 0.0
    lagged = float(sum(np.sum(unit[1:] * unit[:-1]) for unit in off)) / total
    hang = min(max((lagged + 1 / rounds) / (1 - 4 / rounds), 0.0), 0.99)
    if not hang:
        return 0.0
    lags = np.arange(1, int(rounds))
    of_mean = (1 + 2 * float(np.sum((1 - lags / rounds) * hang**lags))) / rounds
    variance = total / sum(map(len, off)) / max(1 - of_mean, 0.1)
    apart = np.arange(1, len(units))  # units between two, with how many pairs there are
    pairs = (len(units) - apart) / math.comb(len(units), 2)
    common = hang ** (rounds * (apart - 1) + 1) * ((1 - hang**rounds) / (1 - hang) / rounds) ** 2
    return variance * float(np.sum(pairs * common))


def _arrays(visits: Sequence[Sequence[float]]) -> list[Floats]:
    return [np.asarray(visit, dtype=np.float64) for visit in visits if len(visit)]


def _student(confidence: float, freedom: float) -> float:
    """Return how many standard errors on either side make an interval."""
    from scipy.special import stdtrit  # noqa: PLC0415 - slow to import

    return float(stdtrit(freedom, (1 + confidence) / 2))


def _holding(estimate: float, centre: float, half: float) -> Interval:
    """Return the interval of logarithms over the estimate, so long that it holds that."""
    with np.errstate(over="ignore"):
        low, high = np.exp(min(centre - half, 0.0)), np.exp(max(centre + half, 0.0))
    return Interval(estimate, estimate * float(low), estimate * float(high))


def _around(estimate: float, resampled: Floats, confidence: float) -> Interval:
    low, high = np.quantile(resampled, _tails(confidence))
    return Interval(estimate, min(float(low), estimate), max(float(high), estimate))


def _tails(confidence: float) -> tuple[float, float]:
    return (1 - confidence) / 2, (1 + confidence) / 2


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
