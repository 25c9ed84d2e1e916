"""A cell, the unit of a run, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any

FULLNAME = "jacbench/suite/test_cells.py::"
"""What its rows are called: the same for a checkout and for a wheel, so that files compare."""

EXTRA_INFO = (
    *("problem", "operator", "method", "backend", "device", "dtype", "threads", "m", "n"),
    *("verdict", "error", "tolerance", "prepare_s", "first_call_s", "peak_bytes", "chunk_size"),
)
"""Fields that each row of a pytest-benchmark file carries besides its own statistics."""


class Verdict(StrEnum):
    """What became of a cell. Every cell asked for has one."""

    AGREES = "agrees"
    DISAGREES = "disagrees"
    UNSUPPORTED = "unsupported"
    FAILED = "failed"
    TIMED_OUT = "timed out"
    CRASHED = "crashed"
    TOO_LARGE = "too large"
    KNOWN_FAULT = "known fault"
    """The library gives a wrong Jacobian here, and its developers know: never timed."""
    NOT_RUN = "not run"
    """Only in a run that was interrupted, whose budget was spent, or that is still under way."""

    @property
    def is_fault(self) -> bool:
        """Say whether the verdict makes a run's exit status 1."""
        return self in (Verdict.DISAGREES, Verdict.FAILED, Verdict.TIMED_OUT, Verdict.CRASHED)


@dataclass(frozen=True, order=True)
class Cell:
    """Problem x operator x method x device x dtype x threads."""

    problem: str
    operator: str
    method: str
    backend: str
    device: str
    dtype: str
    threads: int

    @property
    def key(self) -> str:
        """Return the cell's name in ids of tests: ``basics/mlp-weights-jax.jacrev-cpu-float64``.

        Operator and threads appear only where they are not the defaults.
        """
        parts = [self.problem, self.method, self.device, self.dtype]
        if self.operator != "jacobian":
            parts.insert(1, self.operator)
        if self.threads != 1:
            parts.append(f"{self.threads}threads")
        return "-".join(parts)


@dataclass(frozen=True, kw_only=True)
class CellResult:
    """What became of one cell.

    Attributes
    ----------
    cell
        The cell.
    verdict
        What became of it.
    reason
        One line where the verdict is not ``agrees``.
    m, n
        The Jacobian's shape, once known.
    error
        ‖J - R‖ / ‖R‖ in the Frobenius norm, the larger of the points compared; None where nothing
        was compared or where it is not finite.
    tolerance
        What ``error`` was held against.
    atol
        By how much any entry may be off besides; None where nothing was asked for.
    worst
        The entry that differs most: row, column, input, value, expected.
    reference
        ``analytic``, ``complex-step``, ``consensus`` or ``central-difference``.
    prepare_s, first_call_s
        Preparation and the first call after it, seconds.
    median_s
        Median time of one call in steady state, seconds.
    low_s, high_s
        Ends of the 95 % interval of the median, seconds, see :mod:`jacbench.measuring.statistics`.
    iqr_s
        Interquartile range of the rounds' times of one call, seconds.
    cpu_s
        CPU time of the process for one call, mean over all timed calls, seconds.
    device_s
        On CUDA: time of one call by the device's own events, median, seconds.
    outliers
        Rounds beyond Tukey's fences by class, see :func:`jacbench.measuring.statistics.outliers`.
    cautions
        Why the time is to be read with care, a line each: a wide interval, a busy machine, a
        device that tells another time than the wall clock.
    visits, rounds, iterations
        Separate stretches, timed rounds over all of them, and calls per round.
    peak_bytes
        Memory of the process above its state before one call; device memory on CUDA.
    chunk_size
        As asked for, where the method takes one.
    notes
        What the method's preparation found out.
    traceback
        For ``failed``: the whole traceback, without absolute paths.
    problem_hash, method_hash
        Of the source of the problem and of the method: an edited one is another cell.
    """

    cell: Cell
    verdict: Verdict
    reason: str | None = None
    m: int | None = None
    n: int | None = None
    error: float | None = None
    tolerance: float | None = None
    atol: float | None = None
    worst: Mapping[str, Any] | None = None
    reference: str | None = None
    prepare_s: float | None = None
    first_call_s: float | None = None
    median_s: float | None = None
    low_s: float | None = None
    high_s: float | None = None
    iqr_s: float | None = None
    cpu_s: float | None = None
    device_s: float | None = None
    outliers: Mapping[str, int] = field(default_factory=dict)
    cautions: Sequence[str] = ()
    visits: int | None = None
    rounds: int | None = None
    iterations: int | None = None
    peak_bytes: int | None = None
    chunk_size: int | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)
    traceback: str | None = None
    problem_hash: str | None = None
    method_hash: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return one flat object: the cell's fields, then what became of it."""
        row = asdict(self)
        return {**row.pop("cell"), **row, "verdict": str(self.verdict)}

    def extra_info(self) -> dict[str, Any]:
        """Return what a row of a pytest-benchmark file says of its cell."""
        row = self.to_json()
        return {key: row[key] for key in EXTRA_INFO}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> CellResult:
        """Return the result that ``to_json`` wrote; unknown keys are left out."""
        cell = Cell(**{f.name: row[f.name] for f in fields(Cell)})
        known = {f.name for f in fields(cls)} - {"cell", "verdict"}
        rest = {key: value for key, value in row.items() if key in known}
        return cls(cell=cell, verdict=Verdict(row["verdict"]), **rest)
