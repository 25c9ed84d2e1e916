"""The table of the self-test: false alarms and power."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from jacbench.gate.selftest import SelfTest
from jacbench.markup import escaped, markdown_lines

HEAD = ("rule", "quantity", "injected", "pairs", "flagged", "share", "95 %", "undecided")


def rows(found: SelfTest) -> list[tuple[str, ...]]:
    """Return the table's rows, in the order of :data:`HEAD`."""
    return [_row(rate) for rate in found.rates()]


def _row(rate: dict[str, Any]) -> tuple[str, ...]:
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


def lines(found: SelfTest) -> list[str]:
    """Return what is to be known besides the table."""
    told = [
        "Flagged where nothing was injected: false alarms. Flagged where something was: power. "
        "Undecided: neither regression nor pass, which does not fail a job."
    ]
    order = found.order_effect()
    if order is not None:
        told.append(
            f"Order: the second of two identical blocks took {order.estimate:.4f} times the first "
            f"({order.low:.4f} to {order.high:.4f}, 95 %)."
        )
    if found.waited:
        share = sorted(found.waited)[len(found.waited) // 2]
        told.append(
            f"Busy neighbours: {found.neighbours}; the workers spent {share:.0%} of their time "
            "waiting for a core (median)."
        )
    told.append(
        f"{found.seconds / 60:.0f} min, of which {found.plain_seconds / 60:.0f} min for the whole "
        "pytest-benchmark sessions beside it."
    )
    return told


def terminal(found: SelfTest) -> RenderableType:
    """Return the table for a terminal."""
    table = Table(box=SIMPLE_HEAD)
    for index, name in enumerate(HEAD):
        table.add_column(name, justify="left" if index < 3 else "right")
    for row in rows(found):
        table.add_row(*row)
    return Group(table, *(Text(line) for line in lines(found)))


def markdown(found: Sequence[tuple[str, SelfTest]]) -> str:
    """Return the tables of several self-tests, each under its title."""
    parts = []
    for title, one in found:
        parts += [f"### {escaped(title)}", "", *markdown_lines(HEAD, rows(one), "---:"), ""]
        parts += [f"{escaped(line)}\n" for line in lines(one)]
    return "\n".join(parts)
