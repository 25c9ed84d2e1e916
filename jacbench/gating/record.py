"""What has been measured of one cell on both sides."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field

from jacbench.core.cell import Cell, CellResult, Verdict
from jacbench.gating.settings import SAMPLE_S, SAMPLES

SIDES = ("base", "head")
SAME_JACOBIAN = 1e-6
"""Relative difference of two references below which the function counts as unchanged."""


@dataclass(frozen=True)
class Subject:
    """A cell as the gate measures it.

    Attributes
    ----------
    cell
        The cell.
    extra, spoilt
        Shares of work that the self-test adds to head's calls, and to its preparation; 0 outside
        of it.
    """

    cell: Cell
    extra: float = 0.0
    spoilt: float = 0.0


@dataclass(frozen=True)
class Pair:
    """Two neighbouring measurements, seconds a call or a preparation; which side was first."""

    base_s: float
    head_s: float
    base_first: bool

    @property
    def ratio(self) -> float:
        """Head over base."""
        return self.head_s / self.base_s


@dataclass
class Record:
    """Everything measured of one subject.

    Attributes
    ----------
    results
        For each side what became of the cell, the worst over all launches.
    blocks, preparations
        Pairs, a list for each launch.
    peaks
        For each side the peak memory of a call in each launch, bytes.
    samples
        For each side seconds a call of every sample.
    busy
        For each side the CPU time and the wall time of all blocks, seconds, and what was spent
        waiting for a core.
    probes
        For each side the norm and random products of the Jacobian that it was held against.
    call_s
        Time of a call by which samples are planned, the larger of both sides'.
    """

    results: dict[str, CellResult] = field(default_factory=dict)
    blocks: list[list[Pair]] = field(default_factory=list)
    preparations: list[list[Pair]] = field(default_factory=list)
    peaks: dict[str, list[int]] = field(default_factory=lambda: {name: [] for name in SIDES})
    samples: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in SIDES})
    busy: dict[str, list[float]] = field(
        default_factory=lambda: {name: [0.0, 0.0, 0.0] for name in SIDES}
    )
    call_s: float | None = None
    probes: dict[str, list[float]] = field(default_factory=dict)

    @property
    def timed(self) -> bool:
        """True where both sides agree with their reference."""
        return len(self.results) == len(SIDES) and all(
            result.verdict is Verdict.AGREES for result in self.results.values()
        )

    def keep(self, side: str, result: CellResult) -> None:
        """Keep a side's verdict: one that was ever wrong stays wrong."""
        known = self.results.get(side)
        if known is None or known.verdict is Verdict.AGREES:
            self.results[side] = result

    def plan(self) -> tuple[int, int]:
        """Return samples and iterations of a block, the same for both sides."""
        call_s = self.call_s or SAMPLE_S
        iterations = max(1, round(SAMPLE_S / call_s))
        whole = SAMPLES * SAMPLE_S
        samples = min(SAMPLES, max(1, round(whole / (iterations * call_s))))
        return samples, iterations

    def median_s(self, side: str) -> float | None:
        """Return the median time of a call, seconds."""
        return statistics.median(self.samples[side]) if self.samples[side] else None

    def cores(self, side: str) -> float | None:
        """Return the CPU time per second of wall time."""
        cpu, wall, _ = self.busy[side]
        return cpu / wall if wall else None

    def changed(self) -> float | None:
        """Return how far head's Jacobian is from base's, relative to its norm; None if the same.

        Below what finite differences can tell counts as the same.
        """
        base, head = self.probes.get("base"), self.probes.get("head")
        if not base or not head:
            return None
        difference = max(abs(one - other) for one, other in zip(base, head, strict=True))
        relative = difference / (max(base[0], head[0]) or 1.0)
        return relative if relative > SAME_JACOBIAN else None

    def waited(self) -> float:
        """Return the share of both sides' wall time that was spent waiting for a core."""
        wall = sum(self.busy[side][1] for side in SIDES)
        return sum(self.busy[side][2] for side in SIDES) / wall if wall else 0.0


def ratios(launches: list[list[Pair]]) -> list[list[float]]:
    """Return the ratios of ``launches``, those without a pair left out."""
    return [[pair.ratio for pair in launch] for launch in launches if launch]


def each_pair(launches: list[list[Pair]]) -> Iterator[Pair]:
    """Yield every pair."""
    for launch in launches:
        yield from launch
