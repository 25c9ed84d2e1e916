"""How a run measures, and how that is said to pytest."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from jacbench.core.errors import JacbenchError
from jacbench.core.tolerance import why_no_tolerance
from jacbench.measuring import affinity
from jacbench.measuring.memory import parse_size

MIN_ROUNDS = 6
"""Rounds over all visits, however slow the call."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a run measures.

    Attributes
    ----------
    visits
        Separate stretches in which each cell is measured.
    budget_s
        Time spent on timing one cell over all visits, seconds.
    total_s
        Time that the whole run may take, seconds; None: as long as it takes.
    timeout_s
        Time that one visit of one cell may take, preparation included, seconds.
    start_timeout_s
        Time that a worker may take until it is ready, imports included, seconds.
    chunk_size
        Rows or columns at a time, for methods that take it; None: each method's own.
    memory
        What one cell may need, as ``2GiB``; None: a share of what is free.
    rtol, atol
        Tolerances that take the place of each problem's own, see
        :class:`jacbench.problems.problem.Problem`; None: as it says.
    cpus
        Processors that workers are bound to; None: whatever the system gives them.
    seed
        Of the order of visits.
    timed
        False to check agreement alone.
    """

    visits: int = 6
    budget_s: float = 0.6
    total_s: float | None = None
    timeout_s: float = 300.0
    start_timeout_s: float = 120.0
    chunk_size: int | None = None
    memory: str | None = None
    rtol: float | None = None
    atol: float | None = None
    cpus: tuple[int, ...] | None = None
    seed: int = 0
    timed: bool = True

    def __post_init__(self) -> None:
        """Refuse what cannot be measured with, one clear line each."""
        if self.visits < 1:
            raise JacbenchError(f"--visits {self.visits}: give a whole number of at least 1")
        if self.chunk_size is not None and self.chunk_size < 1:
            raise JacbenchError(
                f"--chunk-size {self.chunk_size}: give a whole number of at least 1"
            )
        for name, seconds in (
            ("timeout", self.timeout_s),
            ("start-timeout", self.start_timeout_s),
            ("cell-seconds", self.budget_s),
            ("budget", self.total_s),
        ):
            if seconds is not None and not (seconds > 0 and math.isfinite(seconds)):
                raise JacbenchError(f"--{name} {seconds:g}: give a number of seconds above 0")
        for name, value in (("--rtol", self.rtol), ("--atol", self.atol)):
            if (why := why_no_tolerance(name, value)) is not None:
                raise JacbenchError(why)
        if self.memory is not None:
            parse_size(self.memory)
        if self.cpus is not None:
            affinity.check(self.cpus)

    @property
    def memory_bytes(self) -> int | None:
        """What one cell may need, in bytes."""
        return None if self.memory is None else parse_size(self.memory)

    @property
    def visit_s(self) -> float:
        """Time spent on timing in one visit, seconds."""
        return self.budget_s / self.visits

    def to_json(self) -> dict[str, Any]:
        """Return the fields, as a results file keeps them under ``options``."""
        return asdict(self)

    @classmethod
    def from_json(cls, options: Mapping[str, Any]) -> Self:
        """Return the settings that ``to_json`` wrote; what is unknown is left out."""
        known = {f.name: options[f.name] for f in fields(cls) if f.name in options}
        if known.get("cpus") is not None:
            known["cpus"] = tuple(known["cpus"])
        return cls(**known)

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

    def pytest_words(
        self, cells: Path, scratch: Path, threads: int, *, worker: bool = False
    ) -> list[str]:
        """Return the arguments of a pytest session over the suite that nothing else steers.

        Parameters
        ----------
        cells
            The file that names cells and visits.
        scratch
            The root folder: no configuration file, no conftest and no cache of the user's.
        threads
            Threads that every library may use.
        worker
            True where the session is a worker's, which runs cells as its driver says.
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
            *("--jacbench-threads", str(threads), "--pyargs", "jacbench.suite"),
        ]
        if worker:
            # Standard input and output are the channel to the driver: pytest leaves them alone.
            words += ["--jacbench-worker", "--capture=no"]
        if self.chunk_size is not None:
            words += ["--jacbench-chunk-size", str(self.chunk_size)]
        for name, value in (("rtol", self.rtol), ("atol", self.atol)):
            if value is not None:
                words += [f"--jacbench-{name}", repr(float(value))]
        if self.memory is not None:
            words += ["--jacbench-memory", self.memory]
        if self.cpus is not None:
            words += ["--jacbench-cpus", affinity.spelled(self.cpus)]
        if not self.timed:
            words.append("--jacbench-check")
        return words
