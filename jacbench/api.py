"""The operations of the command line as functions, with the same names."""

from __future__ import annotations

import builtins
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jacbench import catalog, driver, in_process, problems, results, selection
from jacbench import resume as resumption
from jacbench.cell import Cell
from jacbench.errors import JacbenchError
from jacbench.native import (
    batch_jacobian,
    factored_jacobian,
    jacobian,
    jvp,
    prepare,
    sparse_jacobian,
    value_and_jacobian,
    vjp,
)
from jacbench.problem import Problem
from jacbench.progress import Quiet
from jacbench.results import Run
from jacbench.results_writer import Store
from jacbench.selection import Selection
from jacbench.settings import Settings

__all__ = [
    "batch_jacobian",
    "check",
    "factored_jacobian",
    "jacobian",
    "jvp",
    "list",
    "prepare",
    "run",
    "sparse_jacobian",
    "value_and_jacobian",
    "vjp",
]


def list() -> dict[str, Any]:  # noqa: A001 - the command's name
    """Return backends, methods, problems and devices; imports no autodiff library.

    Each entry has a ``name``; what is absent has a ``reason``.
    """
    return catalog.everything()


def check(
    *what: str | Problem,
    methods: Sequence[str] = (),
    operators: Sequence[str] = (),
    devices: Sequence[str] = (),
    dtypes: Sequence[str] = (),
    threads: int | Sequence[int] = 1,
    timeout_s: float = 300.0,
    start_timeout_s: float = 120.0,
    memory: str | None = None,
    chunk_size: int | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    cpus: Sequence[int] | None = None,
    progress: driver.Progress | None = None,
) -> Run:
    """Check that the selected methods agree with the reference; time nothing.

    Parameters
    ----------
    what
        Shell patterns over problem names (none: all of them), or :class:`Problem` objects. Named
        problems are checked in worker processes, which may crash or hang; objects in this one,
        whose settings change and stay so: float64 in JAX, torch's threads, products at full
        precision.
    methods, operators, devices, dtypes
        Patterns and names, as on the command line; empty: all methods, all operators, ``cpu``,
        ``float64``.
    threads
        Threads that every library may use; several numbers: each cell with each.
    timeout_s
        What one cell may take, seconds.
    start_timeout_s
        What a worker may take to start, imports included, seconds.
    memory
        What one cell may need, such as ``2GiB``; None: 80 % of what is free is refused before it
        is tried, and 90 % of it ends the worker that takes it.
    chunk_size
        Rows or columns at a time, for methods that take it.
    rtol
        Up to which normwise error, and error of an entry over the size of its row or column, a
        Jacobian agrees; None: what the problem says, or what is usual for the dtype. What a
        method, or the reference, is itself good to is allowed in any case.
    atol
        By how much any entry may be off besides: for a Jacobian that is zero, or nearly; None: what
        the problem says, or 0.
    cpus
        Processors that workers are bound to.
    progress
        Is told what goes on.

    Raises
    ------
    JacbenchError
        For what was asked wrongly, in one line.
    """
    settings = Settings(
        timeout_s=timeout_s,
        start_timeout_s=start_timeout_s,
        memory=memory,
        chunk_size=chunk_size,
        rtol=rtol,
        atol=atol,
        cpus=None if cpus is None else tuple(cpus),
        timed=False,
    )
    return _go(
        what,
        _selection(methods, operators, devices, dtypes, threads),
        settings,
        progress,
        None,
    )


def run(
    *what: str | Problem,
    methods: Sequence[str] = (),
    operators: Sequence[str] = (),
    devices: Sequence[str] = (),
    dtypes: Sequence[str] = (),
    threads: int | Sequence[int] = 1,
    timeout_s: float = 300.0,
    start_timeout_s: float = 120.0,
    memory: str | None = None,
    chunk_size: int | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    cpus: Sequence[int] | None = None,
    visits: int = 6,
    budget_s: float = 0.6,
    total_s: float | None = None,
    seed: int = 0,
    output: str | os.PathLike[str] | None = None,
    resume: str | os.PathLike[str] | None = None,
    progress: driver.Progress | None = None,
) -> Run:
    """Check the selected cells, then time those that agree.

    Parameters are those of :func:`check`, and:

    Parameters
    ----------
    visits
        Separate stretches in which each cell is measured, in random order.
    budget_s
        Time spent on timing one cell over all visits, seconds.
    total_s
        Time that the whole run may take, seconds; what is left once every cell has had its visits
        is spent where intervals are widest. None: as long as it takes.
    seed
        Of the random order.
    output
        A folder that gets a results file; None: none is written.
    resume
        A results file that lacks some cells: they are measured as it says, and added to it. Of the
        other arguments only ``total_s`` and ``progress`` count then.

    Raises
    ------
    JacbenchError
        For what was asked wrongly, in one line, before anything is computed.
    """
    if resume is not None:
        return resumption.resume(resume, what, total_s, progress or Quiet())
    settings = Settings(
        visits=visits,
        budget_s=budget_s,
        total_s=total_s,
        timeout_s=timeout_s,
        start_timeout_s=start_timeout_s,
        memory=memory,
        chunk_size=chunk_size,
        rtol=rtol,
        atol=atol,
        cpus=None if cpus is None else tuple(cpus),
        seed=seed,
    )
    chosen = _selection(methods, operators, devices, dtypes, threads)
    return _go(what, chosen, settings, progress, None if output is None else Path(output))


def _selection(
    methods: Sequence[str],
    operators: Sequence[str],
    devices: Sequence[str],
    dtypes: Sequence[str],
    threads: int | Sequence[int],
) -> Selection:
    return Selection(
        methods=methods,
        operators=operators,
        devices=devices,
        dtypes=dtypes,
        threads=threads,
    )


def _say_what_only_workers_can(
    what: Sequence[str | Problem], chosen: Selection, settings: Settings
) -> None:
    """Raise where a problem given as an object is asked for what needs a process of its own."""
    if not any(isinstance(item, Problem) for item in what):
        return
    asked = {
        "several numbers of threads": len(chosen.every_number_of_threads()) > 1,
        "a choice of processors": settings.cpus is not None,
        "a budget": settings.total_s is not None,
    }
    for name, wanted in asked.items():
        if wanted:
            raise JacbenchError(
                f"{name} for a problem given as an object: it runs in this process, and only "
                "workers have that: leave it out"
            )


def _go(
    what: Sequence[str | Problem],
    chosen: Selection,
    settings: Settings,
    progress: driver.Progress | None,
    folder: Path | None,
) -> Run:
    _say_what_only_workers_can(what, chosen, settings)
    given = {item.name: item for item in what if isinstance(item, Problem)}
    patterns = [item for item in what if isinstance(item, str)]
    strangers = [item for item in what if not isinstance(item, (str, Problem))]
    if strangers:
        raise JacbenchError(
            f"{type(strangers[0]).__name__} is neither a pattern over problem names nor a "
            "jacbench.Problem: wrap a function of your own in jacbench.Problem"
        )
    cells: builtins.list[Cell] = []
    if patterns or not given:
        cells += selection.cells(chosen.over(patterns))
        problems.check_brackets([*dict.fromkeys(cell.problem for cell in cells)])
    own = selection.cells(chosen, given=given) if given else []
    save = driver.keep_nothing if folder is None else Store(folder, settings)
    if not own:
        return driver.drive(cells, settings, progress or Quiet(), save)
    if cells:
        save(results.not_run([*cells, *own]), final=False)
    here = in_process.measure(own, given, settings)
    if cells:
        save(here, final=False)
        # Whoever interrupted the first part does not want the second.
        named = (
            results.not_run(cells)
            if here.interrupted
            else driver.drive(cells, settings, progress or Quiet())
        )
        here = results.joined(named, here)
    save(here, final=True)
    return here
