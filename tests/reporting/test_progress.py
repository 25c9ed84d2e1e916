"""What goes on is one line on a terminal, and nothing anywhere else."""

from __future__ import annotations

import io

from rich.console import Console

from jacbench.reporting import progress
from tests import samples


def told(*, terminal: bool) -> str:
    file = io.StringIO()
    console = Console(
        file=file,
        force_terminal=terminal,
        width=120,
        color_system=None,
        _environ={},  # a dumb terminal of whoever runs the tests changes nothing
    )
    with progress.shown(console) as bar:
        for step in (
            lambda: bar.begin("starting [bold]torch"),
            lambda: bar.start(samples.cell(problem="odd/[red]name"), "check"),
            lambda: bar.advance(3, 7),
        ):
            step()
            if isinstance(bar, progress.Bar):
                bar._progress.refresh()
    return file.getvalue()


def test_a_terminal_is_told() -> None:
    text = told(terminal=True)
    assert "starting [bold]torch" in text
    assert "check  odd/[red]name  torch.func.jacrev" in text
    assert "3/7" in text


def test_nobody_else_is() -> None:
    assert told(terminal=False) == ""
