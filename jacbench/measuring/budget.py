"""The time that a contest may take, of which compilers that run for seconds take nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Budget:
    """A time limit that runs from when it is made.

    Parameters
    ----------
    limit_s
        What may be spent, seconds.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._begun = time.monotonic()

    def left(self, share: float = 1.0) -> float:
        """Return how much of that share of the time limit is left, seconds; below 0: it is over."""
        return self._begun + share * self._limit_s - time.monotonic()

    @contextmanager
    def uncounted(self) -> Iterator[None]:
        """Leave out what goes on within, whether it raises or not."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self._begun += time.monotonic() - begun
