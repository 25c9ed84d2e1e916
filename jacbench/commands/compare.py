"""``jacbench compare BASE NEW``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from jacbench.commands import options, output


def compare(
    base: Annotated[Path, typer.Argument(metavar="BASE", help="A results file.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="A later one.")],
    policy: Annotated[
        Path | None,
        typer.Option("--policy", metavar="FILE", help="What may change by how much, as TOML."),
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="List what stayed the same, too.")] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the table as Markdown.")
    ] = False,
    json_file: options.Json = None,
) -> None:
    """Compare two results files, cell by cell: what became wrong, vanished, became slower.

    Works on files of plain pytest-benchmark too. The exit status is 1 where a cell became wrong,
    or slower, or needs more than the policy allows. In CI, jacbench gate decides about times.
    """
    from jacbench.comparing.comparison import compare as compared  # noqa: PLC0415
    from jacbench.reporting import comparison_table  # noqa: PLC0415
    from jacbench.results import policy as policies  # noqa: PLC0415

    output.writable(json_file)
    chosen = policies.DEFAULT if policy is None else policies.read(policy)
    found = compared(base, new, chosen)
    if not output.printed_as_json(comparison_table.to_json(found), json_file):
        if markdown:
            sys.stdout.write(comparison_table.markdown(found, every=all_))
        else:
            console = output.console()
            console.print(comparison_table.terminal(found, console, every=all_))
    if not found.ok:
        raise typer.Exit(1)
