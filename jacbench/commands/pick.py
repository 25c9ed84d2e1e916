"""``jacbench pick FILE.py:NAME``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from jacbench.commands import options, output

Name = Annotated[
    str,
    typer.Argument(
        metavar="FILE.py:NAME", help="Your function; or package.module:NAME, or a problem."
    ),
]

# --- x, and what f is by it ---

Shapes = Annotated[
    list[str] | None,
    typer.Option("--shape", metavar="N[,N...]", help="Random numbers as x: 32,6."),
]
Input = Annotated[
    str | None, typer.Option("--input", metavar="FILE", help="x from a .npy or .npz file.")
]
Dtype = Annotated[
    str | None, typer.Option("--dtype", help="float64 or float32 (default: that of x).")
]
Argnum = Annotated[int, typer.Option("--argnum", help="Which argument x is.")]
Wrt = Annotated[str, typer.Option("--wrt", help="A module: by its inputs or its parameters.")]
Entry = Annotated[
    str | None, typer.Option("--output", metavar="NAME|INDEX", help="If it returns several: which.")
]
StopsGradient = Annotated[
    bool, typer.Option("--stops-gradient", help="It stops gradients on purpose.")
]

# --- what is wanted of the answer ---

Format = Annotated[
    str | None, typer.Option("--format", help="dense, blocks (per sample), csr or factors.")
]
Today = Annotated[str | None, typer.Option("--today", metavar="METHOD", help="What you use now.")]
Calls = Annotated[
    int | None,
    typer.Option("--calls", metavar="N", help="How often it is wanted: preparation counts."),
]

# --- how it is measured ---

Memory = Annotated[
    str | None, typer.Option("--memory", metavar="SIZE", help="What a call may need: 2GiB.")
]
Compile = Annotated[
    bool, typer.Option("--compile/--no-compile", help="Try torch.compile, for seconds.")
]
Threads = Annotated[int, typer.Option("--threads", help="For every library.")]
TimeLimit = Annotated[
    float,
    typer.Option("--time-limit", metavar="SECONDS", help="For all but imports and compilers."),
]
CompileLimit = Annotated[
    float, typer.Option("--compile-limit", metavar="SECONDS", help="For all compilers together.")
]
Seed = Annotated[int, typer.Option("--seed", help="Of the order of measurements.")]


def pick(
    name: Name,
    shape: Shapes = None,
    file: Input = None,
    dtype: Dtype = None,
    argnum: Argnum = 0,
    wrt: Wrt = "inputs",
    entry: Entry = None,
    stops_gradient: StopsGradient = False,
    form: Format = None,
    today: Today = None,
    calls: Calls = None,
    memory: Memory = None,
    compile_: Compile = True,
    threads: Threads = 1,
    time_limit: TimeLimit = 60.0,
    compile_limit: CompileLimit = 120.0,
    seed: Seed = 0,
    json_file: options.Json = None,
) -> None:
    """Find the right and fastest way of computing the Jacobian of your function, here.

    x comes from the file (x = ..., or a function inputs()), from --shape or from --input.
    """
    from jacbench.picking.loading.function_request import Asked  # noqa: PLC0415
    from jacbench.picking.options import PickOptions  # noqa: PLC0415
    from jacbench.picking.pick import pick_named  # noqa: PLC0415
    from jacbench.reporting.progress import spinning  # noqa: PLC0415

    output.writable(json_file)
    asked = Asked(
        named=name,
        shape=tuple(shape or ()),
        dtype=dtype,
        file=file,
        argnum=argnum,
        wrt=wrt,
        output=entry,
        stops_gradient=stops_gradient,
    )
    wanted = PickOptions(
        time_limit_s=time_limit,
        compile_limit_s=compile_limit,
        calls=calls,
        memory=memory,
        form=form,
        today=today,
        compile=compile_,
        threads=threads,
        seed=seed,
    )
    try:
        with spinning(output.console(stderr=True)) as progress:
            answer = pick_named(asked, wanted, progress)
    except KeyboardInterrupt:
        sys.stderr.write("jacbench: interrupted\n")
        raise typer.Exit(output.INTERRUPTED) from None
    if not output.printed_as_json(answer.to_json(), json_file):
        from jacbench.reporting import pick_report  # noqa: PLC0415

        pick_report.show(answer, output.console())
