"""Results files: pytest-benchmark's format, with every cell and the fingerprint beside it.

Written atomically, read defensively; they hold data only. ``results.schema.json`` beside this
file describes the ``jacbench`` object.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import NoneType
from typing import Any

from jacbench import fingerprint, selection
from jacbench.cell import Cell, CellResult
from jacbench.errors import JacbenchError

_WORDS = ("problem", "operator", "method", "backend", "device", "dtype")
_NUMBERS = (
    *("m", "n", "error", "tolerance", "prepare_s", "first_call_s", "median_s", "iqr_s"),
    *("rounds", "iterations", "peak_bytes", "chunk_size"),
)
KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(_WORDS, (str,)),
    "threads": (int,),
    **dict.fromkeys(_NUMBERS, (int, float, NoneType)),
    **dict.fromkeys(("reason", "reference", "traceback"), (str, NoneType)),
    "worst": (dict, NoneType),
    "notes": (dict,),
}
"""What each field of a cell may be; a reader refuses anything else."""

SCHEMA = 1
"""Version of the ``jacbench`` object; a reader refuses what is newer."""


@dataclass
class Run:
    """Cells measured together, on one machine.

    Attributes
    ----------
    cells
        What became of each cell, in the order asked for.
    fingerprint
        The machine, the versions and the settings.
    absent
        Backends that were not there, and why.
    samples
        Seconds per call, one per round, over all visits.
    interrupted
        True where the run was stopped before every cell had its turn.
    path
        The results file, once written.
    """

    cells: list[CellResult]
    fingerprint: dict[str, Any]
    absent: dict[str, str] = field(default_factory=dict)
    samples: dict[Cell, list[float]] = field(default_factory=dict)
    interrupted: bool = False
    path: Path | None = None

    @property
    def ok(self) -> bool:
        """True where no cell disagrees, failed, crashed or timed out."""
        return not any(result.verdict.is_fault for result in self.cells)

    def to_json(self) -> dict[str, Any]:
        """Return the ``jacbench`` object, what ``--json`` prints."""
        return {
            "schema": SCHEMA,
            "fingerprint": json_safe(self.fingerprint),
            "absent": self.absent,
            "interrupted": self.interrupted,
            "cells": [json_safe(result.to_json()) for result in self.cells],
        }


def block(cells: Sequence[CellResult], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ``jacbench`` object for cells measured in this process."""
    return Run(list(cells), describe(settings), selection.absent()).to_json()


def describe(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fingerprint: machine, versions, settings of each backend's process, load."""
    return {
        "machine": fingerprint.machine(),
        "versions": fingerprint.versions(),
        "settings": dict(settings),
        "load": fingerprint.load(),
    }


def joined(first: Run, second: Run) -> Run:
    """Return one run of the cells of both: those of workers, and those of this process."""
    settings = {
        "workers": first.fingerprint["settings"],
        "in_process": second.fingerprint["settings"],
    }
    return Run(
        [*first.cells, *second.cells],
        {**first.fingerprint, "settings": settings},
        first.absent,
        {**first.samples, **second.samples},
        first.interrupted or second.interrupted,
    )


def json_safe(value: Any) -> Any:
    """Return ``value`` with NaN and infinities as None: JSON has neither."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): json_safe(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_safe(item) for item in value]
    return value


def document(run: Run, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the whole results file: readable by ``pytest-benchmark compare``."""
    from pytest_benchmark import __version__  # noqa: PLC0415 - only to write a file

    return {
        "machine_info": _machine_info(run.fingerprint["machine"]),
        "commit_info": _commit_info(),
        "benchmarks": [
            _benchmark(result, run.samples[result.cell], options)
            for result in run.cells
            if run.samples.get(result.cell)
        ],
        "datetime": datetime.now(UTC).isoformat(),
        "version": __version__,
        "jacbench": run.to_json(),
    }


def _benchmark(
    result: CellResult, samples: Sequence[float], options: Mapping[str, Any]
) -> dict[str, Any]:
    from pytest_benchmark.stats import Stats  # noqa: PLC0415

    from jacbench.pytest_plugin import FULLNAME, extra_info  # noqa: PLC0415

    stats = Stats()
    stats.data.extend(samples)
    name = f"test_cell[{result.cell.key}]"
    params = {key: str(value) for key, value in vars(result.cell).items()}
    row = {
        "group": result.cell.problem,
        "name": name,
        "fullname": FULLNAME + name,
        "params": params,
        "param": result.cell.key,
        "extra_info": extra_info(result),
        "options": dict(options),
        "stats": {
            **stats.as_dict(),
            "data": [float(f"{sample:.6g}") for sample in samples],
            "iterations": result.iterations,
        },
    }
    safe: dict[str, Any] = json_safe(row)
    return safe


def _machine_info(machine: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys that pytest-benchmark writes, without the host's name."""
    return {
        "processor": machine["cpu"],
        "machine": machine["architecture"],
        "python_implementation": machine["python_implementation"],
        "python_implementation_version": machine["python"],
        "python_version": machine["python"],
        "release": machine["release"],
        "system": machine["system"],
        "cpu": {"brand_raw": machine["cpu"], "count": machine["cores"]},
    }


def _commit_info() -> dict[str, Any]:
    """Return the commit of the folder that the run was started in; no branch, no author."""

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", *words], capture_output=True, text=True, check=True, timeout=10
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    commit = git("rev-parse", "HEAD")
    if commit is None:
        return {"id": "unversioned", "time": None, "dirty": False}
    return {
        "id": commit,
        "time": git("show", "-s", "--format=%cI", "HEAD"),
        "dirty": bool(git("status", "--porcelain", "--untracked-files=no")),
    }


def pooled(result: CellResult, samples: Sequence[float], iterations: int | None) -> CellResult:
    """Return ``result`` with the median over all visits."""
    if not samples:
        return result
    quartiles = statistics.quantiles(samples, method="inclusive") if len(samples) > 1 else [0, 0, 0]
    return replace(
        result,
        median_s=statistics.median(samples),
        iqr_s=quartiles[2] - quartiles[0],
        rounds=len(samples),
        iterations=iterations,
    )


# Writing


def check_folder(folder: Path) -> None:
    """Raise, before anything is computed, where no file can be written into ``folder``."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as exc:
        raise JacbenchError(
            f"output folder {str(folder)!r} cannot be written: {exc.strerror or exc}: "
            "choose another with --output"
        ) from None


def new_path(folder: Path) -> Path:
    """Reserve a file name in ``folder`` that no other run has, from the time in UTC."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    for suffix in ("", *(f"-{i}" for i in range(2, 1000))):
        path = folder / f"jacbench-{stamp}{suffix}.json"
        try:
            # Exclusive: of two runs that start in one second, one takes the next name.
            path.touch(exist_ok=False)
        except FileExistsError:
            continue
        return path
    raise JacbenchError(f"output folder {str(folder)!r} is full of results of this second")


def write(path: Path, content: Mapping[str, Any]) -> Path:
    """Write ``content`` as JSON: whole or not at all.

    Where the disk does not take it, it is written to a temporary folder instead, so that nothing
    measured is lost. Returns the path really written.
    """
    text = json.dumps(content, allow_nan=False, ensure_ascii=True, separators=(",", ":")) + "\n"
    text = text.replace('},{"group"', '},\n{"group"').replace('},{"problem"', '},\n{"problem"')
    try:
        _replace(path, text)
    except OSError as exc:
        try:
            elsewhere = Path(tempfile.mkdtemp(prefix="jacbench-results-")) / path.name
            _replace(elsewhere, text)
        except OSError:
            raise JacbenchError(
                f"results could not be written to {str(path)!r}: {exc.strerror or exc}: free some "
                "room and run again"
            ) from None
        return elsewhere
    return path


def _replace(path: Path, text: str) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".jacbench-", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


# Reading


def read(path: str | os.PathLike[str]) -> Run:
    """Read a results file, as untrusted data: nothing in it is executed.

    Raises
    ------
    JacbenchError
        One line where the file cannot be read, is cut short, is not JSON, is of another kind or
        of a newer schema.
    """
    who = f"results file {str(path)!r}"
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as exc:
        raise JacbenchError(
            f"{who} cannot be read: {getattr(exc, 'strerror', None) or exc}"
        ) from None
    try:
        content = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as exc:
        cut = not text.strip() or getattr(exc, "pos", 0) >= len(text.rstrip()) - 1
        state = "is cut short" if cut else f"is not JSON ({exc})"
        raise JacbenchError(f"{who} {state}: make it again with jacbench run") from None
    inner = content.get("jacbench") if isinstance(content, dict) else None
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
        return _parse(inner, content.get("benchmarks", []))
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as exc:
        raise JacbenchError(
            f"{who} is damaged ({type(exc).__name__}: {str(exc)[:200]}): make it again with "
            "jacbench run"
        ) from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _is_benchmark(content: Any) -> bool:
    return isinstance(content, dict) and "benchmarks" in content and "machine_info" in content


def _parse(inner: Mapping[str, Any], benchmarks: Sequence[Any]) -> Run:
    for row in inner["cells"]:
        _check_kinds(row)
    cells = [CellResult.from_json(row) for row in inner["cells"]]
    by_key = {result.cell.key: result.cell for result in cells}
    samples = {
        by_key[row["param"]]: [_finite(value) for value in row["stats"].get("data", [])]
        for row in benchmarks
        if row.get("param") in by_key
    }
    return Run(
        cells,
        dict(inner["fingerprint"]),
        {str(name): str(why) for name, why in dict(inner.get("absent", {})).items()},
        samples,
        bool(inner.get("interrupted", False)),
    )


def _check_kinds(row: Mapping[str, Any]) -> None:
    for name, kinds in KINDS.items():
        if name not in row:
            continue
        value = row[name]
        if isinstance(value, bool) or not isinstance(value, kinds):
            raise TypeError(f"{name} is {str(value)[:80]!r}")
        if isinstance(value, (int, float)):
            _finite(value)


def _finite(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{str(value)[:80]!r} is not a number")
    if not math.isfinite(value):
        raise ValueError(f"{value!r} is not finite")
    return float(value)
