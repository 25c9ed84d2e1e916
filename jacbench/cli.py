"""The command line. Each command imports what it needs when it runs, so that --help is quick."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jacbench.commands import options
from jacbench.commands import output as shared
from jacbench.commands.compare import compare
from jacbench.commands.gate import gate
from jacbench.commands.pick import pick
from jacbench.commands.sweep import SETTINGS as SWEEP_SETTINGS
from jacbench.commands.sweep import sweep
from jacbench.core.errors import JacbenchError, NothingRightError
from jacbench.reporting.markup import printable

if TYPE_CHECKING:
    from jacbench.results.run import Run

app = typer.Typer(
    name="jacbench",
    help="Which way of computing this Jacobian is right, and which is fastest, here?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Patterns = Annotated[
    list[str] | None,
    typer.Argument(metavar="[PATTERN]...", help="Problems, as shell patterns: 'basics/*'."),
]


@app.command("list")
def list_(json_file: options.Json = None) -> None:
    """Show problems, methods, devices; what is absent, and how to get it."""
    from jacbench.reporting import catalog  # noqa: PLC0415

    shared.writable(json_file)
    everything = catalog.everything()
    if not shared.printed_as_json(everything, json_file):
        from jacbench.reporting import listing  # noqa: PLC0415

        shared.console().print(listing.render(everything))


@app.command()
def check(
    patterns: Patterns = None,
    method: options.Methods = None,
    operator: options.Operators = None,
    device: options.Devices = None,
    dtype: options.Dtypes = None,
    threads: options.ThreadCounts = "1",
    timeout: options.Timeout = 300.0,
    start_timeout: options.StartTimeout = 120.0,
    memory: options.Memory = None,
    chunk_size: options.ChunkSize = None,
    rtol: options.Rtol = None,
    atol: options.Atol = None,
    cpus: options.Cpus = None,
    json_file: options.Json = None,
) -> None:
    """Check that methods agree with the reference, and time nothing."""
    from jacbench import api  # noqa: PLC0415
    from jacbench.reporting.progress import shown  # noqa: PLC0415

    shared.writable(json_file)
    with shown(shared.console(stderr=True)) as progress:
        run = api.check(
            *(patterns or ()),
            methods=method or (),
            operators=operator or (),
            devices=device or (),
            dtypes=dtype or (),
            threads=_numbers(threads),
            timeout_s=timeout,
            start_timeout_s=start_timeout,
            memory=memory,
            chunk_size=chunk_size,
            rtol=rtol,
            atol=atol,
            cpus=_processors(cpus),
            progress=progress,
        )
    _report(run, json_file, timed=False)


@app.command()
def run(
    context: typer.Context,
    patterns: Patterns = None,
    method: options.Methods = None,
    operator: options.Operators = None,
    device: options.Devices = None,
    dtype: options.Dtypes = None,
    threads: options.ThreadCounts = "1",
    timeout: options.Timeout = 300.0,
    start_timeout: options.StartTimeout = 120.0,
    memory: options.Memory = None,
    chunk_size: options.ChunkSize = None,
    rtol: options.Rtol = None,
    atol: options.Atol = None,
    cpus: options.Cpus = None,
    visits: options.Visits = 6,
    cell_seconds: options.CellSeconds = 0.6,
    budget: Annotated[
        float | None,
        typer.Option(
            "--budget",
            metavar="SECONDS",
            help="What the whole run may take; what is left goes where intervals are widest.",
        ),
    ] = None,
    seed: options.VisitSeed = 0,
    output: options.ResultsFolder = Path("results"),
    resume: Annotated[
        Path | None,
        typer.Option(
            "--resume",
            metavar="RESULTS",
            help="Measure what this results file lacks, as it was measured, and add it there.",
        ),
    ] = None,
    json_file: options.Json = None,
) -> None:
    """Check agreement, then time what agrees; write one results file."""
    from jacbench import api  # noqa: PLC0415
    from jacbench.reporting.progress import shown  # noqa: PLC0415

    shared.writable(json_file)
    if resume is not None:
        _alone(context)
    with shown(shared.console(stderr=True)) as progress:
        done = api.run(
            *(patterns or ()),
            methods=method or (),
            operators=operator or (),
            devices=device or (),
            dtypes=dtype or (),
            threads=_numbers(threads),
            timeout_s=timeout,
            start_timeout_s=start_timeout,
            memory=memory,
            chunk_size=chunk_size,
            rtol=rtol,
            atol=atol,
            cpus=_processors(cpus),
            visits=visits,
            budget_s=cell_seconds,
            total_s=budget,
            seed=seed,
            output=output,
            resume=resume,
            progress=progress,
        )
    if resume is not None and _complete(done):
        sys.stderr.write(f"jacbench: results file {str(resume)!r}: {done.ending}\n")
        shared.printed_as_json(done.to_json(), json_file)
        return
    _report(done, json_file, timed=True)


def _alone(context: typer.Context) -> None:
    """Say which option has no place beside ``--resume``."""
    beside = {"resume", "budget", "json_file", "patterns"}
    for parameter in context.command.params:
        name = str(parameter.name)
        given = context.get_parameter_source(name)
        if name not in beside and given is not None and given.name == "COMMANDLINE":
            raise JacbenchError(
                f"--resume takes cells and settings from its file: leave out {parameter.opts[-1]}"
            )


def _complete(run: Run) -> bool:
    from jacbench.running.resume import COMPLETE  # noqa: PLC0415

    return run.ending == COMPLETE


def _numbers(text: str) -> list[int]:
    """Return the numbers of threads in ``1,2,4``."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise JacbenchError(
            f"--threads {text!r}: give whole numbers of at least 1, such as 1,2,4"
        ) from None


def _processors(text: str | None) -> tuple[int, ...] | None:
    from jacbench.measuring import affinity  # noqa: PLC0415

    return None if text is None else affinity.parse(text)


@app.command()
def show(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="A results file.")],
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the tables as Markdown.")
    ] = False,
    json_file: options.Json = None,
) -> None:
    """Show the tables of a results file again."""
    from jacbench.results.reader import read  # noqa: PLC0415

    shared.writable(json_file)
    done = read(results)
    if markdown:
        from jacbench.reporting import run_table  # noqa: PLC0415

        if not shared.printed_as_json(done.to_json(), json_file):
            sys.stdout.write(run_table.markdown(done))
        return
    _report(done, json_file, timed=any(cell.median_s for cell in done.cells), judge=False)


app.command()(compare)
app.command()(gate)
app.command()(pick)
app.command(context_settings=SWEEP_SETTINGS)(sweep)


def _report(run: Run, json_file: str | None, *, timed: bool, judge: bool = True) -> None:
    from jacbench.reporting import run_table  # noqa: PLC0415

    if not shared.printed_as_json(run.to_json(), json_file):
        console = shared.console()
        console.print(run_table.terminal(run, console, timed=timed))
        console.print(run_table.summary(run), highlight=False, markup=False)
        for line in filter(None, (run_table.spent(run), run.ending)):
            console.print(printable(line), highlight=False, markup=False, soft_wrap=True)
        for why in run.absent.values():
            left_out = f"left out: {printable(why)}"
            console.print(left_out, highlight=False, markup=False, soft_wrap=True)
        if run.path is not None:
            console.print(f"results: {run.path}", highlight=False, markup=False, soft_wrap=True)
    if run.interrupted:
        sys.stderr.write("jacbench: interrupted: what was measured until then is kept\n")
        raise typer.Exit(shared.INTERRUPTED)
    if judge and not run.ok:
        raise typer.Exit(1)


def main() -> None:
    """Run the command line; a user's mistake is one line and status 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that has no µ gets a ?, not a traceback.
            stream.reconfigure(errors="replace")
    try:
        status = app(standalone_mode=False)
    except JacbenchError as exc:
        # What a user's own file raised, from its own lines on.
        sys.stderr.write("".join(map(_visible, getattr(exc, "told", ""))))
        status = _complain(str(exc), 1 if isinstance(exc, NothingRightError) else 2)
    except KeyboardInterrupt:
        sys.stderr.write("jacbench: interrupted\n")
        status = shared.INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has seen enough.
        sys.stderr.close()
        status = 0
    except Exception as exc:
        # Typer's own complaints, whose classes it does not export.
        if not hasattr(exc, "format_message"):
            raise
        status = _complain(exc.format_message())
    sys.exit(status if isinstance(status, int) else 0)


def _visible(character: str) -> str:
    return character if character == "\n" else printable(character)


def _complain(line: str, status: int = 2) -> int:
    # Without control characters: the line may quote a file's content. Help is told already.
    told = printable(" ".join(line.split()))
    if told:
        sys.stderr.write(f"jacbench: {told}\n")
    return status
