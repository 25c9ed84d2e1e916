"""Arguments and options that more than one command takes, each defined once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

# --- which cells ---

Methods = Annotated[
    list[str] | None, typer.Option("--method", help="Methods, as shell patterns: 'torch.*'.")
]

# `check` and `run` take every cell that there is

Operators = Annotated[
    list[str] | None,
    typer.Option(
        "--operator",
        help="jacobian, value_and_jacobian, batch_jacobian, vjp, jvp, or all (default).",
    ),
]
Devices = Annotated[
    list[str] | None, typer.Option("--device", help="cpu (default), cuda, cuda:1, or all.")
]
Dtypes = Annotated[
    list[str] | None, typer.Option("--dtype", help="float64 (default), float32, or all.")
]
ThreadCounts = Annotated[
    str,
    typer.Option(
        "--threads", metavar="N[,N...]", help="Threads that every library may use: 1, or 1,2,4."
    ),
]

# `gate` and `sweep` measure each cell for long, and take few

JacobianByDefault = Annotated[
    list[str] | None,
    typer.Option("--operator", help="Operators (default: jacobian), or all."),
]
NamedDevices = Annotated[
    list[str] | None, typer.Option("--device", help="cpu (default), cuda, cuda:1.")
]
NamedDtypes = Annotated[
    list[str] | None, typer.Option("--dtype", help="float64 (default), float32.")
]
ThreadCount = Annotated[
    int, typer.Option("--threads", metavar="N", help="Threads of every library.")
]

# --- how they are measured ---

Timeout = Annotated[
    float, typer.Option("--timeout", metavar="SECONDS", help="What one cell may take.")
]
StartTimeout = Annotated[
    float,
    typer.Option("--start-timeout", metavar="SECONDS", help="What a worker may take to start."),
]
Memory = Annotated[
    str | None,
    typer.Option("--memory", metavar="SIZE", help="What one cell may need, e.g. 2GiB."),
]
ChunkSize = Annotated[
    int | None,
    typer.Option(
        "--chunk-size", metavar="N", help="Rows or columns at a time, for methods that take it."
    ),
]
Rtol = Annotated[
    float | None,
    typer.Option(
        "--rtol", metavar="X", help="Error of J, and of each entry, up to which it agrees."
    ),
]
Atol = Annotated[
    float | None,
    typer.Option("--atol", metavar="X", help="What any entry of J may be off by besides."),
]
Cpus = Annotated[
    str | None,
    typer.Option("--cpus", metavar="LIST", help="Processors that workers are bound to: 0,2-3."),
]
Visits = Annotated[int, typer.Option("--visits", metavar="N", help="Separate stretches per cell.")]
CellSeconds = Annotated[
    float,
    typer.Option("--cell-seconds", metavar="SECONDS", help="Time spent on timing one cell."),
]
VisitSeed = Annotated[int, typer.Option("--seed", help="Of the random order of visits.")]

# --- what becomes of the result ---

ResultsFolder = Annotated[
    Path, typer.Option("--output", metavar="FOLDER", help="Where the results file goes.")
]
Json = Annotated[
    str | None,
    typer.Option("--json", metavar="FILE", help="Write the result as JSON; - for standard output."),
]
