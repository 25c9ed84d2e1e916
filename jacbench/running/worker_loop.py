"""In a worker: each cell has its turn when the driver says so, and as often as it says so."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from jacbench.core.cell import Cell
from jacbench.core.redaction import text
from jacbench.measuring import threads
from jacbench.running.pytest_session import Session
from jacbench.workers.channel import Upward


class Turns:
    """Takes the place of pytest's own loop over the collected items.

    Commands are ``{"do": "visit", "cell": KEY, "visit": K}``, ``{"do": "memory", "cell": KEY}`` and
    ``{"do": "end"}``. The events: ``ready``; of a visit ``start``, ``settled`` (once, and where
    the verdict changes), ``timing``, ``asking-again``, ``asked-again`` where that found something,
    ``timed`` and ``done``; ``memory-start`` and ``memory``.
    """

    def __init__(self, session: Session, channel: Upward) -> None:
        self.session = session
        self.channel = channel
        self._failure: str | None = None
        session.tell = channel.send
        threads.die_with_parent()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Run cells until the driver has no more."""
        cells = self.session.cells
        if session.testsfailed or not cells:
            return None  # pytest's own loop says what is wrong with the collection
        items = {_key(item): item for item in session.items}
        self._load(next(iter(cells.values())))
        self.channel.send("ready", too_early=self.session.too_early)
        while (command := self.channel.receive()) is not None and command["do"] != "end":
            key = command["cell"]
            if command["do"] == "memory":
                self.session.measure_memory(cells[key])
            else:
                self._visit(items[key], key, command["visit"])
        return True

    def _load(self, cell: Cell) -> None:
        """Import the library and verify its pins: the memory that takes is no cell's."""
        with contextlib.suppress(Exception):  # its cells say what is wrong with the backend
            self.session.harness.backend(cell.backend)

    def _visit(self, item: pytest.Item, key: str, visit: int) -> None:
        self._failure = None
        self.session.visit = visit
        # Without a next item: any may follow, and none of them shares a fixture with this one.
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
        settings: dict[str, Any] = self.session.harness.settings
        self.channel.send("done", cell=key, visit=visit, settings=settings, failure=self._failure)

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str]:
        """Show no letter: what a dying worker says last begins a line of its own."""
        return report.outcome, "", ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep why pytest itself could not run a cell."""
        if report.failed and report.when != "call":
            lines = report.longreprtext.strip().splitlines() or ["it said nothing"]
            self._failure = text(f"pytest's {report.when} failed: {lines[-1]}")


def _key(item: pytest.Item) -> str:
    """Return the key of an item's cell: its parameters are the cell's."""
    params = dict(item.callspec.params)  # type: ignore[attr-defined]
    del params["visit"]
    return Cell(**{**params, "threads": int(params["threads"])}).key
