"""The operations of the command line as functions, with the same names."""

from __future__ import annotations

import builtins
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jacbench import catalog, driver, in_process, problems, results, selection
from jacbench.cell import Cell
from jacbench.errors import JacbenchError
from jacbench.native import batch_jacobian, jacobian, jvp, value_and_jacobian, vjp
from jacbench.problem import Problem
from jacbench.progress import Quiet
from jacbench.results import Run
from jacbench.results_writer import Store
from jacbench.selection import Selection
from jacbench.settings import Settings

__all__ = [
    "batch_jacobian",
    "check",
    "jacobian",
    "jvp",
    "list",
    "run",
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
    threads: int = 1,
    timeout_s: float = 300.0,
    memory: str | None = None,
    chunk_size: int | None = None,
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
        Threads that every library may use.
    timeout_s
        What one cell may take, seconds.
    memory
        What checking one Jacobian may need, such as ``2GiB``; None: 80 % of what is free.
    chunk_size
        Rows or columns at a time, for methods that take it.
    progress
        Is told what goes on.

    Raises
    ------
    JacbenchError
        For what was asked wrongly, in one line.
    """
    settings = Settings(
        threads=threads,
        timeout_s=timeout_s,
        memory=memory,
        chunk_size=chunk_size,
        timed=False,
    )
    return _go(
        what,
        Selection(
            methods=methods, operators=operators, devices=devices, dtypes=dtypes, threads=threads
        ),
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
    threads: int = 1,
    timeout_s: float = 300.0,
    memory: str | None = None,
    chunk_size: int | None = None,
    visits: int = 3,
    budget_s: float = 0.6,
    seed: int = 0,
    output: str | os.PathLike[str] | None = None,
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
    seed
        Of the random order.
    output
        A folder that gets a results file; None: none is written.

    Raises
    ------
    JacbenchError
        For what was asked wrongly, in one line, before anything is computed.
    """
    settings = Settings(
        threads=threads,
        visits=visits,
        budget_s=budget_s,
        timeout_s=timeout_s,
        memory=memory,
        chunk_size=chunk_size,
        seed=seed,
    )
    chosen = Selection(
        methods=methods, operators=operators, devices=devices, dtypes=dtypes, threads=threads
    )
    return _go(what, chosen, settings, progress, None if output is None else Path(output))


def _go(
    what: Sequence[str | Problem],
    chosen: Selection,
    settings: Settings,
    progress: driver.Progress | None,
    folder: Path | None,
) -> Run:
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
