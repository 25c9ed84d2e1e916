"""What ``--benchmark-compare-fail=median:5%`` says of the same cells, beside the self-test.

Whole pytest-benchmark sessions over the suite, with its defaults, one after the other as a CI job
would have them; every session is compared with the one before by pytest-benchmark's own check.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jacbench.core.cell import Cell
from jacbench.core.errors import JacbenchError
from jacbench.gating.side import Side
from jacbench.running.worker_process import write_cells

THRESHOLD = 5.0
"""Percent."""


def session(cells: Sequence[Cell], side: Side, folder: Path) -> dict[str, float]:
    """Run one session over ``cells`` and return the median of each, seconds, by name."""
    folder.mkdir(parents=True)
    asked = write_cells(folder / "cells.json", {cell: [0] for cell in cells})
    out = folder / "out.json"
    words = [
        *(side.python, "-m", "pytest", "-c", "/dev/null", "--rootdir", str(folder), "-q"),
        *("--tb=no", "--import-mode=importlib", "--noconftest", "-p", "no:cacheprovider"),
        *("-p", "pytest_benchmark.plugin", "-p", "jacbench.pytest_plugin"),
        *("--jacbench-cells", str(asked), "--benchmark-json", str(out), "--benchmark-quiet"),
        *("--pyargs", "jacbench.suite"),
    ]
    env = side.environment(1) | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, check=False)
    try:
        rows = json.loads(out.read_text(encoding="utf-8"))["benchmarks"]
    except (OSError, ValueError, LookupError):
        last = (done.stdout.strip().splitlines() or ["it said nothing"])[-1]
        raise JacbenchError(f"pytest-benchmark gave no results: {last[:200]}") from None
    return {row["name"]: float(row["stats"]["median"]) for row in rows}


def flagged(before: dict[str, float], after: dict[str, float], change: float = 0.0) -> list[bool]:
    """Return for each cell whether ``median:5%`` fails it, had it become ``change`` slower.

    A slow-down by a share of the work multiplies every time, and so the median.
    """
    from pytest_benchmark.utils import PercentageRegressionCheck  # noqa: PLC0415

    check: Any = PercentageRegressionCheck("median", THRESHOLD)
    return [
        check.fails({"median": after[name] * (1 + change)}, {"median": before[name]}) is not None
        for name in before
        if name in after
    ]
