"""``pick`` from a function to an answer: here, or in workers for what a command line names."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jacbench import memory, process_state, registry, scrub
from jacbench.cell import Verdict
from jacbench.errors import JacbenchError
from jacbench.picking import basis
from jacbench.picking.answer import Answer, Row
from jacbench.picking.asking import Asked
from jacbench.picking.bench import Bench, LocalBench, Look
from jacbench.picking.candidate import FORMATS, Candidate
from jacbench.picking.contest import Contest, Terms
from jacbench.picking.lost import LostError
from jacbench.picking.remote import Limits, RemoteBench
from jacbench.picking.subject import Subject
from jacbench.structure.samples import Samples

TODAY: Mapping[str, str] = {
    "torch": "torch.functional",
    "jax": "jax.jacrev-eager",
    "autograd": "autograd.jacobian",
}
"""By backend, what people are taken to use where they do not say: the plain call of its manual."""

_FAULTS = frozenset(str(verdict) for verdict in Verdict if verdict.is_fault)
_PREFERRED = ("dense", "csr", "blocks", "factors")

Tell = Callable[[str], None]


def contestants(backends: Sequence[str]) -> list[str]:
    """Return those of ``backends`` that are no reference: those are not ranked."""
    known = registry.descriptors()
    found = [name for name in backends if not known[name].oracle]
    if not found:
        raise JacbenchError(
            f"the function is written for {', '.join(backends)} alone, a reference: give one over "
            "torch, JAX or autograd, or f(xp, x)"
        )
    return found


def quiet(what: str) -> None:
    """Tell nobody."""
    del what


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is wanted of a pick, besides the function.

    Attributes
    ----------
    time_limit_s
        What examining, checking and timing may take, seconds. The start of workers and compilers
        that run for seconds are not counted.
    calls
        How often the Jacobian is wanted; None: often.
    memory
        What a call may need, as ``2GiB``.
    form
        ``dense``, ``blocks``, ``csr`` or ``factors``; None: dense, or where that cannot be had what
        can.
    today
        The method used now; None: the plain one of the library.
    compile
        False: leave out compilers that run for seconds.
    structure
        False: leave out methods that rely on a structure of the Jacobian.
    threads
        For workers.
    seed
        Of every order.
    """

    time_limit_s: float = 60.0
    calls: int | None = None
    memory: str | None = None
    form: str | None = None
    today: str | None = None
    compile: bool = True
    structure: bool = True
    threads: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what makes no sense, one clear line each."""
        if not self.time_limit_s > 0:
            raise JacbenchError(f"--time-limit {self.time_limit_s:g}: give seconds above 0")
        if self.calls is not None and self.calls < 1:
            raise JacbenchError(f"--calls {self.calls}: give a whole number of at least 1")
        if self.form is not None and self.form not in FORMATS.values():
            known = ", ".join(FORMATS.values())
            raise JacbenchError(f"--format {self.form!r}: give one of {known}")
        if self.threads < 1:
            raise JacbenchError(f"--threads {self.threads}: give a whole number of at least 1")
        if self.memory is not None:
            memory.parse_size(self.memory)
        if self.today is not None:
            registry.descriptor_of(self.today)

    @property
    def memory_bytes(self) -> int | None:
        """What a call may need, bytes."""
        return None if self.memory is None else memory.parse_size(self.memory)


def pick(
    f: Any,
    x: Any = None,
    *,
    time_limit_s: float = 60.0,
    calls: int | None = None,
    memory: str | None = None,
    form: str | None = None,
    today: str | None = None,
    compile: bool = True,  # noqa: A002 - the option's name
    seed: int = 0,
    **options: Any,
) -> Answer:
    """Find the right and fastest way of computing the Jacobian of ``f`` at ``x``, here.

    Parameters
    ----------
    f
        ``f(x)`` over the arrays of torch, JAX or autograd; ``f(xp, x)``; a ``torch.nn.Module``, a
        Flax NNX or an Equinox module; or a :class:`jacbench.Problem`, which has its own x. Or
        ``"FILE.py:NAME"``, which is loaded and measured in processes of its own.
    x
        An array of the function's library, or a tree of them. None for a problem or a name.
    time_limit_s
        What examining, checking and timing may take, seconds; compilers that run for seconds are
        not counted.
    calls
        How often the Jacobian is wanted: preparation is shared out over so many calls. None:
        often, so that it does not count.
    memory
        What a call may need, as ``2GiB``.
    form
        ``dense``, ``blocks`` (one for each sample), ``csr`` or ``factors``; None: dense, or where
        that cannot be had what can.
    today
        The method that you use now, for comparison; None: the plain call of the library's manual.
    compile
        False: leave out ``torch.compile``.
    seed
        Of the order of measurements.
    options
        For a module ``wrt`` (``inputs`` or ``parameters``) and ``output``; for a name ``shape``,
        ``dtype``, ``file`` and ``argnum``.

    Raises
    ------
    JacbenchError
        In one line: nothing that can be differentiated, an x that does not fit, no method that is
        right.

    Notes
    -----
    A function given as an object is measured in this process, whose settings (threads, float64 in
    JAX, precision of products) stay as they are.
    """
    wanted = Wanted(
        time_limit_s=time_limit_s,
        calls=calls,
        memory=memory,
        form=form,
        today=today,
        compile=compile,
        seed=seed,
    )
    if isinstance(f, str):
        if x is not None:
            raise JacbenchError(f"pick({f!r}): its file says what x is: leave x out")
        return pick_named(Asked(named=f, **options), wanted)
    return pick_here(f, x, wanted, **options)


def pick_here(f: Any, x: Any, wanted: Wanted, tell: Tell = quiet, **options: Any) -> Answer:
    """Return the answer for a function of the caller's, in the caller's process.

    Its settings (threads, float64 in JAX, precision of products) are left as they are.
    """
    from jacbench.picking import subject as subjects  # noqa: PLC0415 - loads what f needs

    with _left_as_it_was("numpy"):
        subject = subjects.of(f, x, **options)
        with _left_as_it_was(*contestants(subject.backends)):
            return _pick_subject(subject, wanted, tell)


@contextmanager
def _left_as_it_was(*backends: str) -> Iterator[None]:
    """Put back what calls change: random numbers drawn, what an interrupted one left behind."""
    before = [process_state.take(registry.load(backend)) for backend in backends]
    try:
        yield
    finally:
        for state in before:
            process_state.put_back(state, first_use=True)


def _pick_subject(subject: Subject, wanted: Wanted, tell: Tell) -> Answer:
    benches = [
        LocalBench(
            subject,
            backend,
            threads=wanted.threads,
            memory_bytes=wanted.memory_bytes,
            configure=False,
        )
        for backend in contestants(subject.backends)
    ]
    described = {
        "name": subject.problem.name,
        "kind": subject.kind,
        "device": subject.device,
        "notes": list(subject.notes),
    }
    try:
        return _decide(benches, described, wanted, tell, starting_s=0.0, bind=False)
    finally:
        for bench in benches:
            bench.close()


def pick_named(asked: Asked, wanted: Wanted, tell: Tell = quiet) -> Answer:
    """Return the answer for a function that a command line names, in workers."""
    limits = Limits(
        threads=wanted.threads,
        memory_bytes=wanted.memory_bytes,
        start_s=max(60.0, wanted.time_limit_s),
        answer_s=max(30.0, wanted.time_limit_s),
    )
    begun = time.monotonic()
    with _workers(asked, limits, tell) as (benches, left_out):
        starting_s = time.monotonic() - begun
        described = benches[0].described
        described = {**described, "notes": [*described["notes"], *left_out]}
        return _decide(benches, described, wanted, tell, starting_s=starting_s, bind=True)


@contextmanager
def _workers(
    asked: Asked, limits: Limits, tell: Tell
) -> Iterator[tuple[list[RemoteBench], list[str]]]:
    """Start a worker for each library that can do it; the first says which those are.

    With why a library is left out, a line each.
    """
    benches: list[RemoteBench] = []
    refusals: dict[str, JacbenchError] = {}
    with tempfile.TemporaryDirectory(prefix="jacbench-pick-", ignore_cleanup_errors=True) as root:
        every: list[RemoteBench] = []

        def opened() -> RemoteBench:
            every.append(RemoteBench(asked, Path(root) / str(len(every)), limits))
            with _lost_is_told(f"{asked.named}: the process that loads and calls it was lost"):
                every[-1].open()
            return every[-1]

        try:
            tell(f"loading {asked.named}")
            first: RemoteBench | None = opened()
            assert first is not None  # noqa: S101 - just opened
            for backend in contestants(first.described["backends"]):
                tell(f"starting {backend}")
                try:
                    bench, first = first or opened(), None
                    with _lost_is_told("its process was lost as it started"):
                        bench.start(backend)
                except JacbenchError as exc:
                    refusals[backend] = exc
                else:
                    benches.append(bench)
            if not benches:
                raise next(iter(refusals.values()))
            yield benches, [_left_out(name, exc) for name, exc in refusals.items()]
        finally:
            for bench in every:
                bench.close()


@contextmanager
def _lost_is_told(what: str) -> Iterator[None]:
    try:
        yield
    except LostError as exc:
        raise JacbenchError(f"{what}: {exc.reason}") from None


def _left_out(backend: str, exc: JacbenchError) -> str:
    return f"{backend} is left out: {scrub.one_line(exc, 300)}"


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """What one library's bench says before anything is prepared."""

    bench: Bench
    look: Look
    samples: Samples
    evidence: str


def _see_all(benches: Sequence[Bench], wanted: Wanted) -> tuple[list[_Seen], list[str]]:
    """Let every library look at the function; return those that can, and why others cannot.

    Raises
    ------
    JacbenchError
        That of the first, where none can.
    """
    seen: list[_Seen] = []
    refusals: dict[str, JacbenchError] = {}
    for bench in benches:
        try:
            with _lost_is_told("calling the function, or its derivative, ended its process"):
                seen.append(_see(bench, wanted))
        except JacbenchError as exc:
            refusals[bench.backend] = exc
    if not seen:
        raise next(iter(refusals.values()))
    lines = [_left_out(name, exc) for name, exc in refusals.items()]
    first, alike = seen[0].look, []
    for one in seen:
        look = one.look
        if (look.m, look.n, look.dtype) == (first.m, first.n, first.dtype):
            alike.append(one)
            continue
        lines.append(
            f"{one.bench.backend} is left out: its Jacobian is {look.m} x {look.n} in {look.dtype}"
            f", that of {seen[0].bench.backend} {first.m} x {first.n} in {first.dtype}"
        )
    return alike, lines


def _see(bench: Bench, wanted: Wanted) -> _Seen:
    look = bench.examine(wanted.time_limit_s)
    samples = bench.samples() if wanted.structure else Samples(None)
    return _Seen(bench=bench, look=look, samples=samples, evidence=bench.evidence())


def _decide(
    benches: Sequence[Bench],
    described: Mapping[str, Any],
    wanted: Wanted,
    tell: Tell,
    *,
    starting_s: float,
    bind: bool,
) -> Answer:
    begun = time.monotonic()
    tell("looking at the function")
    seen, left_out = _see_all(benches, wanted)
    first, look = seen[0], seen[0].look
    examined_s = time.monotonic() - begun
    today = wanted.today or TODAY.get(first.bench.backend)
    contest = Contest(
        [one.bench for one in seen],
        {one.bench.backend: one.look.call_s for one in seen},
        {"reverse": look.m, "forward": look.n},
        Terms(
            time_limit_s=max(1.0, wanted.time_limit_s - examined_s),
            asked_s=wanted.time_limit_s,
            calls=wanted.calls,
            memory_bytes=wanted.memory_bytes,
            compile=wanted.compile,
            form=wanted.form,
            structure=wanted.structure,
            today=today,
            threads=wanted.threads,
            bind=bind,
            seed=wanted.seed,
        ),
        tell,
    )
    if wanted.today is not None and contest.today() is None:
        names = ", ".join(one.bench.backend for one in seen)
        raise JacbenchError(
            f"--today {wanted.today}: it gives no Jacobian of this function: name a method of "
            f"{names}, see jacbench list"
        )
    with _lost_is_told("the function's process could not be started again"):
        contest.run()
    picks = contest.picks()
    form = wanted.form or next(iter(sorted(picks, key=_PREFERRED.index)), "dense")
    if form not in picks:
        raise _nothing(contest.rows(), form, picks)
    rows = contest.rows()
    seconds = {"starting": starting_s, "looking": examined_s, **contest.seconds}
    backend = contest.bench_of(picks[form]).backend
    told = next(one for one in seen if one.bench.backend == backend)
    resting = [
        (row.candidate.label, row.structure, row.result.notes)
        for row in rows
        if row.candidate in picks.values() and row.result is not None
    ]
    notes = [*_notes(described, told.look, told.samples), *left_out, *basis.lines(resting)]
    return Answer(
        name=described["name"],
        kind=described["kind"],
        m=look.m,
        n=look.n,
        device=described["device"],
        dtype=look.dtype,
        threads=wanted.threads,
        picks=picks,
        format=form,
        rows=rows,
        today=contest.today(),
        speedup=contest.speedup,
        evidence=told.evidence,
        notes=tuple(dict.fromkeys(notes)),
        code=_codes(contest, picks),
        calls=wanted.calls,
        decided=contest.decided,
        seconds={name: round(spent, 3) for name, spent in seconds.items()},
        fingerprint=_fingerprint(told.bench),
    )


def _codes(contest: Contest, picks: Mapping[str, Candidate]) -> dict[str, Sequence[str]]:
    """Return the lines to paste for each pick; none of one whose process is lost for good."""
    found: dict[str, Sequence[str]] = {}
    for form, candidate in picks.items():
        try:
            found[form] = contest.bench_of(candidate).code(candidate)
        except (LostError, JacbenchError) as exc:
            found[form] = [f"# {candidate.label}: {scrub.one_line(exc, 200)}"]
    return found


def _fingerprint(bench: Bench) -> Mapping[str, Any]:
    with _lost_is_told("the process was lost after everything was measured"):
        return bench.fingerprint()


def _notes(described: Mapping[str, Any], look: Look, samples: Samples) -> Iterator[str]:
    yield from described["notes"]
    yield from look.lines
    if samples.axis is not None:
        yield (
            f"the Jacobian is block-diagonal: {samples.count} samples along axis {samples.axis} "
            f"of x, none of which sees another"
        )
        if samples.caveat is not None:
            yield samples.caveat


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
        others += "; products with it need no memory: jacbench.jvp and jacbench.vjp"
    return JacbenchError(f"no method was found to give a right {form} Jacobian{told}{others}")
