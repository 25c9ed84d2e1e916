"""Looking: what every library says of the function before anything is prepared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from jacbench.core.errors import JacbenchError
from jacbench.picking.bench import Bench, Evidence, Look
from jacbench.picking.libraries import left_out, lost_is_told
from jacbench.picking.options import PickOptions
from jacbench.structure.samples import Samples
from jacbench.workers.pool import Abreast


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What one library's bench says before anything is prepared."""

    bench: Bench
    look: Look
    samples: Samples
    evidence: Evidence


def see_all(
    benches: Sequence[Bench], options: PickOptions, runner: Abreast
) -> tuple[list[Seen], list[str]]:
    """Let every library look at the function; return those that can, and why others cannot.

    Parameters
    ----------
    runner
        Lets benches that are processes of their own look at the same time.

    Raises
    ------
    JacbenchError
        That of the first, where none can.
    """

    def give_up() -> None:
        for bench in benches:
            bench.close()

    part = min(1.0, runner.width / len(benches))
    found = runner.each([partial(_see, bench, options, part) for bench in benches], give_up)
    seen = [one for one in found if isinstance(one, Seen)]
    refusals = {
        bench.backend: one
        for bench, one in zip(benches, found, strict=True)
        if isinstance(one, JacbenchError)
    }
    if not seen:
        raise next(iter(refusals.values()))
    lines = [left_out(name, exc) for name, exc in refusals.items()]
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


def _see(bench: Bench, options: PickOptions, part: float) -> Seen | JacbenchError:
    """Return what one library says, or why it cannot."""
    try:
        with lost_is_told("calling the function, or its derivative, ended its process"):
            look = bench.examine(options.time_limit_s, part)
            samples = bench.samples() if options.structure else Samples(None)
            return Seen(bench=bench, look=look, samples=samples, evidence=bench.evidence())
    except JacbenchError as exc:
        return exc
