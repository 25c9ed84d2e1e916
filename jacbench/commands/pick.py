"""``jacbench pick FILE.py:NAME``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.markup import escape

from jacbench.commands import output
from jacbench.markup import printable


def pick(
    name: Annotated[
        str,
        typer.Argument(metavar="FILE.py:NAME", help="Your function; or package.module:NAME."),
    ],
    shape: Annotated[
        list[str] | None,
        typer.Option("--shape", metavar="N[,N...]", help="Random numbers as x: 32,6."),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option("--input", metavar="FILE", help="x from a .npy or .npz file."),
    ] = None,
    dtype: Annotated[
        str | None, typer.Option("--dtype", help="float64 or float32 (default: that of x).")
    ] = None,
    argnum: Annotated[int, typer.Option("--argnum", help="Which argument x is.")] = 0,
    wrt: Annotated[
        str, typer.Option("--wrt", help="A module: by its inputs or its parameters.")
    ] = "inputs",
    model_output: Annotated[
        str | None, typer.Option("--output", help="A module that returns several: which.")
    ] = None,
    form: Annotated[
        str | None,
        typer.Option("--format", help="dense, blocks (per sample), csr or factors."),
    ] = None,
    today: Annotated[
        str | None, typer.Option("--today", metavar="METHOD", help="What you use now.")
    ] = None,
    calls: Annotated[
        int | None,
        typer.Option("--calls", metavar="N", help="How often it is wanted: preparation counts."),
    ] = None,
    memory: Annotated[
        str | None, typer.Option("--memory", metavar="SIZE", help="What a call may need: 2GiB.")
    ] = None,
    compile_: Annotated[
        bool, typer.Option("--compile/--no-compile", help="Try torch.compile, for seconds.")
    ] = True,
    threads: Annotated[int, typer.Option("--threads", help="For every library.")] = 1,
    time_limit: Annotated[
        float, typer.Option("--time-limit", metavar="SECONDS", help="For checking and timing.")
    ] = 60.0,
    seed: Annotated[int, typer.Option("--seed", help="Of the order of measurements.")] = 0,
    json_file: output.Json = None,
) -> None:
    """Find the right and fastest way of computing the Jacobian of your function, here.

    x comes from the file (x = ..., or a function inputs()), from --shape or from --input.
    """
    from jacbench.picking import operation  # noqa: PLC0415
    from jacbench.picking.asking import Asked  # noqa: PLC0415

    output.writable(json_file)
    asked = Asked(
        named=name,
        shape=tuple(shape or ()),
        dtype=dtype,
        file=file,
        argnum=argnum,
        wrt=wrt,
        output=model_output,
    )
    wanted = operation.Wanted(
        time_limit_s=time_limit,
        calls=calls,
        memory=memory,
        form=form,
        today=today,
        compile=compile_,
        threads=threads,
        seed=seed,
    )
    try:
        with _status() as tell:
            answer = operation.pick_named(asked, wanted, tell)
    except KeyboardInterrupt:
        sys.stderr.write("jacbench: interrupted\n")
        raise typer.Exit(output.INTERRUPTED) from None
    if not output.printed_as_json(answer.to_json(), json_file):
        from jacbench.picking import report  # noqa: PLC0415

        report.show(answer, output.console())


@contextmanager
def _status() -> Iterator[Callable[[str], None]]:
    """Say on a terminal what goes on; nothing where standard error is none."""
    from jacbench.picking.operation import quiet  # noqa: PLC0415

    console = output.console(stderr=True)
    if not console.is_terminal:
        yield quiet
        return
    with console.status("starting") as status:
        yield lambda what: status.update(escape(printable(what)))
