"""Progress on a terminal; nothing where standard error is none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.status import Status

from jacbench.core.cell import Cell
from jacbench.core.progress import Quiet
from jacbench.reporting.markup import printable


class Bar:
    """Shows problem, method, elapsed and remaining time in one line."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("starting", total=None)

    def begin(self, what: str) -> None:
        """Say what goes on besides cells."""
        self._progress.update(self._task, description=escape(what))

    def start(self, cell: Cell, what: str) -> None:
        """Name the cell and what is done with it."""
        self._progress.update(
            self._task, description=f"{what:<6} {escape(cell.problem)}  {escape(cell.method)}"
        )

    def advance(self, done: int, total: int) -> None:
        """Move the bar."""
        self._progress.update(self._task, completed=done, total=total)


class Spinner(Quiet):
    """Shows what goes on where nobody knows how much is to come."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def begin(self, what: str) -> None:
        """Say what goes on."""
        self._status.update(escape(printable(what)))


@contextmanager
def spinning(console: Console) -> Iterator[Quiet]:
    """Show what goes on on ``console`` while the block runs, if it is a terminal."""
    if not console.is_terminal:
        yield Quiet()
        return
    with console.status("starting") as status:
        yield Spinner(status)


@contextmanager
def shown(console: Console) -> Iterator[Quiet | Bar]:
    """Show progress on ``console`` while the block runs, if it is a terminal."""
    if not console.is_terminal:
        yield Quiet()
        return
    columns = (
        TextColumn("{task.description}", markup=True),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        # A quarter of a second per refresh: drawing must not disturb the worker.
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, refresh_per_second=4) as progress:
        yield Bar(progress)
