"""What became of one cell between two runs: outcome, figures, and what to read beside them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from statistics import NormalDist

from jacbench.comparing.sides import Entry
from jacbench.core.cell import Cell, CellResult, Verdict
from jacbench.measuring import statistics
from jacbench.results.policy import Limits

MIN_ROUNDS = 5
"""Rounds on either side below which a ratio has no interval: chance orders three against three."""
NORMAL_95 = 1.96
"""Standard errors on either side of a normal estimate that make its 95 % interval."""
MEDIAN_ERROR = 0.93
"""Standard error of a median in IQR/√n, of normal samples: √(π/2) / 1.349 (McGill, Tukey and
Larsen, 1978, "Variations of box plots", The American Statistician 32)."""


class Outcome(StrEnum):
    """What became of one cell between two runs, in the order of a table's rows."""

    BECAME_WRONG = "became wrong"
    ONLY_IN_BASE = "only in base"
    """It vanished: it is not in the new run, was not run there, or has no answer any more."""
    SLOWER = "slower"
    EDITED = "edited"
    """Its problem or its method is another one: a time beside the old one would mislead."""
    TREND = "trend"
    """Measured on another machine or with other settings."""
    ONLY_IN_NEW = "only in new"
    BECAME_RIGHT = "became right"
    FASTER = "faster"
    INCONCLUSIVE = "inconclusive"
    NEITHER = "neither"
    """No time on either side."""
    SAME = "same"


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """One figure of a cell on both sides.

    Attributes
    ----------
    base, new
        In seconds or bytes; an error has no unit. None where a side has none.
    ratio
        New over base; None where there is none.
    low, high
        Ends of the ratio's 95 % interval, of a time.
    limit
        The largest ratio that the policy allows.
    violated
        True where it is beyond the limit, and counts.
    chance
        Of a time: how often two runs of the same would differ so much.
    """

    base: float | None = None
    new: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    limit: float
    violated: bool = False
    chance: float | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """One cell of a comparison.

    Attributes
    ----------
    name
        The cell's key, or the full name of a plain benchmark.
    cell
        The cell; None for a plain benchmark.
    outcome
        What became of it.
    base_verdict, new_verdict
        None on a side that does not have the cell, and for plain benchmarks.
    time, preparation, memory, error
        The figures.
    edited
        ``problem`` and ``method``, where their sources are not the same.
    trend
        Why the times cannot be compared, ``other CPU``; None where they can.
    ignored
        True where the policy says so: told, never a violation.
    notes
        What is worth reading beside the figures, a line each.
    """

    name: str
    cell: Cell | None
    outcome: Outcome
    base_verdict: Verdict | None
    new_verdict: Verdict | None
    time: Quantity
    preparation: Quantity
    memory: Quantity
    error: Quantity
    edited: tuple[str, ...] = ()
    trend: str | None = None
    ignored: bool = False
    notes: tuple[str, ...] = ()

    @property
    def fails(self) -> bool:
        """Say whether this cell makes the exit status 1: it became wrong, or is beyond a limit."""
        return not self.ignored and (self.outcome is Outcome.BECAME_WRONG or bool(self.beyond))

    @property
    def beyond(self) -> tuple[str, ...]:
        """Names of the quantities beyond their limits."""
        quantities = ("time", "preparation", "memory", "error")
        return tuple(name for name in quantities if getattr(self, name).violated)

    @property
    def listed(self) -> bool:
        """Say whether the row is worth showing where not all are asked for."""
        quiet = self.outcome in (Outcome.SAME, Outcome.NEITHER)
        return not quiet or bool(self.beyond) or self.base_verdict != self.new_verdict


_WRONG = (*(verdict for verdict in Verdict if verdict.is_fault), Verdict.KNOWN_FAULT)
_TOLD = (Outcome.SLOWER, Outcome.FASTER, Outcome.INCONCLUSIVE)
"""Outcomes beside which the cautions of either side are repeated."""


def change(base: Entry | None, new: Entry | None, limits: Limits, trend: str | None) -> Row:
    """Return what became of a cell.

    Parameters
    ----------
    base, new
        The cell on either side; None where it is not there, but not on both.
    limits
        What the policy allows it.
    trend
        Why the runs' times cannot be compared; None where they can.
    """
    entry = new or base
    assert entry is not None  # noqa: S101 - as the parameters say
    edited = _edited(base, new)
    trend = f"{' and '.join(edited)} edited" if edited else _other_chunks(base, new) or trend
    outcome = _judged(base, new, trend)
    answered = outcome is None
    counts = answered and trend is None and not limits.ignore
    time, notes = _time(base, new, limits)
    if outcome is None:
        outcome = _timed(time, limits.time, edited=bool(edited), trend=trend)
    if counts and outcome is Outcome.SLOWER:
        time = replace(time, violated=True)
    checked = entry.result is not None

    def error_exceeded(before: float, after: float) -> bool:
        return limits.error_exceeded(before, after, _figure(new, "tolerance"))

    return Row(
        name=entry.name,
        cell=entry.cell if checked else None,
        outcome=outcome,
        base_verdict=base.verdict if base and checked else None,
        new_verdict=new.verdict if new and checked else None,
        time=time,
        preparation=_quantity(
            *(base, new, "prepare_s", limits.preparation),
            limits.preparation_exceeded if counts else None,
        ),
        memory=_quantity(
            base, new, "peak_bytes", limits.memory, limits.memory_exceeded if counts else None
        ),
        error=_quantity(base, new, "error", limits.error, error_exceeded if counts else None),
        edited=edited,
        trend=trend if base and new else None,
        ignored=limits.ignore,
        notes=(
            *_verdicts(base, new),
            *(notes if answered else ()),
            *(_cautions(base, new) if outcome in _TOLD else ()),
        ),
    )


def _judged(base: Entry | None, new: Entry | None, trend: str | None) -> Outcome | None:
    """Return the outcome that verdicts alone decide; None where both sides have an answer."""
    if new is None or new.verdict is Verdict.NOT_RUN:
        missing = base is None or base.verdict is Verdict.NOT_RUN
        return Outcome.NEITHER if missing else Outcome.ONLY_IN_BASE
    if base is None or base.verdict is Verdict.NOT_RUN:
        return Outcome.ONLY_IN_NEW
    before, after = base.verdict, new.verdict
    if after is Verdict.TIMED_OUT and before is Verdict.AGREES and trend is not None:
        return Outcome.ONLY_IN_BASE  # it takes longer, on what may be a slower machine
    if after.is_fault and not before.is_fault:
        return Outcome.BECAME_WRONG
    if after is Verdict.KNOWN_FAULT and before is Verdict.AGREES:
        return Outcome.BECAME_WRONG
    if after is Verdict.AGREES:
        if before is Verdict.AGREES:
            return None
        return Outcome.BECAME_RIGHT if before in _WRONG else Outcome.ONLY_IN_NEW
    return Outcome.ONLY_IN_BASE if before is Verdict.AGREES else Outcome.NEITHER


def _timed(time: Quantity, limit: float, *, edited: bool, trend: str | None) -> Outcome:
    """Return the outcome that the times of two answers decide."""
    if time.base is None and time.new is None:
        return Outcome.EDITED if edited else Outcome.NEITHER
    if trend is not None:
        return Outcome.EDITED if edited else Outcome.TREND
    if time.ratio is None or time.low is None or time.high is None:
        return Outcome.INCONCLUSIVE
    if time.ratio > limit and time.low > 1:
        return Outcome.SLOWER
    if time.ratio < 1 / limit and time.high < 1:
        return Outcome.FASTER
    within = 1 / limit <= time.low and time.high <= limit
    return Outcome.SAME if within else Outcome.INCONCLUSIVE


# Figures


def _time(base: Entry | None, new: Entry | None, limits: Limits) -> tuple[Quantity, list[str]]:
    """Return the times, the interval of their ratio, and what is to be said of it."""
    before, after = _median(base), _median(new)
    found = Quantity(base=before, new=after, ratio=_ratio(before, after), limit=limits.time)
    if base is None or new is None or (before is None and after is None):
        return found, []
    if before is None or after is None:
        return found, [f"no time in {'base' if before is None else 'new'}"]
    rounds = min(_rounds(base), _rounds(new))
    if rounds < MIN_ROUNDS:
        return found, [f"only {rounds} rounds" if rounds else "number of rounds not known"]
    sampled = base.visits and new.visits
    interval = _by_visits(base, new) if sampled else _by_spread(base, new, found.ratio)
    if interval is None:
        return found, ["no interval: its samples cannot be a time's"]
    notes = [] if sampled else ["interval from interquartile ranges: no samples on one side"]
    ratio, low, high, chance = interval
    return replace(found, ratio=ratio, low=low, high=high, chance=chance), notes


def _median(entry: Entry | None) -> float | None:
    """Return the time of one call, where a file holds one that can be."""
    return entry.median_s if entry is not None and (entry.median_s or 0.0) > 0 else None


def _rounds(entry: Entry) -> int:
    return sum(map(len, entry.visits)) if entry.visits else int(entry.rounds or 0)


_Ratio = tuple[float, float, float, float]
"""A ratio, the ends of its interval, and how often two runs of the same would differ so much."""


def _by_visits(base: Entry, new: Entry) -> _Ratio | None:
    if min(min(map(min, entry.visits)) for entry in (base, new)) <= 0:
        return None
    try:
        found = statistics.independent_ratio_interval(base.visits, new.visits)
    except OverflowError:
        return None
    if not (found.known and 0 < found.estimate < math.inf):
        return None
    return found.estimate, found.low, found.high, statistics.chance(base.visits, new.visits)


def _by_spread(base: Entry, new: Entry, ratio: float | None) -> _Ratio | None:
    """Return the ratio and its interval as if rounds were independent and normal."""
    squares = 0.0
    for entry in (base, new):
        rounds, median, iqr = _rounds(entry), _median(entry), entry.iqr_s
        if not iqr or median is None:
            return None  # a spread of zero is a clock's, and no certainty
        squares += (MEDIAN_ERROR * iqr / median) ** 2 / rounds
    if ratio is None:
        return None
    error = math.sqrt(squares)
    try:
        factor = math.exp(NORMAL_95 * error)
    except OverflowError:
        return None
    chance = 2 * NormalDist().cdf(-abs(math.log(ratio)) / error) if ratio else 1.0
    return ratio, ratio / factor, ratio * factor, chance


def _quantity(
    base: Entry | None,
    new: Entry | None,
    name: str,
    limit: float,
    exceeded: Callable[[float, float], bool] | None,
) -> Quantity:
    """Return a figure of both sides; it is held against its limit where ``exceeded`` is given."""
    before, after = _figure(base, name), _figure(new, name)
    return Quantity(
        base=before,
        new=after,
        ratio=_ratio(before, after),
        limit=limit,
        violated=before is not None
        and after is not None
        and exceeded is not None
        and exceeded(before, after),
    )


def _figure(entry: Entry | None, name: str) -> float | None:
    value = None if entry is None or entry.result is None else getattr(entry.result, name)
    return None if value is None else float(value)


def _ratio(base: float | None, new: float | None) -> float | None:
    if not base or new is None:
        return None
    ratio = new / base
    return ratio if math.isfinite(ratio) else None


# What to read beside the figures


def _edited(base: Entry | None, new: Entry | None) -> tuple[str, ...]:
    """Return whether the sources of the problem and of the method are other ones."""
    if base is None or new is None or base.result is None or new.result is None:
        return ()
    one, other = base.result, new.result
    found = {
        "problem": ((one.problem_hash, one.m, one.n), (other.problem_hash, other.m, other.n)),
        "method": ((one.method_hash,), (other.method_hash,)),
    }
    return tuple(
        part
        for part, sides in found.items()
        # What either does not know is no difference.
        if any(a != b for a, b in zip(*sides, strict=True) if None not in (a, b))
    )


def _other_chunks(base: Entry | None, new: Entry | None) -> str | None:
    if base is None or new is None or base.result is None or new.result is None:
        return None
    return "other chunk size" if base.result.chunk_size != new.result.chunk_size else None


def _verdicts(base: Entry | None, new: Entry | None) -> Iterator[str]:
    """Tell a verdict that is another one than before, or a fault of a new cell, and why."""
    before = None if base is None else base.result
    after = None if new is None else new.result
    if after is None:
        return
    if before is None:
        if after.verdict in _WRONG:
            yield _because(after)
    elif before.verdict is not after.verdict:
        yield f"{before.verdict} → {_because(after)}"


def _because(result: CellResult) -> str:
    return f"{result.verdict}: {result.reason}" if result.reason else str(result.verdict)


def _cautions(base: Entry | None, new: Entry | None) -> Iterator[str]:
    for side, entry in (("base", base), ("new", new)):
        if entry is not None and entry.result is not None:
            for caution in entry.result.cautions:
                yield f"{side}: {caution}"
