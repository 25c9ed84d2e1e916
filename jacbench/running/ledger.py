"""What a run has learnt so far, and the run that it makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from jacbench.backend import registry
from jacbench.core.cell import Cell, CellResult, Verdict
from jacbench.measuring import hardware
from jacbench.results import fingerprint
from jacbench.results import run as results
from jacbench.results.run import Run, Stretch
from jacbench.running.account import Account
from jacbench.running.settings import Settings


@dataclass
class Tally:
    """Verdicts and times by cell.

    Attributes
    ----------
    cells
        What was asked for.
    settings
        How the run measures.
    results
        Verdicts, without figures of the stretches.
    stretches
        Every visit whose clock ran.
    processes
        What each backend's process was set to.
    before
        The run that this one resumes.
    done, total
        Visits.
    why
        What is said of a cell without a turn.
    """

    cells: Sequence[Cell]
    settings: Settings
    account: Account
    results: dict[Cell, CellResult] = field(default_factory=dict)
    stretches: dict[Cell, list[Stretch]] = field(default_factory=dict)
    processes: dict[str, Any] = field(default_factory=dict)
    before: Run | None = None
    load_before: list[float] | None = field(default_factory=fingerprint.load)
    ticks_before: hardware.Ticks | None = field(default_factory=hardware.ticks)
    done: int = 0
    total: int = 0
    why: str = "still under way"
    ending: str | None = None
    _pooled: dict[Cell, tuple[CellResult, int, CellResult]] = field(default_factory=dict)

    def resume(self, run: Run) -> None:
        """Start from what ``run`` has."""
        self.before = run
        for result in run.cells:
            if result.verdict is Verdict.NOT_RUN:
                continue
            self.results[result.cell] = result
            stretches = [
                Stretch(
                    samples=visit,
                    iterations=result.iterations,
                    cpu_s=result.cpu_s,
                    device_s=result.device_s,
                )
                for visit in run.visits.get(result.cell, [])
            ]
            self.stretches[result.cell] = stretches
            # As the file has it, until there is another visit.
            self._pooled[result.cell] = (result, len(stretches), result)

    def settle(self, cell: Cell, result: CellResult) -> None:
        """Take a verdict; where it is the one already known, the first figures stand."""
        known = self.results.get(cell)
        if known is None or known.verdict is not result.verdict:
            self.results[cell] = result
            if result.verdict is not Verdict.AGREES:
                self.stretches.pop(cell, None)

    def learn(self, cell: Cell, result: CellResult) -> None:
        """Take what was found of a cell that agrees once it was timed."""
        told = (*self.results[cell].cautions, *result.cautions)
        self.results[cell] = replace(
            self.results[cell],
            cautions=tuple(dict.fromkeys(told)),
            notes=result.notes,
            error=result.error,
        )

    def condemn(self, cell: Cell, verdict: Verdict, reason: str) -> None:
        """Give ``cell`` a verdict in place of whatever it had."""
        known = self.results.get(cell, CellResult(cell=cell, verdict=verdict))
        self.results[cell] = replace(results.untimed(known), verdict=verdict, reason=reason)
        self.stretches.pop(cell, None)

    def remember(self, cell: Cell, peak_bytes: int | None, told: Sequence[str]) -> None:
        """Take the peak memory of one call, and what is said of how it uses memory."""
        count = len(self.stretches.get(cell, []))
        known, pooled = (
            replace(
                result,
                peak_bytes=peak_bytes,
                cautions=tuple(dict.fromkeys((*result.cautions, *told))),
            )
            for result in (self.results[cell], self.figures(cell))
        )
        self.results[cell] = known
        self._pooled[cell] = (known, count, pooled)

    def lacking_peaks(self) -> set[Cell]:
        """Return the cells whose peak memory an interrupted run had no time for."""
        if self.before is None or not self.before.interrupted:
            return set()
        return {result.cell for result in self.before.cells if result.peak_bytes is None}

    def agrees(self, cell: Cell) -> bool:
        """Say whether ``cell`` is known to agree."""
        result = self.results.get(cell)
        return result is not None and result.verdict is Verdict.AGREES

    def open(self, cell: Cell) -> bool:
        """Say whether ``cell`` may still be worked on: it agrees, or has had no turn."""
        return cell not in self.results or self.agrees(cell)

    def figures(self, cell: Cell) -> CellResult:
        """Return what is known of a cell that has a verdict; intervals are computed once."""
        result, stretches = self.results[cell], self.stretches.get(cell, [])
        known = self._pooled.get(cell)
        if known is None or known[0] is not result or known[1] != len(stretches):
            agrees = result.verdict is Verdict.AGREES
            known = (result, len(stretches), results.pooled(result, stretches if agrees else []))
            self._pooled[cell] = known
        return known[2]

    def run(self, *, interrupted: bool = False) -> Run:
        """Return everything as a run; what has had no turn is ``not run``."""
        why = "interrupted" if interrupted else self.why
        finished = [
            self.figures(cell)
            if cell in self.results
            else CellResult(cell=cell, verdict=Verdict.NOT_RUN, reason=why)
            for cell in self.cells
        ]
        settings, load, seconds = self.processes, self.load_before, self.account.seconds()
        if self.before is not None:
            settings = {**self.before.fingerprint["settings"], **settings}
            load = self.before.fingerprint.get("load_before")
            seconds = results.added(self.before.seconds, seconds)
        steal = hardware.steal(self.ticks_before, hardware.ticks())
        return Run(
            finished,
            results.describe(settings) | {"load_before": load, "steal": steal},
            registry.absent(),
            {
                cell: [list(stretch.samples) for stretch in stretches]
                for cell, stretches in self.stretches.items()
                if stretches and self.agrees(cell)
            },
            interrupted,
            seconds,
            self.settings.to_json(),
            self.ending,
        )
