"""How the gate measures: the constants of its rule, and what a user may choose."""

from __future__ import annotations

import math
from dataclasses import dataclass

from jacbench.core.errors import JacbenchError
from jacbench.measuring.memory import parse_size
from jacbench.results.policy import Limits

SAMPLE_S = 1.5e-3
"""What one sample should last, seconds: far above the clock's cost, below a time slice."""
SAMPLES = 3
"""Samples in a block of a quick call; a slow call has fewer, so that a block lasts as long."""
PREPARATIONS = 3
"""Preparations in each launch, where one takes less than :data:`QUICK_PREPARATION_S`."""
QUICK_PREPARATION_S = 0.6
PREPARATION_FLOOR_S = 0.010
"""A preparation below this is never judged: nobody waits for it."""
CONFIDENCE = 0.99
LIMITS = Limits(time=1.05, preparation=1.15, memory=1.2)
"""Where no policy gives others; :mod:`jacbench.gating.decision` says what the ratios mean."""


@dataclass(frozen=True, kw_only=True)
class GateSettings:
    """How base and head are measured.

    Attributes
    ----------
    threads
        Threads that every library may use.
    launches
        Pairs of fresh workers in one stage.
    blocks
        Pairs of blocks of each cell in one launch; an even number, so that base and head are first
        equally often.
    extensions
        How often an undecided cell gets as many launches again.
    time_limit_s
        Wall time of the whole gate, seconds; None: as long as it takes.
    timeout_s, start_timeout_s
        What one cell, and the start of a worker, may take, seconds.
    memory
        What checking one Jacobian may need, as ``2GiB``; None: a share of what is free.
    seed
        Of every order.
    """

    threads: int = 1
    launches: int = 4
    blocks: int = 10
    extensions: int = 3
    time_limit_s: float | None = None
    timeout_s: float = 300.0
    start_timeout_s: float = 120.0
    memory: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be measured with, one clear line each."""
        for name, value, least in (
            ("threads", self.threads, 1),
            ("launches", self.launches, 2),
            ("blocks", self.blocks, 2),
            ("extensions", self.extensions, 0),
        ):
            if value < least:
                raise JacbenchError(f"--{name} {value}: give a whole number of at least {least}")
        if self.blocks % 2:
            raise JacbenchError(
                f"--blocks {self.blocks}: give an even number, so that both are first as often"
            )
        for name, seconds in (("time-limit", self.time_limit_s), ("timeout", self.timeout_s)):
            if seconds is not None and not (seconds > 0 and math.isfinite(seconds)):
                raise JacbenchError(f"--{name} {seconds:g}: give a number of seconds above 0")
        if self.memory is not None:
            parse_size(self.memory)
