"""What looking at a function and gathering evidence may take of the time limit of a pick."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jacbench.core.units import format_seconds

SHARE = 0.4
"""Share of the time limit after which nothing that could be spared is begun."""


@dataclass(frozen=True)
class Allowance:
    """A share of a time limit that runs from when it is given.

    Attributes
    ----------
    limit_s
        The whole time limit, seconds; infinite where there is none.
    ends
        When the share is over, by ``time.perf_counter``.
    """

    limit_s: float = math.inf
    ends: float = math.inf

    @classmethod
    def of(cls, limit_s: float | None, part: float = 1.0) -> Allowance:
        """Return what is allowed from now on.

        Parameters
        ----------
        limit_s
            None: there is no limit.
        part
            What falls to one library, where several look in turn.
        """
        if limit_s is None:
            return cls()
        return cls(limit_s, time.perf_counter() + SHARE * part * limit_s)

    def left(self) -> float:
        """Return what is left, seconds; below 0: it is over."""
        return self.ends - time.perf_counter()

    def why(self, call_s: float) -> str:
        """Return why something is left out, where a call takes so many seconds."""
        told = f"one call takes {format_seconds(call_s)}"
        if math.isfinite(self.limit_s):
            told += f" and the time limit is {self.limit_s:g} s"
        return told


class OutOfTimeError(Exception):
    """What could be spared has come to the end of its time."""


class InTime:
    """A function that is called once in any case, and then as long as there is time.

    Parameters
    ----------
    function
        Of one argument.
    allowance
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
        allowance: Allowance,
        *,
        kept_s: float,
        call_s: float,
    ) -> None:
        self._function, self._allowance = function, allowance
        self._kept_s, self._call_s = kept_s, call_s
        self._called = False
        self.over = ""

    def __call__(self, x: Any) -> Any:
        """Return what the function does; raise OutOfTimeError once time is over."""
        if self._called and self._allowance.left() < self._kept_s:
            self.over = f"not looked for: {self._allowance.why(self._call_s)}"
            raise OutOfTimeError(self.over)
        self._called = True
        return self._function(x)
