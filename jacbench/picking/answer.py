"""What a pick found: which method, how much faster, how sure, and the lines to paste."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from jacbench.core.cell import CellResult, Verdict
from jacbench.measuring.statistics import Interval
from jacbench.picking.candidate import SUMMARIES, Candidate
from jacbench.results.run import json_safe

SCHEMA = 1
"""Version of the object that ``jacbench pick --json`` prints."""
UNMEASURED = ("open", "no time", str(Verdict.TIMED_OUT))
"""Fates of those that time kept from being measured, and nothing else."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """What became of one candidate.

    Attributes
    ----------
    candidate
        Which.
    backend
        Whose.
    fate
        ``picked``, ``equal`` (tied: no interval tells it from the one picked), ``slower`` (by its
        interval), ``dropped`` (clearly slower early on), ``open`` (right, and raced for too short a
        time to say), ``no time`` (left out for want of time), ``not tried``, or its verdict.
    reason
        One line for what was not raced.
    result
        Its verdict and figures; ``median_s`` with its interval only where it was measured at
        length. None for what was not tried.
    call_s
        A rough time of a call, where there is no better one, seconds.
    ratio
        Its time over that of the pick of the same format, by interleaved blocks; where calls were
        counted, with the share of the preparation that falls to one. Without an interval for who
        dropped out early.
    calls_to_break_even
        From how many calls on its preparation is paid for, against the pick with the cheaper
        preparation; None where it has none to make up for.
    start_s
        What its compiler took to start, once for a process and not in its preparation, seconds;
        None for what has none.
    structure
        What of the Jacobian's structure it relies on; empty: nothing.
    """

    candidate: Candidate
    backend: str
    fate: str
    reason: str | None = None
    result: CellResult | None = None
    call_s: float | None = None
    ratio: Interval | None = None
    calls_to_break_even: float | None = None
    start_s: float | None = None
    structure: str = ""

    @property
    def seconds(self) -> float | None:
        """The best figure of a call's time that there is, seconds."""
        if self.result is not None and self.result.median_s is not None:
            return self.result.median_s
        return self.call_s

    def to_json(self) -> dict[str, Any]:
        """Return one flat object."""
        return {
            **self.candidate.to_json(),
            "format": self.candidate.format,
            "backend": self.backend,
            "fate": self.fate,
            "reason": self.reason,
            "call_s": self.call_s,
            "ratio": None if self.ratio is None else asdict(self.ratio),
            "calls_to_break_even": self.calls_to_break_even,
            "start_s": self.start_s,
            "structure": self.structure,
            "result": None if self.result is None else self.result.to_json(),
        }


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Which way of computing the Jacobian of a function at a point is right and fastest, here.

    Attributes
    ----------
    name, kind
        The function, and what it is.
    m, n
        The Jacobian's shape.
    device, dtype, threads
        Where and in what it was measured.
    picks
        By format, the candidate of the smallest time: only one format's times compare.
    format
        The one asked for: that of the answer.
    rows
        What became of every candidate.
    today
        What the user is taken to use now.
    speedup
        How many times faster the pick is than that, with its interval; None where it was not
        measured.
    pairs
        Pairs of stretches, measured in turn, behind that; 0: it is from the first calls alone.
    evidence
        What the answers were held against, and how strong that is, in a line.
    doubt
        Why that is not confirmed, in a line; empty: it is, and nothing speaks against it.
    notes
        What else the user should know, a line each.
    code
        By format, lines that compute it; they run as they stand.
    calls
        How often the Jacobian is wanted, where that was said: the preparation is shared out.
    decided
        False where somebody who may be faster was not measured, or not to the end.
    enough_s, scarce
        A limit, seconds, that would probably do, and of what: ``time`` or ``compile``.
    seconds
        What the time went to.
    fingerprint
        The machine, the versions, the settings.
    """

    name: str
    kind: str
    m: int
    n: int
    device: str
    dtype: str
    threads: int
    picks: Mapping[str, Candidate]
    format: str
    rows: Sequence[Row]
    today: Candidate | None = None
    speedup: Interval | None = None
    pairs: int = 0
    evidence: str = ""
    doubt: str = ""
    notes: Sequence[str] = ()
    code: Mapping[str, Sequence[str]] = field(default_factory=dict)
    calls: int | None = None
    decided: bool = True
    enough_s: float | None = None
    scarce: str = "time"
    seconds: Mapping[str, float] = field(default_factory=dict)
    fingerprint: Mapping[str, Any] = field(default_factory=dict)

    @property
    def best(self) -> Row:
        """The row of the pick, in the format asked for."""
        return self.row(self.picks[self.format])

    @property
    def operator(self) -> str:
        """What the picked method computes."""
        return self.best.candidate.operator

    @property
    def method(self) -> str:
        """The name of the picked method."""
        return self.best.candidate.method

    @property
    def chunk_size(self) -> int | None:
        """Its rows or columns at a time; None: all at once, or as it does by itself."""
        return self.best.candidate.chunk_size

    @property
    def equals(self) -> list[Candidate]:
        """Candidates that are tied with the pick."""
        chosen = self.picks[self.format].format
        return [
            row.candidate
            for row in self.rows
            if row.fate == "equal" and row.candidate.format == chosen
        ]

    @property
    def unmeasured(self) -> list[Candidate]:
        """Candidates that may be faster, and were not measured for want of time."""
        return [row.candidate for row in self.rows if row.fate in UNMEASURED]

    def row(self, candidate: Candidate) -> Row:
        """Return what became of ``candidate``."""
        return next(row for row in self.rows if row.candidate == candidate)

    def to_json(self) -> dict[str, Any]:
        """Return one object, described by ``pick.schema.json`` beside this file."""
        written: dict[str, Any] = json_safe(self._fields())
        return written

    def _fields(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "name": self.name,
            "kind": self.kind,
            "m": self.m,
            "n": self.n,
            "device": self.device,
            "dtype": self.dtype,
            "threads": self.threads,
            "format": self.format,
            "picks": {name: c.to_json() for name, c in self.picks.items()},
            "today": None if self.today is None else self.today.to_json(),
            "speedup": None if self.speedup is None else asdict(self.speedup),
            "pairs": self.pairs,
            "evidence": self.evidence,
            "doubt": self.doubt,
            "notes": list(self.notes),
            "code": {name: list(lines) for name, lines in self.code.items()},
            "calls": self.calls,
            "decided": self.decided,
            "enough_s": self.enough_s,
            "scarce": self.scarce,
            "seconds": dict(self.seconds),
            "rows": [row.to_json() for row in self.rows],
            "formats": dict(SUMMARIES),
            "fingerprint": dict(self.fingerprint),
        }
