"""``pick`` from a function to an answer: here, or in workers for what a command line names."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jacbench import memory
from jacbench.cell import Verdict
from jacbench.errors import JacbenchError
from jacbench.picking.answer import Answer, Row
from jacbench.picking.asking import Asked
from jacbench.picking.bench import Bench, LocalBench, Look
from jacbench.picking.candidate import FORMATS, Candidate
from jacbench.picking.contest import Contest, Terms
from jacbench.picking.lost import LostError
from jacbench.picking.remote import Limits, RemoteBench
from jacbench.structure.samples import Samples

TODAY: Mapping[str, str] = {
    "torch": "torch.functional",
    "jax": "jax.jacrev-eager",
    "autograd": "autograd.jacobian",
}
"""By backend, what people are taken to use where they do not say: the plain call of its manual."""

_PREFERRED = ("dense", "csr", "blocks", "factors")

Tell = Callable[[str], None]


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
            from jacbench import registry  # noqa: PLC0415 - only where something was said

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

    subject = subjects.of(f, x, **options)
    benches = [
        LocalBench(
            subject,
            backend,
            threads=wanted.threads,
            memory_bytes=wanted.memory_bytes,
            configure=False,
        )
        for backend in subject.backends
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
        answer_s=max(30.0, wanted.time_limit_s),
    )
    begun = time.monotonic()
    with _workers(asked, limits, tell) as benches:
        starting_s = time.monotonic() - begun
        described = benches[0].described
        return _decide(benches, described, wanted, tell, starting_s=starting_s, bind=True)


@contextmanager
def _workers(asked: Asked, limits: Limits, tell: Tell) -> Iterator[list[RemoteBench]]:
    """Start a worker for each library that can do it; the first says which those are."""
    benches: list[RemoteBench] = []
    with tempfile.TemporaryDirectory(prefix="jacbench-pick-", ignore_cleanup_errors=True) as root:
        try:
            tell(f"loading {asked.named}")
            benches.append(RemoteBench(asked, Path(root) / "0", limits))
            backends = list(_opened(benches[0])["backends"])
            tell(f"starting {backends[0]}")
            benches[0].start(backends[0])
            for number, backend in enumerate(backends[1:], start=1):
                tell(f"starting {backend}")
                benches.append(RemoteBench(asked, Path(root) / str(number), limits))
                _opened(benches[-1])
                benches[-1].start(backend)
            yield benches
        finally:
            for bench in benches:
                bench.close()


def _opened(bench: RemoteBench) -> Mapping[str, Any]:
    try:
        return bench.open()
    except LostError as exc:
        raise JacbenchError(f"the worker that loads the file was lost: {exc.reason}") from None


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
    looks = {bench.backend: _look(bench, wanted) for bench in benches}
    structure = [bench.samples() for bench in benches] if wanted.structure else [Samples(None)]
    evidence = benches[0].evidence()
    look = looks[benches[0].backend]
    examined_s = time.monotonic() - begun
    today = wanted.today or TODAY.get(benches[0].backend)
    contest = Contest(
        benches,
        {backend: found.call_s for backend, found in looks.items()},
        {"reverse": look.m, "forward": look.n},
        Terms(
            time_limit_s=max(1.0, wanted.time_limit_s - examined_s),
            calls=wanted.calls,
            memory_bytes=wanted.memory_bytes,
            compile=wanted.compile,
            structure=wanted.structure,
            today=today,
            threads=wanted.threads,
            bind=bind,
            seed=wanted.seed,
        ),
        tell,
    )
    contest.run()
    picks = contest.picks()
    form = wanted.form or next(iter(sorted(picks, key=_PREFERRED.index)), "dense")
    if form not in picks:
        raise _nothing(contest.rows(), form, picks)
    speedup = contest.speedup(picks["dense"]) if "dense" in picks else None
    rows = contest.rows()
    seconds = {"starting": starting_s, "looking": examined_s, **contest.seconds}
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
        speedup=speedup,
        evidence=evidence,
        notes=tuple(_notes(described, look, structure[0])),
        code={form: contest.bench_of(c).code(c) for form, c in picks.items()},
        calls=wanted.calls,
        decided=contest.decided,
        seconds={name: round(spent, 3) for name, spent in seconds.items()},
        fingerprint=benches[0].fingerprint(),
    )


def _look(bench: Bench, wanted: Wanted) -> Look:
    try:
        return bench.examine(wanted.time_limit_s)
    except LostError as exc:
        raise JacbenchError(f"calling the function ended its process: {exc.reason}") from None


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
    faults = [row for row in tried if row.fate in (Verdict.DISAGREES, Verdict.FAILED)]
    large = [row for row in tried if row.fate == Verdict.TOO_LARGE]
    others = f"; {', '.join(picks)} can be had with --format" if picks else ""
    worst = (faults or large or tried)[:1]
    told = f": {worst[0].candidate.label}: {worst[0].reason}" if worst else ""
    if large and not faults:
        others += "; products with it need no memory: jacbench.jvp and jacbench.vjp"
    return JacbenchError(f"no method gives a right {form} Jacobian here{told}{others}")
