"""What the gate says of one cell, and of all of them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from jacbench.core.cell import Cell, CellResult, Verdict
from jacbench.gating.decision import Decision, State, decide
from jacbench.gating.record import Record, ratios
from jacbench.gating.settings import PREPARATION_FLOOR_S
from jacbench.measuring.memory import format_size
from jacbench.measuring.statistics import Interval
from jacbench.results.policy import Limits


class Outcome(StrEnum):
    """What became of a cell between base and head; in the order of what matters."""

    WRONG = "became wrong"
    REGRESSION = "regression"
    GONE = "only in base"
    INCONCLUSIVE = "inconclusive"
    IGNORED = "ignored"
    """Wrong or slower, but the policy says to ignore it."""
    RIGHT = "became right"
    FASTER = "faster"
    NEW = "only in head"
    PASS = "pass"  # noqa: S105 - not a password
    NEITHER = "not compared"
    """Neither side agrees: there is nothing to compare."""

    @property
    def fails(self) -> bool:
        """Say whether it makes the gate's exit status 1."""
        return self in (Outcome.WRONG, Outcome.REGRESSION)


@dataclass(frozen=True)
class Judged:
    """One cell's outcome.

    Attributes
    ----------
    cell
        The cell.
    outcome
        What became of it.
    reason
        One line where there is something to say.
    base, head
        What each side's workers said; None on the side that has no such cell.
    base_s, head_s
        Median time of a call, seconds, without what was spent waiting for a core.
    time, preparation
        Decisions; None where nothing was measured or, for the preparation, nothing judged.
    base_prepare_s, head_prepare_s
        Median time of the preparation, seconds.
    base_peak, head_peak
        Median peak memory of a call, bytes.
    cautions
        Why the figures are to be read with care.
    head_samples
        Seconds a call of each sample of head.
    """

    cell: Cell
    outcome: Outcome
    reason: str | None = None
    base: CellResult | None = None
    head: CellResult | None = None
    base_s: float | None = None
    head_s: float | None = None
    time: Decision | None = None
    preparation: Decision | None = None
    base_prepare_s: float | None = None
    head_prepare_s: float | None = None
    base_peak: int | None = None
    head_peak: int | None = None
    cautions: tuple[str, ...] = ()
    head_samples: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return one object: the cell's fields, the outcome, what each side gave, the ratios."""
        return {
            **vars(self.cell),
            "outcome": str(self.outcome),
            "reason": self.reason,
            "base": _side(self.base, self.base_s, self.base_prepare_s, self.base_peak),
            "head": _side(self.head, self.head_s, self.head_prepare_s, self.head_peak),
            "time": _decision(self.time),
            "preparation": _decision(self.preparation),
            "cautions": list(self.cautions),
        }


def _side(
    result: CellResult | None, median_s: float | None, prepare_s: float | None, peak: int | None
) -> dict[str, Any] | None:
    if result is None:
        return None
    return {
        "verdict": str(result.verdict),
        "reason": result.reason,
        "error": result.error,
        "median_s": median_s,
        "prepare_s": prepare_s,
        "peak_bytes": peak,
    }


def _decision(decision: Decision | None) -> dict[str, Any] | None:
    if decision is None:
        return None
    ratio = decision.ratio
    return {
        "state": str(decision.state),
        "ratio": ratio.estimate,
        "low": ratio.low,
        "high": ratio.high,
        "pairs": decision.pairs,
    }


def time_decision(record: Record, limits: Limits, seed: int) -> Decision | None:
    """Return what the blocks say; None where there are none."""
    found = ratios(record.blocks)
    return decide(found, limits.time, seed=seed) if record.timed and found else None


def preparation_decision(record: Record, limits: Limits, seed: int) -> Decision | None:
    """Return what the preparations say; None where they are too short to be judged."""
    pairs = [pair for launch in record.preparations for pair in launch]
    if not record.timed or not pairs:
        return None
    longer = max(
        statistics.median(pair.base_s for pair in pairs),
        statistics.median(pair.head_s for pair in pairs),
    )
    if longer < PREPARATION_FLOOR_S:
        return None
    return decide(ratios(record.preparations), limits.preparation, seed=seed)


def memory_regression(record: Record, limits: Limits) -> str | None:
    """Return how much more memory head needs in every launch, or None where it does not."""
    pairs = list(zip(record.peaks["base"], record.peaks["head"], strict=False))
    worse = [limits.memory_exceeded(base, head) for base, head in pairs]
    if not pairs or not all(worse):
        return None
    base, head = (statistics.median(peaks) for peaks in zip(*pairs, strict=True))
    return f"needs {format_size(head)} of memory where base needs {format_size(base)}"


def verdict_outcome(record: Record) -> tuple[Outcome, str | None] | None:
    """Return what the verdicts of both sides say; None where both agree."""
    base, head = (record.results.get(name) for name in ("base", "head"))
    if base is None or head is None:
        return Outcome.INCONCLUSIVE, "the time limit left it no turn"
    if base.verdict is Verdict.AGREES and head.verdict is Verdict.AGREES:
        return None
    told = f"{head.verdict}: {head.reason}"
    if base.verdict is Verdict.AGREES:
        if head.verdict is Verdict.UNSUPPORTED:
            return Outcome.GONE, told
        return Outcome.WRONG, told
    if head.verdict is Verdict.AGREES:
        return Outcome.RIGHT, f"base: {base.verdict}: {base.reason}"
    same = base.verdict is head.verdict
    if head.verdict.is_fault and not base.verdict.is_fault:
        return Outcome.WRONG, f"{told} (base: {base.verdict})"
    return Outcome.NEITHER, told if same else f"{told} (base: {base.verdict})"


def state_of(decisions: Iterable[Decision | None]) -> State:
    """Return the worst of several decisions."""
    states = {decision.state for decision in decisions if decision is not None}
    for state in (State.REGRESSION, State.INCONCLUSIVE):
        if state in states:
            return state
    return State.PASS


def counted(judged: Iterable[Judged]) -> Mapping[Outcome, int]:
    """Return how many cells have which outcome, those that none has left out."""
    counts = dict.fromkeys(Outcome, 0)
    for one in judged:
        counts[one.outcome] += 1
    return {outcome: count for outcome, count in counts.items() if count}


def flat(interval: Interval) -> str:
    """Return a ratio and its interval, ``1.083 (1.071 to 1.094)``."""
    return f"{interval.estimate:.3f} ({interval.low:.3f} to {interval.high:.3f})"
