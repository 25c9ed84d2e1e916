"""How much may change between two runs, or two versions, before it is called a violation.

A policy is data: a TOML file with the limits of every cell under ``[default]``, and exceptions
under ``[[limit]]``, of which later ones win::

    [default]
    time = 1.10          # the largest ratio new/base that is not called slower
    preparation = 2.0
    memory = 1.2
    error = 10.0         # counts only above a hundredth of the tolerance

    [[limit]]
    problem = "nn/*"     # shell patterns; also operator, device, dtype
    method = "torch.compile-*"
    time = 1.25

    [[limit]]
    problem = "awkward/*"
    ignore = true        # told, never a violation
"""

from __future__ import annotations

import fnmatch
import math
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from jacbench.core.cell import Cell
from jacbench.core.errors import JacbenchError, unknown

PREPARATION_FLOOR_S = 0.010
"""A preparation that takes no more than this longer is never a violation, seconds."""
MEMORY_FLOOR_BYTES = 2**20
"""A call that takes no more than this more memory is never a violation, bytes."""
ERROR_FLOOR = 0.01
"""An error below this share of the tolerance is rounding, whatever its ratio."""

QUANTITIES = ("time", "preparation", "memory", "error")
PATTERNS = ("problem", "method", "operator", "device", "dtype")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one cell may change by: ratios new/base, each above 1.

    Attributes
    ----------
    time, preparation, memory, error
        The largest ratio that is no violation.
    ignore
        True where changes are told and are never a violation.
    """

    time: float = 1.10
    preparation: float = 2.0
    memory: float = 1.2
    error: float = 10.0
    ignore: bool = False

    def preparation_exceeded(self, base_s: float, new_s: float) -> bool:
        """Say whether the preparation grew beyond its limit, and by more than 10 ms."""
        return new_s > self.preparation * base_s and new_s - base_s > PREPARATION_FLOOR_S

    def memory_exceeded(self, base_bytes: float, new_bytes: float) -> bool:
        """Say whether the memory of a call grew beyond its limit, and by more than 1 MiB."""
        return new_bytes > self.memory * base_bytes and new_bytes - base_bytes > MEMORY_FLOOR_BYTES

    def error_exceeded(self, base: float, new: float, tolerance: float | None) -> bool:
        """Say whether the error grew beyond its limit, and above a hundredth of ``tolerance``."""
        return new > self.error * base and new > ERROR_FLOOR * (tolerance or 0.0)


@dataclass(frozen=True)
class Rule:
    """One ``[[limit]]``: shell patterns over a cell's parts, and what it sets where all match."""

    patterns: Mapping[str, str]
    sets: Mapping[str, Any]

    def matches(self, cell: Cell) -> bool:
        """Say whether every pattern matches; a name itself is a pattern too, brackets and all."""
        return all(_matches(getattr(cell, part), text) for part, text in self.patterns.items())

    def __str__(self) -> str:
        return ", ".join(f"{part} {text!r}" for part, text in self.patterns.items()) or "every cell"


@dataclass(frozen=True)
class Policy:
    """The limits of every cell.

    Attributes
    ----------
    default
        Of cells that no rule matches.
    rules
        Exceptions; where several match, the last that sets a limit wins.
    """

    default: Limits = Limits()
    rules: tuple[Rule, ...] = ()

    def limits(self, cell: Cell) -> Limits:
        """Return the limits of ``cell``."""
        found: dict[str, Any] = {}
        for rule in self.rules:
            if rule.matches(cell):
                found |= rule.sets
        return replace(self.default, **found)

    def unused(self, cells: Sequence[Cell]) -> list[str]:
        """Return a line for each rule that matches none of ``cells``: a misspelt name, maybe."""
        return [
            f"limit {number} of the policy ({rule}) matches no cell"
            for number, rule in enumerate(self.rules, 1)
            if not any(map(rule.matches, cells))
        ]


DEFAULT = Policy()
"""What holds where no policy file is given."""


def read(path: str | os.PathLike[str], default: Limits = Limits()) -> Policy:
    """Read a policy file; ``default`` holds where it says nothing.

    Raises
    ------
    JacbenchError
        One line for each mistake that a file can hold: unreadable, not TOML (with the line), an
        unknown key (with the nearest known one), a value of another type, a ratio of 1 or less.
    """
    who = f"policy {str(path)!r}"
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as exc:
        raise JacbenchError(
            f"{who} cannot be read: {getattr(exc, 'strerror', None) or exc}"
        ) from None
    try:
        content = tomllib.loads(text)
    except (ValueError, RecursionError) as exc:
        raise JacbenchError(f"{who} is not TOML: {exc}") from None
    return parse(content, who, default)


def parse(content: Mapping[str, Any], who: str = "policy", otherwise: Limits = Limits()) -> Policy:
    """Return the policy that ``content``, a parsed TOML file, says; ``who`` names it in errors."""
    _known(f"key of {who}", content, ("default", "limit"))
    default = _table(content.get("default", {}), f"{who}: [default]")
    _known(f"key of [default] in {who}", default, QUANTITIES)
    rules = content.get("limit", [])
    if not isinstance(rules, list):
        raise JacbenchError(f"{who}: limit is {_kind(rules)}: write [[limit]], in double brackets")
    ratios = {name: _ratio(value, f"{who}: {name}") for name, value in default.items()}
    return Policy(
        replace(otherwise, **ratios),  # type: ignore[arg-type] # ignore is not among them
        tuple(_rule(rule, f"{who}: limit {i}") for i, rule in enumerate(rules, 1)),
    )


def _rule(rule: Any, who: str) -> Rule:
    table = _table(rule, who)
    _known(f"key of {who}", table, (*PATTERNS, *(field.name for field in fields(Limits))))
    patterns = {part: _pattern(table[part], f"{who}: {part}") for part in PATTERNS if part in table}
    sets = {name: _ratio(table[name], f"{who}: {name}") for name in QUANTITIES if name in table}
    ignore = table.get("ignore")
    if ignore is not None and not isinstance(ignore, bool):
        raise JacbenchError(f"{who}: ignore is {_kind(ignore)}: give true or false")
    if ignore is None and not sets:
        raise JacbenchError(f"{who} sets nothing: give one of {', '.join(QUANTITIES)} or ignore")
    return Rule(patterns, sets if ignore is None else {**sets, "ignore": ignore})


def _known(kind: str, table: Mapping[str, Any], names: Sequence[str]) -> None:
    for name in table:
        if name not in names:
            raise unknown(kind, name, names)


def _table(value: Any, who: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise JacbenchError(f"{who} is {_kind(value)}: give a table of keys and values")
    return value


def _pattern(value: Any, who: str) -> str:
    if not isinstance(value, str) or not value:
        raise JacbenchError(f"{who} is {_kind(value)}: give a shell pattern, such as 'nn/*'")
    return value


def _ratio(value: Any, who: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise JacbenchError(f"{who} is {_kind(value)}: give a ratio above 1, such as 1.1")
    try:
        ratio = float(value)
    except OverflowError:
        ratio = math.inf
    if not (ratio > 1 and math.isfinite(ratio)):
        raise JacbenchError(f"{who} is {ratio:g}: give a ratio above 1, such as 1.1")
    return ratio


def _kind(value: Any) -> str:
    """Return what ``value`` is, shortly: it is quoted in an error."""
    names = {dict: "a table", list: "an array", bool: str(value).lower()}
    return names.get(type(value), repr(value)[:60])


def _matches(name: str, pattern: str) -> bool:
    # A problem's sizes stand in brackets, which a shell pattern would read as a set.
    return name == pattern or fnmatch.fnmatchcase(name, pattern)
