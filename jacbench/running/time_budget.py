"""How much of the time that a whole run may take is left, and what still fits into it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Literal

from jacbench.core.cell import Cell
from jacbench.running.account import Account
from jacbench.running.settings import Settings

Part = Literal["start", "settling", "visit"]

ASSUMED_S = {"start": 1.0, "settling": 0.1}
"""What a part is expected to take before the first of its kind, seconds."""
GRACE = 0.05
"""What is under way when the budget ends may outlast it by this share, and by a second."""
CLOSING_S = 0.3
"""The last intervals and the last save, seconds."""
MEMORY_S = 0.02
"""Measuring the peak memory of one cell, besides its calls, seconds."""
LEAK_S = 0.4
"""The most that looking for a leak takes, seconds."""


class Budget:
    """Keeps what each cell's turn has cost, and expects the next to cost the same."""

    def __init__(self, settings: Settings, account: Account) -> None:
        self.total_s = math.inf if settings.total_s is None else settings.total_s
        self.limited = settings.total_s is not None
        self._settings = settings
        self._account = account
        self._spent: dict[tuple[Part, str], list[float]] = {}
        self._own: dict[tuple[Part, Cell], float] = {}
        self._reserve = CLOSING_S

    @property
    def reason(self) -> str:
        """Why a cell had no turn."""
        return f"{self.told} was spent: allow more with --budget"

    @property
    def told(self) -> str:
        """The budget in words."""
        return f"the budget of {self.total_s:g} s"

    @property
    def left_s(self) -> float:
        """Seconds until the end."""
        return self.total_s - self._account.elapsed()

    def hold(self) -> float:
        """Return after how many seconds what is begun now is stopped."""
        return max(0.0, self.left_s) + max(1.0, GRACE * self.total_s)

    def learn(self, part: Part, cell: Cell, seconds: float) -> None:
        """Note what a part of the turn of ``cell`` took."""
        self._own[part, cell] = seconds
        kind = cell.backend if part == "start" else cell.problem
        self._spent.setdefault((part, kind), []).append(seconds)

    def reserve(self, call_s: float) -> None:
        """Keep time for the peak memory of a cell."""
        # One call for the peak after one to warm up, and some fifty that would show a leak.
        self._reserve += MEMORY_S + 2 * call_s + min(LEAK_S, 60 * call_s)

    def fits(self, cell: Cell, *, settled: bool, started: bool) -> bool:
        """Say whether the next turn of ``cell`` is expected to end in time."""
        return self.expected_s(cell, settled=settled, started=started) <= (
            self.left_s - self._reserve
        )

    def expected_s(self, cell: Cell, *, settled: bool, started: bool) -> float:
        """Return what the next turn of ``cell`` is expected to take, seconds."""
        expected = self._own.get(("visit", cell), 1.3 * self._settings.visit_s)
        if not settled:
            expected += self._guess("settling", cell, cell.problem)
        if not started:
            expected += self._guess("start", cell, cell.backend)
        return expected

    def _guess(self, part: Part, cell: Cell, kind: str) -> float:
        if (part, cell) in self._own:
            return self._own[part, cell]
        every = self._spent.get((part, kind)) or self._of(part)
        return statistics.median(every) if every else ASSUMED_S[part]

    def _of(self, part: Part) -> Sequence[float]:
        return [s for (p, _), several in self._spent.items() if p == part for s in several]
