"""What a contest is held under."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a pick was asked for.

    Attributes
    ----------
    time_limit_s
        What checking and timing may take, seconds; imports and compilers that run for seconds are
        not counted.
    compile_limit_s
        What compilers that run for seconds may take in all, seconds.
    asked_s
        The time limit as the user gave it, of which that is what was left; None: the same.
    calls
        How often the Jacobian is wanted; None: often, so that preparation does not count.
    memory_bytes
        What a call may need; None: nothing was said.
    compile
        False: leave out what compiles for seconds.
    form
        The only format that is asked for; None: every one.
    structure
        False: leave out what relies on a structure of the Jacobian.
    today
        The method that the user uses now.
    threads
        For which everything is pinned; 1 lets candidates be timed on one and the same processor.
    bind
        True where the benches may be bound to processors.
    seed
        Of every order.
    """

    time_limit_s: float = 60.0
    compile_limit_s: float = 120.0
    asked_s: float | None = None
    calls: int | None = None
    memory_bytes: int | None = None
    compile: bool = True
    form: str | None = None
    structure: bool = True
    today: str | None = None
    threads: int = 1
    bind: bool = True
    seed: int = 0
