"""The gate's procedure: measure, decide, extend what is undecided, confirm in fresh workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jacbench.core.cell import Cell
from jacbench.gating.decision import Decision, State
from jacbench.gating.measurement import Measurement, StoppedError, Wanted
from jacbench.gating.outcome import (
    memory_regression,
    preparation_decision,
    state_of,
    time_decision,
    verdict_outcome,
)
from jacbench.gating.record import Record, Subject
from jacbench.results.policy import Limits

LimitsOf = Callable[[Cell], Limits]


@dataclass
class Finding:
    """What one stage found of a subject."""

    record: Record
    time: Decision | None = None
    preparation: Decision | None = None
    memory: str | None = None

    @property
    def wrong(self) -> bool:
        """True where the verdicts make the cell fail."""
        told = verdict_outcome(self.record)
        return told is not None and told[0].fails

    @property
    def suspect(self) -> bool:
        """True where fresh workers have to say it again before it is believed."""
        regressed = state_of((self.time, self.preparation)) is State.REGRESSION
        return self.wrong or regressed or self.memory is not None

    def undecided(self) -> Wanted:
        """Return what an extension has to measure."""
        return Wanted(
            time=self.time is not None and self.time.state is State.INCONCLUSIVE,
            preparation=self.preparation is not None
            and self.preparation.state is State.INCONCLUSIVE,
            memory=False,
        )


def judge(
    measurement: Measurement, subjects: Sequence[Subject], limits: LimitsOf
) -> dict[Subject, tuple[Finding, Finding | None]]:
    """Return for each subject what the first stage found, and the second where one was needed.

    The second stage, in workers that are all fresh, is for what the first calls wrong or slower.
    """
    first = stage(measurement, subjects, limits)
    suspects = [subject for subject, finding in first.items() if finding.suspect]
    second: dict[Subject, Finding] = {}
    if suspects and measurement.stopped is None:
        second = stage(measurement, suspects, limits)
    return {subject: (finding, second.get(subject)) for subject, finding in first.items()}


def stage(
    measurement: Measurement, subjects: Sequence[Subject], limits: LimitsOf
) -> dict[Subject, Finding]:
    """Measure ``subjects`` in launches of fresh workers until each is decided or time is up."""
    settings = measurement.settings
    records: dict[Subject, Record] = {subject: Record() for subject in subjects}
    found = {subject: Finding(records[subject]) for subject in subjects}
    asked = {subject: first_wanted(subject) for subject in subjects}
    pending = dict(asked)

    def decided(subject: Subject) -> Finding:
        return _decided(records[subject], asked[subject], limits(subject.cell), settings.seed)

    try:
        for _ in range(1 + settings.extensions):
            for _ in range(settings.launches):
                measurement.launch(pending, records)
            for subject in pending:
                found[subject] = decided(subject)
            pending = {
                subject: finding.undecided()
                for subject, finding in found.items()
                if subject in pending
                and finding.record.timed
                and state_of((finding.time, finding.preparation)) is State.INCONCLUSIVE
            }
            if not pending:
                break
    except StoppedError:
        for subject in pending:
            found[subject] = decided(subject)
    return found


def first_wanted(subject: Subject) -> Wanted:
    """Return what is to be measured of a subject: all, or what the self-test tampers with."""
    return Wanted(
        time=not subject.spoilt,
        preparation=not subject.extra,
        memory=not (subject.spoilt or subject.extra),
    )


def _decided(record: Record, asked: Wanted, limits: Limits, seed: int) -> Finding:
    return Finding(
        record,
        time_decision(record, limits, seed) if asked.time else None,
        preparation_decision(record, limits, seed) if asked.preparation else None,
        memory_regression(record, limits) if asked.memory else None,
    )
