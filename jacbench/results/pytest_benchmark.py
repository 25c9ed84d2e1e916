"""Files of plain pytest-benchmark, of any project, read as untrusted data.

Such a file holds rows and statistics and says nothing of right and wrong. Rows are told apart by
``fullname``; ``group`` depends on how they were shown.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from jacbench.core.errors import JacbenchError
from jacbench.results import reader

MACHINE = {
    "machine": "architecture",
    "system": "system",
    "release": "release",
    "python_version": "python",
    "python_implementation": "python_implementation",
}
"""What pytest-benchmark calls parts of a machine, and what a fingerprint does."""

HARNESS = ("timer", "disable_gc")
"""Options of a row that change what its time is."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One benchmark.

    Attributes
    ----------
    name
        Its ``fullname``; a number is added where it stands in the file more than once.
    samples
        Seconds per call, one per round; empty where the file was saved without them.
    median_s, iqr_s, rounds
        As the file says.
    extra
        What the benchmark added of its own.
    params
        Its parameters.
    """

    name: str
    samples: tuple[float, ...] = ()
    median_s: float | None = None
    iqr_s: float | None = None
    rounds: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class File:
    """A file of plain pytest-benchmark.

    Attributes
    ----------
    rows
        By name, in the file's order.
    fingerprint
        The machine and the versions, as far as the file says, in the words of a results file.
    repeated
        Names that stood in the file more than once.
    """

    rows: Mapping[str, Row]
    fingerprint: Mapping[str, Any]
    repeated: tuple[str, ...] = ()


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the object that a JSON file holds; bare NaN and infinities are None.

    Raises
    ------
    JacbenchError
        One line where the file cannot be read, is cut short, is not JSON or holds no object.
    """
    who = f"results file {str(path)!r}"
    # NaN in extra_info is written bare: no reason to refuse the times beside it.
    content = reader.load(path, lambda _: None)
    if not isinstance(content, dict):
        raise JacbenchError(f"{who} holds no results: give a file that jacbench run wrote")
    return content


def is_plain(content: Mapping[str, Any]) -> bool:
    """Say whether ``content`` is pytest-benchmark's and holds nothing of jacbench's."""
    return "benchmarks" in content and "jacbench" not in content and "cells" not in content


def parse(content: Mapping[str, Any], path: str | os.PathLike[str]) -> File:
    """Return what is compared of a plain file; ``path`` names it in errors.

    Raises
    ------
    JacbenchError
        One line where a row is not what pytest-benchmark writes.
    """
    found: dict[str, Row] = {}
    repeated: list[str] = []
    for row in rows(content, path):
        name, count = row.name, 1
        while name in found:
            count += 1
            name = f"{row.name} (#{count})"
        if count == 2:
            repeated.append(row.name)
        found[name] = Row(**{**vars(row), "name": name})
    return File(rows=found, fingerprint=fingerprint(content), repeated=tuple(repeated))


def rows(content: Mapping[str, Any], path: str | os.PathLike[str]) -> Iterator[Row]:
    """Yield the rows of ``content``, in the file's order.

    Raises
    ------
    JacbenchError
        One line for the first row that is not what pytest-benchmark writes.
    """
    benchmarks = content.get("benchmarks", [])
    if not isinstance(benchmarks, list):
        raise JacbenchError(f"results file {str(path)!r} is damaged: benchmarks is no array")
    for number, row in enumerate(benchmarks, 1):
        try:
            yield _row(row)
        except (LookupError, TypeError, ValueError, ArithmeticError) as exc:
            raise JacbenchError(
                f"results file {str(path)!r} is damaged: benchmark {number}: "
                f"{str(exc)[:200]}: measure again"
            ) from None


def _row(row: Any) -> Row:
    row = _mapping(row, "it")
    name = row.get("fullname", row.get("name"))
    if not isinstance(name, str) or not name:
        raise TypeError(f"fullname is {str(name)[:80]!r}")
    stats = _mapping(row.get("stats"), "stats")
    data = stats.get("data")
    if not isinstance(data, (list, type(None))):
        raise TypeError("stats.data is no array")
    median, iqr, rounds = (_number(stats.get(name), name) for name in ("median", "iqr", "rounds"))
    samples = tuple(_seconds(value, "stats.data") for value in data or ())
    return Row(
        name=name,
        samples=samples,
        median_s=None if median is None else _seconds(median, "stats.median"),
        iqr_s=iqr,
        rounds=len(samples) or (None if rounds is None else int(rounds)),
        extra=_mapping(row.get("extra_info"), "extra_info"),
        params=_mapping(row.get("params"), "params"),
    )


def _mapping(value: Any, name: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise TypeError(f"{name} is no object")
    return value


def _number(value: Any, name: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} is {str(value)[:80]!r}")
    number = float(value)
    if not math.isfinite(number) or number < 0:
        raise ValueError(f"{name} is {number}")
    return number


def _seconds(value: Any, name: str) -> float:
    number = _number(value, name)
    if number is None:
        raise TypeError(f"{name} holds what is no number")
    return number


def fingerprint(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fingerprint that ``machine_info`` amounts to; the host's name is left out."""
    info = content.get("machine_info")
    info = info if isinstance(info, dict) else {}
    cpu = info.get("cpu")
    cpu = cpu if isinstance(cpu, dict) else {}
    machine = {ours: info.get(theirs) for theirs, ours in MACHINE.items()}
    machine["cpu"] = cpu.get("brand_raw") or info.get("processor")
    told: dict[str, Any] = {k: v for k, v in machine.items() if v and isinstance(v, str)}
    cores = cpu.get("count")
    if isinstance(cores, int) and not isinstance(cores, bool):
        told["cores"] = cores
    return {"machine": told, "versions": {}, "settings": {"pytest-benchmark": _harness(content)}}


def _harness(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of the first row: they are the same in all unless a mark says other."""
    benchmarks = content.get("benchmarks")
    first = benchmarks[0] if isinstance(benchmarks, list) and benchmarks else {}
    options = first.get("options") if isinstance(first, dict) else {}
    options = options if isinstance(options, dict) else {}
    return {name: options[name] for name in HARNESS if isinstance(options.get(name), (str, bool))}
