"""Whose turn it is where a clock runs: whole rounds first, then whoever needs it most."""

from __future__ import annotations

import math
import random
from collections.abc import Generator, Iterator, Sequence

from jacbench.core.cell import Cell
from jacbench.running.backend_worker import Crew, Shop

NARROW = 0.01
"""An interval narrower than this share of its median needs no more visits."""
GROWN = 1.1
"""An interval is computed anew when there are so many times the visits behind it."""


class Rounds:
    """Gives each cell its visits, one at a time over all backends.

    In each round every cell has one visit, in one random order of its own over all backends: a
    minute in which the machine is busy then falls on cells at random, not on one backend.
    """

    def __init__(self, crews: Sequence[Crew], shop: Shop, rng: random.Random) -> None:
        self._crew = {cell: crew for crew in crews for cell in crew.cells}
        self._crews = crews
        self._shop = shop
        self._rng = rng
        self._unfit: set[Cell] = set()
        self._known: dict[Cell, tuple[float, int]] = {}

    def run(self) -> Iterator[None]:
        """Visit all cells; yield between visits, when nothing is timed."""
        tally, visits = self._shop.tally, self._shop.settings.visits
        had = {cell: len(tally.stretches.get(cell, ())) for cell in tally.cells}
        lacking = {cell: visits - had[cell] for cell in tally.cells if tally.open(cell)}
        tally.total = sum(max(0, count) for count in lacking.values())
        for number in range(visits):
            order = [cell for cell, count in lacking.items() if count > number]
            self._rng.shuffle(order)
            for cell in order:
                if tally.open(cell) and self._may_go(cell):
                    yield from self._visit(cell, had[cell] + number)
                tally.done += 1
                self._shop.progress.advance(tally.done, tally.total)
        if self._shop.budget.limited:
            yield from self._spend()
        yield from self._measure_memory()

    def _may_go(self, cell: Cell) -> bool:
        """Say whether a visit of ``cell`` fits into what is left of the budget."""
        budget, crew = self._shop.budget, self._crew[cell]
        if crew.given_up:
            return False
        if budget.fits(cell, settled=crew.has_settled(cell), started=crew.started):
            return True
        self._unfit.add(cell)
        return False

    def _visit(self, cell: Cell, number: int) -> Iterator[None]:
        tally = self._shop.tally
        had = len(tally.stretches.get(cell, ()))
        _alone(self._crew[cell].visit(cell, number))
        stretches = tally.stretches.get(cell, ())
        if had == 0 and stretches:
            self._shop.budget.reserve(max(stretches[0].samples))
        yield

    def _spend(self) -> Iterator[None]:
        """Visit the cell whose interval is relatively widest, again and again.

        Not twice running while another is wide: visits that follow each other share their noise.
        """
        tally = self._shop.tally
        widths = {cell: self._width(cell) for cell in tally.stretches if tally.agrees(cell)}
        last: Cell | None = None
        while wide := [cell for cell, width in widths.items() if width > NARROW]:
            cell = max(wide, key=lambda cell: (cell != last, widths[cell]))
            if not self._may_go(cell):
                del widths[cell]
                continue
            last = cell
            tally.total += 1
            yield from self._visit(cell, len(tally.stretches[cell]))
            tally.done += 1
            self._shop.progress.advance(tally.done, tally.total)
            if tally.agrees(cell) and tally.stretches.get(cell):
                widths[cell] = self._width(cell)
            else:
                del widths[cell]
        self._end()

    def _width(self, cell: Cell) -> float:
        """Return the relative width of the interval of ``cell``.

        It narrows with the root of the visits, and is computed anew when they are a tenth more, or
        when it would be narrow enough: computing it after each of many visits would take longer
        than they do.
        """
        visits = len(self._shop.tally.stretches[cell])
        width, known = self._known.get(cell, (0.0, 0))
        expected = width * math.sqrt(known / visits)
        if visits < GROWN * known and expected > NARROW:
            return expected
        width = self._computed_width(cell)
        self._known[cell] = (width, visits)
        return width

    def _computed_width(self, cell: Cell) -> float:
        figures = self._shop.tally.figures(cell)
        if not figures.median_s:
            return 0.0
        if figures.low_s is None or figures.high_s is None:
            return math.inf
        return (figures.high_s - figures.low_s) / figures.median_s

    def _end(self) -> None:
        """Say how the budget ended."""
        tally, budget = self._shop.tally, self._shop.budget
        tally.why = budget.reason
        timed = [cell for cell in tally.stretches if tally.agrees(cell)]
        wide = sum(self._computed_width(cell) > NARROW for cell in timed)
        unmet = sum(cell not in tally.results for cell in tally.cells)
        if self._unfit or wide or unmet:
            left = f", {unmet} of {len(tally.cells)} cells had no turn" if unmet else ""
            tally.ending = (
                f"{budget.told} was spent: intervals wider than 1 %: {wide} of {len(timed)}{left}"
            )
        else:
            tally.ending = (
                f"every interval is narrower than 1 %: {max(0.0, budget.left_s):.0f} s were left "
                f"of {budget.told}"
            )

    def _measure_memory(self) -> Iterator[None]:
        """Measure peaks, worker by worker, once everything is timed: that changes allocators."""
        tally = self._shop.tally
        missing = tally.lacking_peaks()
        for crew in self._crews:
            for cell in crew.cells:
                fresh = crew.has_settled(cell) or cell in missing
                if fresh and tally.agrees(cell) and not crew.given_up:
                    _alone(crew.measure_memory(cell))
                    yield
            crew.kill()


def _alone(steps: Generator[None]) -> None:
    """Have one worker do something to the end; nothing is done meanwhile."""
    for _ in steps:
        pass
