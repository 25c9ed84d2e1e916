"""How often to call: rounds and iterations, planned once the call is warm."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

ROUND_S = 3e-3
"""What one round should last, seconds: far above the clock's resolution and its cost."""

MAX_ROUNDS = 1000
SLOW_S = 1.0
"""A call that takes longer is timed twice a visit, whatever the minimum of rounds."""


@dataclass(frozen=True)
class Plan:
    """Rounds, and calls in each."""

    rounds: int
    iterations: int

    @property
    def calls(self) -> int:
        """All calls of ``benchmark.pedantic``, which after rounds of several makes one more."""
        return self.rounds * self.iterations + (self.iterations > 1)


class ProcessorTime:
    """The processor time that this process uses within a ``with`` block, in ``seconds``."""

    seconds = 0.0

    def __enter__(self) -> Self:
        """Start."""
        self._start = time.process_time()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        self.seconds = time.process_time() - self._start


def warm_up(call: Callable[[Any], Any], x: Any, budget_s: float) -> float:
    """Call until the time of a call stops falling; return the smallest seen, seconds.

    At least twice, and for no more than a fifth of ``budget_s`` beyond that.
    """
    best = math.inf
    spent = 0.0
    for calls in range(1, 1000):
        start = time.perf_counter()
        call(x)
        elapsed = time.perf_counter() - start
        best = min(best, elapsed)
        spent += elapsed
        if calls >= 2 and spent > budget_s / 5:
            break
    return max(best, 1e-9)


def plan(call_s: float, budget_s: float, min_rounds: int) -> Plan:
    """Return the plan for a visit that may last ``budget_s`` for a call of ``call_s`` seconds.

    At least ``min_rounds`` rounds (two of a slow call), at most :data:`MAX_ROUNDS`.
    """
    iterations = max(1, math.ceil(ROUND_S / call_s))
    affordable = int(budget_s / (iterations * call_s))
    least = min(min_rounds, 2) if call_s > SLOW_S else min_rounds
    return Plan(min(max(affordable, least, 1), MAX_ROUNDS), iterations)
