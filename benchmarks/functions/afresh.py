"""What was picked for one function against the best of all other methods, measured afresh."""

from __future__ import annotations

import fnmatch
import glob
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from interleaved import Ratio

from jacbench import problems
from jacbench.backend import registry
from jacbench.core.cell import Verdict
from jacbench.picking.answer import Answer
from jacbench.problems.problem import Problem

from . import cases
from .apart import Hold
from .case import Case
from .contest import Contender, Field, compared, compete, compete_by_consent, shortlist

SCREENING_BLOCKS = 15
DEADLY = frozenset({str(Verdict.CRASHED), str(Verdict.TIMED_OUT)})
"""What became of a method that took its worker with it."""


@dataclass(frozen=True)
class Picked:
    """What is measured of an answer.

    Attributes
    ----------
    method, operator, chunk_size
        What was picked.
    seconds
        How long that took.
    deadly
        The methods that took their worker with them meanwhile.
    """

    method: str
    operator: str
    chunk_size: int | None
    seconds: float
    deadly: frozenset[str] = frozenset()

    @classmethod
    def of(cls, answer: Answer, seconds: float) -> Picked:
        """Return what is measured of ``answer``, which took so many seconds."""
        deadly = frozenset(row.candidate.method for row in answer.rows if row.fate in DEADLY)
        return cls(answer.method, answer.operator, answer.chunk_size, seconds, deadly)


@dataclass(frozen=True)
class Row:
    """One function.

    Attributes
    ----------
    name, family
        Of the function; the family of a catalogue problem is the part before the stroke.
    operator, picked, chunk_size
        What was picked.
    pick_s
        How long that took, seconds.
    best
        The fastest method, the picked one where nothing was faster.
    ratio
        The picked method's time over that of the fastest other; None where there was no other.
    itself
        The picked method's time over its own.
    ended
        The methods that crashed or took too long, and are not among the others.
    """

    name: str
    family: str
    operator: str
    picked: str
    chunk_size: int | None
    pick_s: float
    best: str
    ratio: Ratio | None
    itself: Ratio
    ended: tuple[str, ...] = ()

    @property
    def regret(self) -> float:
        """The share by which the picked one takes longer; 0 where it is the fastest."""
        return max(0.0, self.ratio.median - 1) if self.ratio else 0.0


@dataclass(frozen=True)
class NoAnswer:
    """A function without a row, and why."""

    name: str
    family: str
    reason: str


Found = Row | NoAnswer


@dataclass(frozen=True)
class Question:
    """A function, and what every method is tried on."""

    name: str
    family: str
    problem: Problem
    case: Case | None


def questions(patterns: list[str]) -> Iterator[Question]:
    """Yield what matches: the functions made for this first, then the catalogue."""

    def asked(name: str) -> bool:
        return not patterns or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)

    for case in cases():
        if asked(case.name):
            yield Question(case.name, case.family, case.problem(), case)
    for name in problems.names():
        if asked(name):
            yield Question(name, name.partition("/")[0], problems.get(name), None)


def measured(
    name: str,
    picked: Picked,
    blocks: int,
    seed: int,
    compiled: bool,
    without: Collection[str],
    *,
    hold: Hold,
) -> Found:
    """Measure what was picked for the function of that name against the best of the rest.

    Parameters
    ----------
    name
        Of the function.
    picked
        What was picked for it.
    blocks, seed
        Of each ratio.
    compiled
        Whether ``torch.compile`` is among the rest.
    without
        Who is not.
    hold
        Told who is in hand, in case it ends this process.
    """
    (question,) = questions([glob.escape(name)])
    field = _competitors(question, picked, compiled=compiled, without=without, hold=hold)
    own = _own(question, picked, field, hold)
    if own is None:
        reason = field.left_out.get(picked.method, "it is no contender")
        return NoAnswer(name, question.family, f"{picked.method}: {reason}")
    others = [c for c in field.contenders if c.method != picked.method]
    in_one = f"{picked.method}, not chunked"
    if picked.chunk_size and in_one not in without and (whole := field.get(picked.method)):
        others.append(replace(whole, method=in_one))
    ratio, best = None, picked.method
    if others:
        rival = shortlist(others, SCREENING_BLOCKS, seed, hold)[0]
        ratio = compared(own, rival, blocks, seed, hold)
        best = rival.method if ratio.median > 1 else picked.method
    return Row(
        name=name,
        family=question.family,
        operator=picked.operator,
        picked=picked.method,
        chunk_size=picked.chunk_size,
        pick_s=picked.seconds,
        best=best,
        ratio=ratio,
        itself=compared(own, own, blocks, seed + 1, hold),
        ended=tuple(sorted(without)),
    )


def _competitors(
    question: Question, picked: Picked, *, compiled: bool, without: Collection[str], hold: Hold
) -> Field:
    """Return every method on the function, those that are right.

    NumPy's references compete only where one of them was picked.
    """
    if question.case is not None and question.case.dtype == "float32":
        return compete_by_consent(question.case, compiled=compiled, without=without, hold=hold)
    return compete(
        question.problem,
        operator=picked.operator,
        oracles=registry.descriptor_of(picked.method).oracle,
        compiled=compiled,
        without=without,
        hold=hold,
    )


def _own(question: Question, picked: Picked, field: Field, hold: Hold) -> Contender | None:
    """Return the picked method as it was picked: in chunks where it was."""
    if not picked.chunk_size:
        return field.get(picked.method)
    chunked = compete(
        question.problem,
        operator=picked.operator,
        methods=[picked.method],
        chunk_size=picked.chunk_size,
        oracles=True,
        hold=hold,
    )
    field.left_out.update(chunked.left_out)
    return chunked.get(picked.method)
