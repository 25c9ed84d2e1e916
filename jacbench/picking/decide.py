"""Deciding: libraries look, candidates compete, and the answer is put together."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from jacbench.core import redaction
from jacbench.core.cell import Verdict
from jacbench.core.errors import JacbenchError, NothingRightError
from jacbench.core.progress import Progress
from jacbench.measuring import memory
from jacbench.measuring.deadline import Deadline
from jacbench.picking import assumptions
from jacbench.picking.answer import UNMEASURED, Answer, Row
from jacbench.picking.bench import Bench, Look
from jacbench.picking.candidate import Candidate
from jacbench.picking.libraries import lost_is_told
from jacbench.picking.look import Seen, see_all
from jacbench.picking.options import PickOptions
from jacbench.picking.racing.contest import Contest
from jacbench.workers.lost import LostError
from jacbench.workers.pool import ALONE, Abreast

TODAY: Mapping[str, str] = {
    "torch": "torch.functional",
    "jax": "jax.jacrev-eager",
    "autograd": "autograd.jacobian",
}
"""By backend, what people are taken to use where they do not say: the plain call of its manual."""

_FAULTS = frozenset(str(verdict) for verdict in Verdict if verdict.is_fault)
_ROUND_S = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 3600)
_BY_PRODUCTS = "products with it need no memory: jacbench.jvp and jacbench.vjp"
_PREFERRED = ("dense", "csr", "blocks", "factors")


def decide(
    benches: Sequence[Bench],
    described: Mapping[str, Any],
    options: PickOptions,
    progress: Progress,
    *,
    starting_s: float,
    bind: bool,
    runner: Abreast = ALONE,
) -> Answer:
    """Return the answer over all libraries that can look at the function.

    Parameters
    ----------
    benches
        One for each library.
    described
        What the function is: ``name``, ``kind``, ``device`` and ``notes``.
    options
        What is wanted of the answer.
    progress
        Is told what goes on.
    starting_s
        What starting the benches took, seconds.
    bind
        True where the benches may be bound to processors.
    runner
        Lets benches that are processes of their own look and check at the same time.

    Raises
    ------
    JacbenchError
        In one line: no library can look, no method is right, a method that is not here.
    """
    begun = time.monotonic()
    for bench in benches:
        bench.hold(Deadline(options.time_limit_s).left)
    progress.begin("looking at the function")
    seen, left_out = see_all(benches, options, runner)
    looking_s = time.monotonic() - begun
    try:
        deadline = Deadline(max(1.0, options.time_limit_s - looking_s))
        contest = _contest(seen, options, deadline, progress, runner, bind=bind)
        if options.today is not None and contest.today() is None:
            raise _no_today(options.today, seen)
        contest.run()
    except LostError as exc:
        raise _lost(exc, seen[0].look, options) from None
    form = _form(contest, options.form)
    seconds = {"starting": starting_s, "looking": looking_s, **contest.seconds}
    backend = contest.bench_of(contest.picks()[form]).backend
    told = next(one for one in seen if one.bench.backend == backend)
    return _answer(contest, form, told, described, options, left_out, seconds)


def _contest(
    seen: Sequence[Seen],
    options: PickOptions,
    deadline: Deadline,
    progress: Progress,
    runner: Abreast,
    *,
    bind: bool,
) -> Contest:
    """The contest of what all libraries offer, in what is left of the time limit."""
    look, benches = seen[0].look, [one.bench for one in seen]
    call_s = {one.bench.backend: one.look.call_s for one in seen}
    passes = {"reverse": look.m, "forward": look.n}
    today = options.today or TODAY.get(benches[0].backend)
    options = replace(options, today=today)
    return Contest(benches, call_s, passes, options, deadline, progress, runner, bind=bind)


def _lost(exc: LostError, look: Look, options: PickOptions) -> JacbenchError:
    """Return the line for a process that is lost for good: why it was, where that is known."""
    large = memory.too_large(look.m, look.n, look.dtype, options.memory_bytes)
    if large is not None and options.form in {None, "dense"}:
        return JacbenchError(f"nothing else was found in time, and {large}; {_BY_PRODUCTS}")
    return JacbenchError(f"the function's process could not be started again: {exc.reason}")


def _no_today(today: str, seen: Sequence[Seen]) -> JacbenchError:
    """Return the line for a method that is said to be used today, and is not here."""
    names = ", ".join(one.bench.backend for one in seen)
    return JacbenchError(
        f"--today {today}: it gives no Jacobian of this function: name a method of "
        f"{names}, see jacbench list"
    )


def _form(contest: Contest, asked: str | None) -> str:
    """Return the format of the answer; raise where nobody was right in it."""
    picks = contest.picks()
    form = asked or next(iter(sorted(picks, key=_PREFERRED.index)), "dense")
    if form not in picks:
        raise _nothing(contest.rows(), form, picks)
    return form


def _answer(
    contest: Contest,
    form: str,
    told: Seen,
    described: Mapping[str, Any],
    options: PickOptions,
    left_out: Sequence[str],
    seconds: Mapping[str, float],
) -> Answer:
    """Put the answer together, of a contest that is over."""
    picks, rows, versus = contest.picks(), contest.rows(), contest.speedup
    scarce = "compile" if _compilers_alone(rows) else "time"
    limit_s = options.compile_limit_s if scarce == "compile" else options.time_limit_s
    resting = assumptions.lines(_resting(rows, picks))
    notes = [*_notes(described, told), *left_out, *resting, *_unasked(contest, options)]
    return Answer(
        name=described["name"],
        kind=described["kind"],
        m=told.look.m,
        n=told.look.n,
        device=described["device"],
        dtype=told.look.dtype,
        threads=options.threads,
        picks=picks,
        format=form,
        rows=rows,
        today=contest.today(),
        speedup=None if versus is None else versus.ratio,
        pairs=0 if versus is None else versus.pairs,
        evidence=told.evidence.told,
        doubt=told.evidence.doubt,
        notes=tuple(dict.fromkeys(notes)),
        code=_codes(contest, picks),
        calls=options.calls,
        decided=contest.decided,
        enough_s=None if contest.decided else _enough_s(limit_s, seconds),
        scarce=scarce,
        seconds={name: round(spent, 3) for name, spent in seconds.items()},
        fingerprint=_fingerprint(told.bench),
    )


def _compilers_alone(rows: Sequence[Row]) -> bool:
    """Say whether only compilers were left out for want of time."""
    late = [row for row in rows if row.fate in UNMEASURED]
    return bool(late) and all("compile limit" in (row.reason or "") for row in late)


def _enough_s(limit_s: float, seconds: Mapping[str, float]) -> float:
    """Return a round number of seconds, twice what was given or taken at the least."""
    spent = sum(s for stage, s in seconds.items() if stage not in ("starting", "compiling"))
    least = 2 * max(limit_s, spent)
    return float(next((nice for nice in _ROUND_S if nice >= least), math.ceil(least)))


def _resting(
    rows: Sequence[Row], picks: Mapping[str, Candidate]
) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Return the label, the structure and what preparation found out of each pick."""
    return [
        (row.candidate.label, row.structure, row.result.notes)
        for row in rows
        if row.candidate in picks.values() and row.result is not None
    ]


def _codes(contest: Contest, picks: Mapping[str, Candidate]) -> dict[str, Sequence[str]]:
    """Return the lines to paste for each pick; none of one whose process is lost for good."""
    found: dict[str, Sequence[str]] = {}
    for form, candidate in picks.items():
        try:
            found[form] = contest.bench_of(candidate).code(candidate)
        except (LostError, JacbenchError) as exc:
            found[form] = [f"# {candidate.label}: {redaction.one_line(exc, 200)}"]
    return found


def _fingerprint(bench: Bench) -> Mapping[str, Any]:
    with lost_is_told("the process was lost after everything was measured"):
        return bench.fingerprint()


def _notes(described: Mapping[str, Any], told: Seen) -> Iterator[str]:
    """Say what the user should know of the function, a line each."""
    samples = told.samples
    yield from described["notes"]
    yield from told.look.lines
    if samples.axis is not None:
        yield (
            f"the Jacobian is block-diagonal: {samples.count} samples along axis {samples.axis} "
            f"of x, none of which sees another"
        )
        if samples.caveat is not None:
            yield samples.caveat


def _unasked(contest: Contest, options: PickOptions) -> Iterator[str]:
    """Say of which picks the last check was left out."""
    if contest.not_asked_again:
        yield (
            f"{', '.join(contest.not_asked_again)}: checked before timing, and not once more after "
            f"it: the time limit of {options.time_limit_s:g} s leaves no time for that"
        )


def _nothing(rows: Sequence[Row], form: str, picks: Mapping[str, Candidate]) -> JacbenchError:
    """Return the line for a format in which no candidate has the right answer."""
    tried = [row for row in rows if row.candidate.format == form]
    faults = [row for row in tried if row.fate in _FAULTS]
    large = [row for row in tried if row.fate == Verdict.TOO_LARGE]
    others = f"; {', '.join(picks)} can be had with --format" if picks else ""
    if form != "dense" and not picks:
        others = "; leave --format out for what can be had"
    worst = (faults or large or tried)[:1]
    told = f": {worst[0].candidate.label}: {worst[0].reason}" if worst else ""
    if large and not faults:
        others += f"; {_BY_PRODUCTS}"
    kind = NothingRightError if faults else JacbenchError
    return kind(f"no method was found to give a right {form} Jacobian{told}{others}")
