"""From what both stages found to one outcome, with the figures that stand behind it."""

from __future__ import annotations

import statistics
from collections.abc import Iterable

from jacbench.gating.decision import Decision, State, decide
from jacbench.gating.outcome import Judged, Outcome, flat, verdict_outcome
from jacbench.gating.record import SIDES, Pair, Record, Subject, each_pair, ratios
from jacbench.gating.stages import Finding
from jacbench.results.policy import Limits

UNCONFIRMED = "fresh workers did not say so again"
SAID_ONCE = "the first workers did not say so"
NO_TIME = "no time was left to confirm it in fresh workers"
BUSY = 0.1
"""Share of the wall time spent waiting for a core from which the machine counts as busy."""


def judged(subject: Subject, first: Finding, second: Finding | None, limits: Limits) -> Judged:
    """Return the outcome of a subject.

    What the first stage suspects counts only where the second, in fresh workers, finds it again.
    """
    if second is not None and len(second.record.results) < len(SIDES):
        second = None  # it ended before this subject had its turn
    outcome, reason = _outcome(first, second)
    if outcome.fails and limits.ignore:
        outcome, reason = Outcome.IGNORED, f"{outcome}, which the policy ignores: {reason}"
    shown = first if second is None else _together(first, second, limits)
    record = shown.record
    base, head = (record.results.get(name) for name in SIDES)
    return Judged(
        cell=subject.cell,
        outcome=outcome,
        reason=reason,
        base=base,
        head=head,
        base_s=record.median_s("base"),
        head_s=record.median_s("head"),
        time=shown.time,
        preparation=shown.preparation,
        base_prepare_s=_median(pair.base_s for pair in each_pair(record.preparations)),
        head_prepare_s=_median(pair.head_s for pair in each_pair(record.preparations)),
        base_peak=_whole(record.peaks["base"]),
        head_peak=_whole(record.peaks["head"]),
        cautions=_cautions(record),
        head_samples=tuple(record.samples["head"]),
    )


def _outcome(first: Finding, second: Finding | None) -> tuple[Outcome, str | None]:
    told = verdict_outcome(first.record)
    if told is not None:
        if told[0] is not Outcome.WRONG:
            return told
        if second is None:
            return told
        again = verdict_outcome(second.record)
        if again is not None and again[0] is Outcome.WRONG:
            return told
        return Outcome.INCONCLUSIVE, f"head: {told[1]}; {UNCONFIRMED}"
    if second is not None and (later := verdict_outcome(second.record)) is not None:
        if later[0] is Outcome.WRONG:
            return Outcome.INCONCLUSIVE, f"head: {later[1]}; {SAID_ONCE}"
        return later
    slower = _regressions(first)
    if slower:
        confirmed = [] if second is None else _regressions(second)
        both = [(what, text) for what, text in confirmed if what in dict(slower)]
        if both:
            return Outcome.REGRESSION, "; ".join(text for _, text in both)
        asked = second is not None and any(second.record.blocks)
        why = UNCONFIRMED if asked else NO_TIME
        return Outcome.INCONCLUSIVE, f"{'; '.join(text for _, text in slower)}; {why}"
    for name, decision in (("time", first.time), ("preparation", first.preparation)):
        if decision is not None and decision.state is State.INCONCLUSIVE:
            return Outcome.INCONCLUSIVE, f"{name} x {flat(decision.ratio)}"
    if first.time is None:
        return Outcome.INCONCLUSIVE, "the time limit left it no turn"
    return (Outcome.FASTER if first.time.faster else Outcome.PASS), None


def _regressions(finding: Finding) -> list[tuple[str, str]]:
    """Return what got worse, each with its figures."""
    found = [
        (name, f"{name} x {flat(decision.ratio)}")
        for name, decision in (("time", finding.time), ("preparation", finding.preparation))
        if decision is not None and decision.state is State.REGRESSION
    ]
    return found + ([] if finding.memory is None else [("memory", finding.memory)])


def _together(first: Finding, second: Finding, limits: Limits) -> Finding:
    """Return both stages' measurements as one, for the figures that are shown."""
    record = Record(
        dict(first.record.results),
        [*first.record.blocks, *second.record.blocks],
        [*first.record.preparations, *second.record.preparations],
        {name: [*first.record.peaks[name], *second.record.peaks[name]] for name in SIDES},
        {name: [*first.record.samples[name], *second.record.samples[name]] for name in SIDES},
        {
            name: [
                a + b
                for a, b in zip(first.record.busy[name], second.record.busy[name], strict=True)
            ]
            for name in SIDES
        },
        first.record.call_s,
        {**first.record.probes, **second.record.probes},
    )
    for name, result in second.record.results.items():
        record.keep(name, result)
    preparation = None
    if first.preparation is not None or second.preparation is not None:
        preparation = _again(record.preparations, limits.preparation)
    return Finding(record, _again(record.blocks, limits.time), preparation, first.memory)


def _again(launches: list[list[Pair]], limit: float) -> Decision | None:
    found = ratios(launches)
    return decide(found, limit) if found else None


def _median(values: Iterable[float]) -> float | None:
    found = list(values)
    return statistics.median(found) if found else None


def _whole(values: list[int]) -> int | None:
    return round(statistics.median(values)) if values else None


def _cautions(record: Record) -> tuple[str, ...]:
    """Return why the figures are to be read with care."""
    told = []
    if record.waited() > BUSY:
        told.append(
            f"the machine was busy: {record.waited():.0%} of the time was spent waiting for a "
            "core, which is not in the figures"
        )
    base, head = record.cores("base"), record.cores("head")
    if base and head and abs(head - base) > 0.25:
        told.append(f"head used {head:.2f} cores and base {base:.2f}: wall time hides that")
    changed = record.changed()
    if changed is not None:
        told.append(
            f"the Jacobian itself differs between base and head: by {changed:.1g} of its norm; "
            "each side agrees with its own reference, so look whether that was meant"
        )
    edited = {
        name
        for name in ("problem_hash", "method_hash")
        if len({getattr(record.results.get(side), name, None) for side in SIDES}) > 1
    }
    differs = "'s source differs between base and head"
    told += [f"the {name.removesuffix('_hash')}{differs}" for name in sorted(edited)]
    return tuple(told)
