"""``jacbench.sweep``: the command as a function."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from jacbench import api, driver, results, results_writer
from jacbench.results import Run
from jacbench.settings import Settings
from jacbench.sweeping import plot as drawing
from jacbench.sweeping.outcome import Sweep, outcome
from jacbench.sweeping.sizes import Sizes, plan

TIMEOUT_S = 60.0
"""What one cell may take where nothing is said: a sweep goes on until something takes too long."""


def sweep(
    problem: str,
    sizes: Mapping[str, Sizes],
    *,
    methods: Sequence[str] = (),
    operators: Sequence[str] = ("jacobian",),
    devices: Sequence[str] = (),
    dtypes: Sequence[str] = (),
    threads: int | Sequence[int] = 1,
    timeout_s: float = TIMEOUT_S,
    start_timeout_s: float = 120.0,
    memory: str | None = None,
    chunk_size: int | None = None,
    cpus: Sequence[int] | None = None,
    visits: int = 6,
    budget_s: float = 0.6,
    total_s: float | None = None,
    seed: int = 0,
    plot: str | os.PathLike[str] | None = None,
    output: str | os.PathLike[str] | None = None,
    progress: driver.Progress | None = None,
) -> Sweep:
    """Measure a problem over sizes: growth of time and memory, and which method wins where.

    Sizes and methods are measured in one run, in random order; a size at which a method takes too
    long, or too much memory, has that verdict, and the others go on.

    Parameters
    ----------
    problem
        Its name in the catalogue.
    sizes
        Values of its parameters: ``{"n": "16:4096"}`` for doublings, ``"16:4096:5"`` for five
        geometric steps, ``"16,32,100"`` or a sequence for a list. Several that vary go together,
        step by step.
    operators
        Names, as on the command line.
    plot
        A file that gets the plot: PNG or SVG, by its ending. It needs matplotlib.
    output
        A folder that gets a results file, with what was found as ``sweep``; None: none is written.
    methods, devices, dtypes, threads, timeout_s, start_timeout_s, memory, chunk_size, cpus
        As for :func:`jacbench.check`.
    visits, budget_s, total_s, seed, progress
        As for :func:`jacbench.run`.

    Raises
    ------
    JacbenchError
        For what was asked wrongly, in one line, before anything is computed.
    """
    asked = plan(problem, sizes)
    file = None if plot is None else Path(plot)
    if file is not None:
        drawing.check(file)
    run = api.run(
        *asked.names,
        methods=methods,
        operators=operators,
        devices=devices,
        dtypes=dtypes,
        threads=threads,
        timeout_s=timeout_s,
        start_timeout_s=start_timeout_s,
        memory=memory,
        chunk_size=chunk_size,
        cpus=cpus,
        visits=visits,
        budget_s=budget_s,
        total_s=total_s,
        seed=seed,
        output=output,
        progress=progress,
    )
    found = outcome(run, asked)
    _keep(found, file)
    return found


def _keep(found: Sweep, plot: Path | None) -> None:
    """Add what was found to the results file, and draw the plot, where either was asked for."""
    if found.run.path is not None:
        found.run.path = results_writer.write(found.run.path, document(found))
    if plot is not None:
        drawing.draw(found, plot)


def document(found: Sweep) -> dict[str, object]:
    """Return the content of the results file: that of the run, and the ``sweep`` object."""
    return {**results.document(found.run, _options(found.run)), "sweep": found.found()}


def _options(run: Run) -> dict[str, object]:
    return Settings.from_json(run.options).benchmark_options()
