"""Workers: a process for each library that can do what a command line names."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from jacbench.core.errors import JacbenchError
from jacbench.core.progress import Progress
from jacbench.picking.benches.remote import Limits, RemoteBench
from jacbench.picking.libraries import contestants, left_out, lost_is_told
from jacbench.picking.loading.function_request import Asked
from jacbench.workers.pool import Abreast


@contextmanager
def workers(
    asked: Asked, limits: Limits, progress: Progress, runner: Abreast
) -> Iterator[tuple[list[RemoteBench], list[str]]]:
    """Start a worker for each library that can do it; the first says which those are.

    With why a library is left out, a line each.
    """
    with tempfile.TemporaryDirectory(prefix="jacbench-pick-", ignore_cleanup_errors=True) as root:
        every: list[RemoteBench] = [RemoteBench(asked, Path(root) / "0", limits)]

        def end() -> None:
            for bench in every:
                bench.close()

        try:
            progress.begin(f"loading {asked.named}")
            _open(every[0])
            backends = contestants(every[0].described["backends"])
            every.extend(
                RemoteBench(asked, Path(root) / str(number), limits)
                for number in range(1, len(backends))
            )
            progress.begin(f"starting {', '.join(backends)}")
            starting = zip(every, backends, strict=True)
            found = runner.each([partial(_start, *one) for one in starting], end)
            benches = [one for one in found if isinstance(one, RemoteBench)]
            refusals = [
                (backend, one)
                for backend, one in zip(backends, found, strict=True)
                if isinstance(one, JacbenchError)
            ]
            if not benches:
                raise refusals[0][1]
            yield benches, [left_out(*one) for one in refusals]
        finally:
            end()


def _open(bench: RemoteBench) -> None:
    with lost_is_told(f"{bench.named}: the process that loads and calls it was lost"):
        bench.open()


def _start(bench: RemoteBench, backend: str) -> RemoteBench | JacbenchError:
    """Return the bench, ready with a library, or why it is not."""
    try:
        if not bench.described:
            _open(bench)
        with lost_is_told("its process was lost as it started"):
            bench.start(backend)
    except JacbenchError as exc:
        return exc
    return bench
