"""``pick`` from a function to an answer: here, or in workers for what a command line names."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from jacbench.backend import registry
from jacbench.checking import process_state
from jacbench.core.errors import JacbenchError
from jacbench.core.progress import Progress, Quiet
from jacbench.picking.answer import Answer
from jacbench.picking.benches.local import LocalBench
from jacbench.picking.benches.remote import Limits
from jacbench.picking.benches.start import workers
from jacbench.picking.decide import decide
from jacbench.picking.libraries import contestants
from jacbench.picking.loading.function_request import Asked
from jacbench.picking.loading.subject import Subject
from jacbench.picking.options import PickOptions
from jacbench.workers import pool


def pick(
    f: Any,
    x: Any = None,
    *,
    time_limit_s: float = 60.0,
    compile_limit_s: float = 120.0,
    calls: int | None = None,
    memory: str | None = None,
    form: str | None = None,
    today: str | None = None,
    compile: bool | None = None,  # noqa: A002 - the option's name
    seed: int = 0,
    **function: Any,
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
        What examining, checking and timing may take, seconds; imports and compilers that run for
        seconds are not counted.
    compile_limit_s
        What those compilers may take in all, seconds.
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
        Whether to try ``torch.compile``. None: for a name, and not for an object.
    seed
        Of the order of measurements.
    function
        ``stops_gradient=True`` where ``f`` stops gradients on purpose; ``output``, the key or index
        of one entry, where it returns several; for a module ``wrt`` (``inputs`` or
        ``parameters``); for a name ``shape``, ``dtype``, ``file``
        and ``argnum``.

    Raises
    ------
    JacbenchError
        In one line: nothing that can be differentiated, an x that does not fit, no method that is
        right.

    Notes
    -----
    A function given as an object is measured in this process, whose settings (threads, float64 in
    JAX, precision of products) stay as they are. What ends a process ends this one, and
    ``torch.compile`` makes code that does (https://github.com/pytorch/pytorch/issues/190856): so it
    is tried in workers alone, unless asked for.
    """
    options = PickOptions(
        time_limit_s=time_limit_s,
        compile_limit_s=compile_limit_s,
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
        return pick_named(Asked(named=f, **function), options)
    return pick_here(f, x, options, **function)


def pick_here(
    f: Any, x: Any, options: PickOptions, progress: Progress | None = None, **function: Any
) -> Answer:
    """Return the answer for a function of the caller's, in the caller's process.

    Its settings (threads, float64 in JAX, precision of products) are left as they are, and what may
    crash is left out unless it was asked for.
    """
    from jacbench.picking.loading import subject as subjects  # noqa: PLC0415 - loads what f needs

    _known(options.today)
    with _left_as_it_was("numpy"):
        subject = subjects.of(f, x, **function)
        with _left_as_it_was(*contestants(subject.backends)):
            return _pick_subject(subject, options, progress or Quiet())


def _known(method: str | None) -> None:
    """Refuse a method that no library has, in one line."""
    if method is not None:
        registry.descriptor_of(method)


@contextmanager
def _left_as_it_was(*backends: str) -> Iterator[None]:
    """Put back what calls change: random numbers drawn, what an interrupted one left behind."""
    before = [process_state.take(registry.load(backend)) for backend in backends]
    try:
        yield
    finally:
        for state in before:
            process_state.put_back(state, first_use=True)


def _pick_subject(subject: Subject, options: PickOptions, progress: Progress) -> Answer:
    benches = [
        LocalBench(
            subject,
            backend,
            threads=options.threads,
            memory_bytes=options.memory_bytes,
            configure=False,
        )
        for backend in contestants(subject.backends)
    ]
    unasked = [] if options.compile is not None else _may_crash(subject.backends)
    described = {
        "name": subject.problem.name,
        "kind": subject.kind,
        "device": subject.device,
        "notes": [*subject.notes, *unasked],
    }
    try:
        return decide(benches, described, options, progress, starting_s=0.0, bind=False)
    finally:
        for bench in benches:
            bench.close()


def _may_crash(backends: Sequence[str]) -> list[str]:
    """Return the line that says what is left out for the sake of the caller's process."""
    known = registry.descriptors()
    compiled = [
        info.name
        for backend in contestants(backends)
        for info in known[backend].methods
        if info.compiled and info.operator == "jacobian"
    ]
    if not compiled:
        return []
    return [
        f"{', '.join(compiled)}: not tried, since what a compiler makes can crash this process: "
        "pick the function by its name, FILE.py:NAME, or say compile=True"
    ]


def pick_named(asked: Asked, options: PickOptions, progress: Progress | None = None) -> Answer:
    """Return the answer for a function that a command line names, in workers."""
    _known(options.today)
    progress = progress or Quiet()
    limits = Limits(
        threads=options.threads,
        memory_bytes=options.memory_bytes,
        start_s=max(60.0, options.time_limit_s),
        answer_s=max(30.0, options.time_limit_s),
    )
    options = replace(options, compile=options.compile is not False)
    begun = time.monotonic()
    with (
        pool.abreast(pool.width(options.threads)) as runner,
        workers(asked, limits, progress, runner) as (benches, left_out),
    ):
        starting_s = time.monotonic() - begun
        described = benches[0].described
        described = {**described, "notes": [*described["notes"], *left_out]}
        return decide(
            benches, described, options, progress, starting_s=starting_s, bind=True, runner=runner
        )
