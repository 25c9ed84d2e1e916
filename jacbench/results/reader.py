"""Results files are read as untrusted data: nothing in them is executed."""

from __future__ import annotations

import itertools
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from jacbench.core.errors import JacbenchError
from jacbench.results.run import SCHEMA, Run, from_json
from jacbench.results.schema import RunJson


def read(path: str | os.PathLike[str]) -> Run:
    """Read a results file, or what ``--json`` wrote, as untrusted data: nothing is executed.

    Raises
    ------
    JacbenchError
        One line where the file cannot be read, is cut short, is not JSON, is of another kind or
        of a newer schema.
    """
    return _parse(load(path, _no_constant), f"results file {str(path)!r}")


def _parse(content: Any, who: str) -> Run:
    """Return the run in what a results file holds; ``who`` names the file in errors."""
    inner = content.get("jacbench") if isinstance(content, dict) else None
    if isinstance(content, dict) and {"schema", "fingerprint", "cells"} <= set(content):
        inner = content  # what --json wrote: the object alone
    if not isinstance(inner, dict):
        kind = (
            "pytest-benchmark file without jacbench's cells" if _is_benchmark(content) else "file"
        )
        raise JacbenchError(f"{who} is another kind of {kind}: give one that jacbench run wrote")
    schema = inner.get("schema")
    if type(schema) is not int or not 1 <= schema <= SCHEMA:
        raise JacbenchError(
            f"{who} has schema {schema!r} and this jacbench reads up to {SCHEMA}: "
            "pip install --upgrade jacbench"
        )
    try:
        return _run(inner, content.get("benchmarks", []))
    except msgspec.ValidationError as exc:
        why = " ".join(str(exc).split())[:200]
        raise JacbenchError(f"{who} is damaged ({why}): make it again with jacbench run") from None
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as exc:
        raise JacbenchError(
            f"{who} is damaged ({type(exc).__name__}: {str(exc)[:200]}): make it again with "
            "jacbench run"
        ) from None


def load(path: str | os.PathLike[str], constant: Callable[[str], Any]) -> Any:
    """Return what a JSON file holds, with bare NaN and infinities through ``constant``.

    Raises
    ------
    JacbenchError
        One line where the file cannot be read, is cut short or is not JSON.
    """
    who = f"results file {str(path)!r}"
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as exc:
        raise JacbenchError(
            f"{who} cannot be read: {getattr(exc, 'strerror', None) or exc}"
        ) from None
    try:
        return json.loads(text, parse_constant=constant)
    except (ValueError, RecursionError) as exc:
        # A string is unterminated only where the file ends, and told by where it starts.
        end = getattr(exc, "pos", 0) >= len(text.rstrip()) - 1
        cut = not text.strip() or end or "Unterminated string" in str(exc)
        state = "is cut short" if cut else f"is not JSON ({exc})"
        raise JacbenchError(f"{who} {state}: make it again with jacbench run") from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _is_benchmark(content: Any) -> bool:
    return isinstance(content, dict) and "benchmarks" in content and "machine_info" in content


def _run(inner: Mapping[str, Any], benchmarks: Sequence[Any]) -> Run:
    msgspec.convert(inner, RunJson)
    for row in inner["cells"]:
        _check_numbers(row)
    cells = [from_json(row) for row in inner["cells"]]
    by_key = {result.cell.key: result.cell for result in cells}
    visits = {
        by_key[row["param"]]: _visits(row) for row in benchmarks if row.get("param") in by_key
    }
    ending = inner.get("ending")
    return Run(
        cells,
        dict(inner["fingerprint"]),
        {str(name): str(why) for name, why in dict(inner.get("absent", {})).items()},
        visits,
        bool(inner.get("interrupted", False)),
        {str(name): _finite(value) for name, value in dict(inner.get("seconds", {})).items()},
        dict(inner.get("options", {})),
        None if ending is None else str(ending),
    )


def _visits(row: Mapping[str, Any]) -> list[list[float]]:
    """Return the samples of a row by visit; all in one where the file does not say."""
    data = [_finite(value) for value in row["stats"].get("data", [])]
    rounds = row.get("extra_info", {}).get("visit_rounds")
    if not isinstance(rounds, list) or any(type(n) is not int or n < 1 for n in rounds):
        return [data] if data else []
    if sum(rounds) != len(data):
        raise ValueError(f"{len(data)} samples, and visits of {sum(rounds)}")
    ends = list(itertools.accumulate(rounds))
    return [data[end - count : end] for end, count in zip(ends, rounds, strict=True)]


def _check_numbers(row: Mapping[str, Any]) -> None:
    """Refuse what no definition tells: 1e999 is JSON, and an integer may have a thousand digits."""
    for value in (*row.values(), *row.get("outliers", {}).values()):
        if isinstance(value, (int, float)):
            _finite(value)


def _finite(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{str(value)[:80]!r} is not a number")
    if not math.isfinite(value):
        raise ValueError(f"{value!r} is not finite")
    return float(value)
