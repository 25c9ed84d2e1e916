"""The gate's clock: wall time, less what the process spent waiting for a core.

A neighbour on a shared runner takes the core away for milliseconds at a time. Linux counts, for
each thread, how long it was ready to run and did not (``run_delay``, the second number of
``/proc/PID/schedstat``; see Documentation/scheduler/sched-stats.rst): that part of the wall time
says nothing of the code. What the code itself waits for (sleeps, locks, a device) stays in.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

_SCHEDSTAT = Path("/proc/thread-self/schedstat")


class Clock:
    """Seconds of the calling thread; made and read in one and the same thread."""

    def __init__(self) -> None:
        try:
            self._file: int | None = os.open(_SCHEDSTAT, os.O_RDONLY)
            self._waited()
        except (OSError, ValueError, IndexError):
            self._file = None

    @property
    def discounts_waiting(self) -> bool:
        """True where waiting for a core is taken off; False where the system does not tell."""
        return self._file is not None

    def _waited(self) -> float:
        if self._file is None:
            return 0.0
        return int(os.pread(self._file, 96, 0).split()[1]) * 1e-9

    def start(self) -> tuple[float, float]:
        """Return the state to be given to :meth:`since`."""
        begun = time.perf_counter()
        return begun, self._waited()

    def since(self, started: tuple[float, float]) -> tuple[float, float]:
        """Return the seconds since ``started`` without the waiting, and the waiting.

        The wall clock is read first and last, so that a core taken away between the two readings
        makes a time too long, never too short: one negative time would be the smallest of all.
        """
        waited = self._waited() - started[1]
        elapsed = time.perf_counter() - started[0]
        return max(elapsed - waited, 1e-9), waited
