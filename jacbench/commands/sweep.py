"""The command ``jacbench sweep``."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jacbench.commands import options, output
from jacbench.core.errors import JacbenchError

if TYPE_CHECKING:
    from jacbench.sweeping.outcome import Sweep

SETTINGS = {"ignore_unknown_options": True}
"""Of the command: an option that it has not is a size of the problem."""

Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PROBLEM --SIZE VALUES...",
        help="A problem, and sizes of it: --n 16:4096 (doublings), --n 16:4096:5 (five geometric "
        "steps), --n 16,32,100, --width 64. jacbench list says which sizes a problem has.",
    ),
]
Timeout = Annotated[
    float,
    typer.Option(
        "--timeout", metavar="SECONDS", help="What one cell may take: beyond, it is 'timed out'."
    ),
]
Budget = Annotated[
    float | None,
    typer.Option("--budget", metavar="SECONDS", help="What the whole sweep may take."),
]
Plot = Annotated[
    Path | None,
    typer.Option("--plot", metavar="FILE", help="Draw time and memory against size: .png or .svg."),
]


def sweep(
    context: typer.Context,
    words: Words = None,
    method: options.Methods = None,
    operator: options.JacobianByDefault = None,
    device: options.NamedDevices = None,
    dtype: options.NamedDtypes = None,
    threads: options.ThreadCount = 1,
    timeout: Timeout = 60.0,
    memory: options.Memory = None,
    chunk_size: options.ChunkSize = None,
    visits: options.Visits = 6,
    cell_seconds: options.CellSeconds = 0.6,
    budget: Budget = None,
    seed: options.VisitSeed = 0,
    plot: Plot = None,
    output_folder: options.ResultsFolder = Path("results"),
    json_file: options.Json = None,
) -> None:
    """Measure a problem over sizes: how time and memory grow, and which method wins where.

    Sizes that vary together go step by step: --m 16:4096 --n 4096:16 sweeps m / n.
    """
    from jacbench import api  # noqa: PLC0415
    from jacbench.reporting.progress import shown  # noqa: PLC0415

    output.writable(json_file)
    if plot is not None:
        output.writable(str(plot), option="--plot")
    problem, sizes = _parsed(words or (), _options(context))
    with shown(output.console(stderr=True)) as progress:
        done = api.sweep(
            problem,
            sizes,
            methods=method or (),
            operators=operator or ("jacobian",),
            devices=device or (),
            dtypes=dtype or (),
            threads=threads,
            timeout_s=timeout,
            memory=memory,
            chunk_size=chunk_size,
            visits=visits,
            budget_s=cell_seconds,
            total_s=budget,
            seed=seed,
            plot=plot,
            output=output_folder,
            progress=progress,
        )
    _report(done, plot, json_file)
    if done.run.interrupted:
        sys.stderr.write("jacbench: interrupted: what was measured until then is kept\n")
        raise typer.Exit(output.INTERRUPTED)
    if not done.ok:
        raise typer.Exit(1)


def _options(context: typer.Context) -> list[str]:
    known = [name for parameter in context.command.params for name in parameter.opts]
    return [name for name in known if name.startswith("--")]


def _parsed(words: Sequence[str], own: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Return the problem and its sizes from what is no option of the command.

    Raises
    ------
    JacbenchError
        One line for a size without a value or said twice, or other than one problem; for a
        misspelt option, with the near ones.
    """
    from jacbench import problems  # noqa: PLC0415

    sizes: dict[str, str] = {}
    names: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-"):
            names.append(word)
            continue
        option, equals, value = word.partition("=")
        if not equals:
            if not rest or rest[0].startswith("--"):
                raise JacbenchError(f"{option}: give its values, such as {option} 16:4096")
            value = rest.pop(0)
        name = option.lstrip("-")
        if name in sizes:
            raise JacbenchError(f"{option} is given twice: give one range or list")
        sizes[name] = value
    if len(names) != 1:
        told = f"{len(names)} problems: {', '.join(names)}" if names else "no problem to sweep"
        raise JacbenchError(f"{told}: give one, such as jacbench sweep shape/square --n 16:4096")
    has = problems.entry(names[0]).parameters
    for name in sizes:
        if name not in has:
            mine = [f"--{size}" for size in has]
            near = difflib.get_close_matches(f"--{name}", [*mine, *own], n=1, cutoff=0.7)
            raise JacbenchError(
                f"{names[0]} has no size --{name}: it has {', '.join(mine) or 'none'}"
                + (f"; did you mean {near[0]}?" if near else "")
            )
    return names[0], sizes


def _report(done: Sweep, plot: Path | None, json_file: str | None) -> None:
    from jacbench.reporting import run_table, sweep_report  # noqa: PLC0415 - loads NumPy
    from jacbench.reporting.markup import printable  # noqa: PLC0415

    if output.printed_as_json(done.to_json(), json_file):
        return
    console = output.console()
    console.print(sweep_report.terminal(done, console))
    run = done.run
    lines = [run_table.summary(run), run_table.spent(run), run.ending or ""]
    lines += [f"left out: {why}" for why in run.absent.values()]
    lines += [f"results: {run.path}" if run.path else "", f"plot: {plot}" if plot else ""]
    for line in filter(None, lines):
        console.print(printable(line), highlight=False, markup=False, soft_wrap=True)
