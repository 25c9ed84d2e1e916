"""The table of the self-test: false alarms and power, from what ``--json`` wrote."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from jacbench.reporting.markup import escaped, markdown_lines, printable

HEAD = ("rule", "quantity", "injected", "pairs", "flagged", "share", "95 %", "undecided")


def rows(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return the table's rows, in the order of :data:`HEAD`; ``found`` is a self-test's object."""
    return [_row(rate) for rate in found["rates"]]


def _row(rate: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        rate["rule"],
        rate["quantity"],
        f"+{100 * rate['injected']:.0f} %" if rate["injected"] else "none",
        str(rate["pairs"]),
        str(rate["flagged"]),
        _percent(rate["flagged"] / rate["pairs"]),
        f"{_percent(rate['low'])} to {_percent(rate['high'])}",
        str(rate["undecided"]),
    )


def _percent(share: float) -> str:
    return f"{100 * abs(share):.1f} %"


def lines(found: Mapping[str, Any]) -> list[str]:
    """Return what is to be known besides the table."""
    told = [
        "Flagged where nothing was injected: false alarms. Flagged where something was: power. "
        "Undecided: neither regression nor pass, which does not fail a job."
    ]
    order = found["order_effect"]
    if order is not None:
        told.append(
            f"Order: the second of two identical blocks took {order['estimate']:.4f} times the "
            f"first ({order['low']:.4f} to {order['high']:.4f}, 95 %)."
        )
    waiting = found["waiting_for_a_core"]
    busy = f"Busy neighbours: {found['neighbours']}"
    if waiting is not None:
        busy += f"; the workers spent {waiting:.0%} of their time waiting for a core (median)"
    minutes, plain = found["seconds"] / 60, found["seconds_of_pytest_benchmark"] / 60
    if found["stopped"] is not None:
        told.append(f"Ended early: {found['stopped']}. Whole repetitions alone are counted.")
    return [
        *told,
        f"{busy}.",
        f"{minutes:.0f} min, of which {plain:.0f} min for the whole pytest-benchmark sessions "
        "beside it.",
    ]


def terminal(found: Mapping[str, Any]) -> RenderableType:
    """Return the table for a terminal."""
    table = Table(box=SIMPLE_HEAD)
    for index, name in enumerate(HEAD):
        table.add_column(name, justify="left" if index < 3 else "right")
    for row in rows(found):
        table.add_row(*(Text(printable(text)) for text in row))
    return Group(table, *(Text(printable(line)) for line in lines(found)))


def markdown(found: Mapping[str, Any]) -> str:
    """Return the table and what is to be known besides it, as Markdown."""
    told = "\n\n".join(escaped(line) for line in lines(found))
    return "\n".join([*markdown_lines(HEAD, rows(found), "---:"), "", told, ""])
