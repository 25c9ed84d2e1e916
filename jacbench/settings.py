"""How a run measures, and how that is said to pytest."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jacbench.errors import JacbenchError
from jacbench.memory import parse_size

MIN_ROUNDS = 6
"""Rounds over all visits, however slow the call."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a run measures.

    Attributes
    ----------
    threads
        Threads that every library may use.
    visits
        Separate stretches in which each cell is measured.
    budget_s
        Time spent on timing one cell over all visits, seconds.
    timeout_s
        Time that one visit of one cell may take, preparation included, seconds.
    chunk_size
        Rows or columns at a time, for methods that take it; None: each method's own.
    memory
        What checking one Jacobian may need, as ``2GiB``; None: a share of what is free.
    seed
        Of the order of visits.
    timed
        False to check agreement alone.
    """

    threads: int = 1
    visits: int = 3
    budget_s: float = 0.6
    timeout_s: float = 300.0
    chunk_size: int | None = None
    memory: str | None = None
    seed: int = 0
    timed: bool = True

    def __post_init__(self) -> None:
        """Refuse what cannot be measured with, one clear line each."""
        for name, value in (("threads", self.threads), ("visits", self.visits)):
            if value < 1:
                raise JacbenchError(f"--{name} {value}: give a whole number of at least 1")
        if self.chunk_size is not None and self.chunk_size < 1:
            raise JacbenchError(
                f"--chunk-size {self.chunk_size}: give a whole number of at least 1"
            )
        for name, seconds in (("timeout", self.timeout_s), ("cell-seconds", self.budget_s)):
            if not (seconds > 0 and math.isfinite(seconds)):
                raise JacbenchError(f"--{name} {seconds:g}: give a number of seconds above 0")
        if self.memory is not None:
            parse_size(self.memory)

    @property
    def memory_bytes(self) -> int | None:
        """What checking one Jacobian may need, in bytes."""
        return None if self.memory is None else parse_size(self.memory)

    def benchmark_options(self) -> dict[str, Any]:
        """Return the options that pytest-benchmark records with each row."""
        return {
            "disable_gc": False,
            "timer": "perf_counter",
            "min_rounds": MIN_ROUNDS,
            "max_time": self.budget_s,
            "min_time": 0.0,
            "warmup": True,
        }

    def pytest_words(self, cells: Path, scratch: Path, events: Path | None = None) -> list[str]:
        """Return the arguments of a pytest session over the suite that nothing else steers.

        Parameters
        ----------
        cells
            The file that names cells and visits.
        scratch
            The root folder: no configuration file, no conftest and no cache of the user's.
        events
            Where a worker tells its driver what happens.
        """
        words = [
            *("-c", os.devnull, "--rootdir", str(scratch), "-q", "--tb=no"),
            *("--import-mode=importlib", "--noconftest", "-p", "no:cacheprovider"),
            *("-p", "pytest_benchmark.plugin", "-p", "jacbench.pytest_plugin"),
            *("--benchmark-quiet", "--benchmark-storage", scratch.as_uri()),
            *("--benchmark-max-time", repr(self.budget_s)),
            *("--benchmark-min-rounds", str(MIN_ROUNDS)),
            *("--jacbench-cells", str(cells)),
            *("--jacbench-visits", str(self.visits), "--jacbench-seed", str(self.seed)),
            *("--jacbench-threads", str(self.threads), "--pyargs", "jacbench.suite"),
        ]
        if events is not None:
            words += ["--jacbench-events", str(events)]
        if self.chunk_size is not None:
            words += ["--jacbench-chunk-size", str(self.chunk_size)]
        if self.memory is not None:
            words += ["--jacbench-memory", self.memory]
        if not self.timed:
            words.append("--jacbench-check")
        return words
