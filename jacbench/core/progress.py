"""Progress: what everything that takes long says while it goes on."""

from __future__ import annotations

from typing import Protocol

from jacbench.core.cell import Cell


class Progress(Protocol):
    """Somebody who is told how far a run, a gate or a pick has come."""

    def begin(self, what: str) -> None:
        """Say what goes on besides cells: ``starting torch``."""

    def start(self, cell: Cell, what: str) -> None:
        """Say that ``cell`` is worked on: ``check``, ``time`` or ``memory``."""

    def advance(self, done: int, total: int) -> None:
        """Say how many steps are done, of how many."""


class Quiet:
    """Shows nothing."""

    def begin(self, what: str) -> None:
        """Show nothing."""

    def start(self, cell: Cell, what: str) -> None:
        """Show nothing."""

    def advance(self, done: int, total: int) -> None:
        """Show nothing."""
