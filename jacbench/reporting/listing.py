"""What ``jacbench list`` shows on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text


def render(everything: Mapping[str, Any]) -> RenderableType:
    """Return the tables of backends, devices, methods and problems."""
    backends = [(b["name"], _state(b), b.get("reason", "")) for b in everything["backends"]]
    devices = [
        (d["name"], ", ".join(d["backends"]), d.get("reason", "")) for d in everything["devices"]
    ]
    absent = {b["name"] for b in everything["backends"] if "reason" in b}
    methods = [
        (m["name"], "absent" if m["backend"] in absent else m["operator"], m["summary"])
        for m in everything["methods"]
    ]
    operators = [(o["name"], "", o["summary"]) for o in everything["operators"]]
    problems = [(_sized(p), f"{p['m']} x {p['n']}", p["summary"]) for p in everything["problems"]]
    tables = (
        _table("backends", ("name", "version", ""), backends),
        _table("devices", ("name", "backends", ""), devices),
        _table("operators", ("name", "", "what is computed"), operators),
        _table("methods", ("name", "operator", "what it is"), methods),
        _table("problems", ("name", "m x n", "what it is"), problems),
    )
    return Group(*(part for table in tables for part in (table, Text())))


def _sized(problem: Mapping[str, Any]) -> str:
    """Return the problem's name with the sizes that can be asked for, and their defaults."""
    sizes = ",".join(f"{name}={value}" for name, value in problem["parameters"].items())
    return f"{problem['name']}[{sizes}]" if sizes else problem["name"]


def _state(backend: Mapping[str, Any]) -> str:
    if "reason" in backend:
        return "absent"
    return f"{backend['version']}{' (oracle)' * backend['oracle']}"


def _table(title: str, head: Sequence[str], body: Sequence[Sequence[str]]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for index, name in enumerate(head):
        table.add_column(name, no_wrap=index < 2, justify="left")
    for row in body:
        table.add_row(*(Text(cell) for cell in row))
    return table
