"""The command ``jacbench gate``."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jacbench.commands import options, output
from jacbench.core.errors import JacbenchError

if TYPE_CHECKING:
    from jacbench.gating.gate import Asked, GateRun
    from jacbench.gating.settings import GateSettings

What = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[PATTERN|FILE.py:NAME]...",
        help="Problems by name ('basics/*', the default) or in a file of yours.",
    ),
]

# --- the two sides ---

BasePython = Annotated[
    str | None,
    typer.Option("--base-python", metavar="PYTHON", help="The interpreter or environment of base."),
]
HeadPython = Annotated[
    str | None,
    typer.Option(
        "--head-python", metavar="PYTHON", help="Of head (default: the environment that runs this)."
    ),
]
BaseRef = Annotated[
    str | None,
    typer.Option(
        "--base-ref", metavar="COMMIT", help="Base is this commit of the repository you are in."
    ),
]
HeadRef = Annotated[
    str | None,
    typer.Option(
        "--head-ref", metavar="COMMIT", help="Of head (default: the working tree as it is)."
    ),
]
Folders = Annotated[
    list[str] | None,
    typer.Option(
        "--path",
        metavar="FOLDER",
        help="Import from this folder of each checkout (default: . and src).",
    ),
]

# --- how it measures and decides ---

Policy = Annotated[
    Path | None, typer.Option("--policy", metavar="FILE", help="Limits by pattern, as TOML.")
]
TimeLimit = Annotated[
    float | None,
    typer.Option("--time-limit", metavar="SECONDS", help="What the whole gate may take."),
]
Memory = Annotated[
    str | None,
    typer.Option("--memory", metavar="SIZE", help="What checking one Jacobian may need."),
]
Launches = Annotated[
    int, typer.Option("--launches", metavar="N", help="Pairs of fresh workers before a decision.")
]
Blocks = Annotated[
    int, typer.Option("--blocks", metavar="N", help="Pairs of blocks of a cell in each launch.")
]
Extensions = Annotated[
    int,
    typer.Option(
        "--extensions", metavar="N", help="How often an undecided cell gets as much again."
    ),
]
Seed = Annotated[int, typer.Option("--seed", help="Of every random order.")]

# --- where the result goes ---

HeadResults = Annotated[
    Path | None, typer.Option("--output", metavar="FOLDER", help="Write head's results there.")
]
Summary = Annotated[
    Path | None,
    typer.Option(
        "--markdown",
        metavar="FILE",
        help="Append the summary, as Markdown, for a page of CI.",
    ),
]

# --- the self-test ---

SelfTest = Annotated[
    bool,
    typer.Option(
        "--self-test", help="Base against itself: false alarms and power on this machine."
    ),
]
Pairs = Annotated[
    int,
    typer.Option("--pairs", metavar="N", help="Of the self-test: identical pairs, at least."),
]
Cells = Annotated[
    int, typer.Option("--cells", metavar="N", help="Of the self-test: cells, at most.")
]
Neighbours = Annotated[
    int,
    typer.Option("--neighbours", metavar="N", help="Of the self-test: busy processes beside it."),
]


def gate(
    what: What = None,
    base_python: BasePython = None,
    head_python: HeadPython = None,
    base_ref: BaseRef = None,
    head_ref: HeadRef = None,
    path: Folders = None,
    method: options.Methods = None,
    operator: options.JacobianByDefault = None,
    device: options.NamedDevices = None,
    dtype: options.NamedDtypes = None,
    threads: options.ThreadCount = 1,
    policy: Policy = None,
    time_limit: TimeLimit = None,
    timeout: options.Timeout = 300.0,
    memory: Memory = None,
    launches: Launches = 4,
    blocks: Blocks = 10,
    extensions: Extensions = 3,
    seed: Seed = 0,
    output_folder: HeadResults = None,
    markdown: Summary = None,
    self_test: SelfTest = False,
    pairs: Pairs = 60,
    cells: Cells = 30,
    neighbours: Neighbours = 0,
    json_file: options.Json = None,
) -> None:
    """Compare base with head in one job: fail where a Jacobian became wrong or really slower.

    Two environments (--base-python) or two commits (--base-ref) are measured side by side, in
    turns, on this machine; no time is ever compared with a stored one.
    """
    from jacbench.gating import run_gate  # noqa: PLC0415
    from jacbench.gating.gate import Asked  # noqa: PLC0415
    from jacbench.gating.settings import GateSettings  # noqa: PLC0415
    from jacbench.reporting.progress import shown  # noqa: PLC0415

    output.writable(json_file)
    if markdown is not None:
        output.writable(str(markdown), option="--markdown")
    settings = GateSettings(
        threads=threads,
        launches=launches,
        blocks=blocks,
        extensions=extensions,
        time_limit_s=time_limit,
        timeout_s=timeout,
        memory=memory,
        seed=seed,
    )
    chosen: dict[str, Sequence[str]] = {
        "methods": method or (),
        "operators": operator or ("jacobian",),
        "devices": device or (),
        "dtypes": dtype or (),
    }
    if self_test:
        _no_sides(base_python, head_python, base_ref, head_ref, policy, output_folder)
        asked = Asked(what=what or run_gate.DEFAULT, threads=threads, **chosen)
        _self_test(asked, settings, pairs, cells, neighbours, markdown, json_file)
        return
    with shown(output.console(stderr=True)) as progress:
        done = run_gate.gate(
            *(what or ()),
            base_python=base_python,
            head_python=head_python,
            base_ref=base_ref,
            head_ref=head_ref,
            path=path or (),
            policy=policy,
            output=output_folder,
            settings=settings,
            progress=progress,
            **chosen,
        )
    _report(done, markdown, json_file)
    if done.interrupted:
        raise typer.Exit(output.INTERRUPTED)
    if not done.ok:
        raise typer.Exit(1)


def _no_sides(*given: object) -> None:
    """Say that a self-test has no place for ``given``, what names or judges two sides."""
    if any(value is not None for value in given):
        raise JacbenchError(
            "--self-test compares this environment with itself: leave --base-…, --head-…, "
            "--policy and --output out"
        )


def _report(done: GateRun, markdown: Path | None, json_file: str | None) -> None:
    from jacbench.reporting import gate_report  # noqa: PLC0415

    if markdown is not None:
        _append(markdown, gate_report.markdown(done))
    if not output.printed_as_json(done.to_json(), json_file):
        console = output.console()
        console.print(gate_report.terminal(done, console))
        if done.path is not None:
            console.print(f"results: {done.path}", highlight=False, markup=False, soft_wrap=True)


def _self_test(
    asked: Asked,
    settings: GateSettings,
    pairs: int,
    cells: int,
    neighbours: int,
    markdown: Path | None,
    json_file: str | None,
) -> None:
    from jacbench.core.interrupts import counted_interrupts  # noqa: PLC0415
    from jacbench.gating import selftest  # noqa: PLC0415
    from jacbench.gating.measurement import INTERRUPTED  # noqa: PLC0415
    from jacbench.reporting import selftest_report  # noqa: PLC0415
    from jacbench.reporting.progress import shown  # noqa: PLC0415

    def save(found: Any) -> None:
        # After each repetition: hours of measuring must not be lost to an interrupt.
        if json_file not in (None, "-"):
            output.printed_as_json(found.to_json(), json_file)

    with counted_interrupts(), shown(output.console(stderr=True)) as progress:
        found = selftest.self_test(
            asked, settings, progress, pairs=pairs, cells=cells, busy=neighbours, save=save
        )
    if markdown is not None:
        title = "### What the gate can resolve here\n\n"
        _append(markdown, title + selftest_report.markdown(found.to_json()))
    if not output.printed_as_json(found.to_json(), json_file):
        output.console().print(selftest_report.terminal(found.to_json()))
    if found.stopped == INTERRUPTED:
        raise typer.Exit(output.INTERRUPTED)


def _append(file: Path, text: str) -> None:
    with file.open("a", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    sys.stdout.flush()
