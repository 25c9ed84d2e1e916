"""Time limits: how much is left, and work that stops when nothing is."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from jacbench.core.units import format_seconds


class Deadline:
    """A time limit, or a share of one, that runs from when it is made.

    Parameters
    ----------
    limit_s
        The whole limit, seconds; None: there is none.
    share
        What of it may be spent here.

    Attributes
    ----------
    limit_s
        The whole limit, seconds; infinite where there is none.
    """

    def __init__(self, limit_s: float | None = None, share: float = 1.0) -> None:
        self.limit_s = math.inf if limit_s is None else limit_s
        self._share = share
        self._begun = time.monotonic()
        self._uncounted_s = 0.0

    def spent(self) -> float:
        """Seconds since the beginning, without those left out."""
        return time.monotonic() - self._begun - self._uncounted_s

    def left(self, share: float = 1.0) -> float:
        """Seconds that are left of that share; below 0: it is over."""
        return share * self._share * self.limit_s - self.spent()

    @contextmanager
    def uncounted(self) -> Iterator[None]:
        """Leave out what goes on within, whether it raises or not."""
        spent_s = self.spent()
        try:
            yield
        finally:
            self._uncounted_s += self.spent() - spent_s

    def why(self, call_s: float) -> str:
        """Why something is left out, where a call takes so many seconds."""
        reason = f"one call takes {format_seconds(call_s)}"
        if math.isfinite(self.limit_s):
            reason += f" and the time limit is {self.limit_s:g} s"
        return reason


class OutOfTimeError(Exception):
    """What could be spared has come to the end of its time."""


class InTime:
    """A function that is called once in any case, and then as long as there is time.

    Parameters
    ----------
    function
        Of one argument.
    deadline
        What bounds it.
    kept_s
        What is kept of that for something else, seconds.
    call_s
        What a call takes, seconds.

    Attributes
    ----------
    over
        Why it was stopped, in one line; empty where it was not.
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        deadline: Deadline,
        *,
        kept_s: float,
        call_s: float,
    ) -> None:
        self._function, self._deadline = function, deadline
        self._kept_s, self._call_s = kept_s, call_s
        self._called = False
        self.over = ""

    def __call__(self, x: Any) -> Any:
        """Call the function; raise OutOfTimeError once time is over."""
        if self._called and self._deadline.left() < self._kept_s:
            self.over = f"not looked for: {self._deadline.why(self._call_s)}"
            raise OutOfTimeError(self.over)
        self._called = True
        return self._function(x)
