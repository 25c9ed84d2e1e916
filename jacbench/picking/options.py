"""What is wanted of a pick, besides the function."""

from __future__ import annotations

from dataclasses import dataclass

from jacbench.core.errors import JacbenchError
from jacbench.measuring import memory
from jacbench.picking.candidate import FORMATS


@dataclass(frozen=True, kw_only=True)
class PickOptions:
    """What is wanted of a pick, besides the function.

    Attributes
    ----------
    time_limit_s
        What examining, checking and timing may take, seconds. Imports and compilers that run for
        seconds are not counted.
    compile_limit_s
        What compilers that run for seconds may take in all, seconds.
    calls
        How often the Jacobian is wanted; None: often, so that preparation does not count.
    memory
        What a call may need, as ``2GiB``.
    form
        ``dense``, ``blocks``, ``csr`` or ``factors``; None: dense, or where that cannot be had what
        can.
    today
        The method used now; None: the plain one of the library.
    compile
        False: leave out compilers that run for seconds. None: try them in workers, and not in the
        caller's process, which a crash of what they make would end.
    structure
        False: leave out methods that rely on a structure of the Jacobian.
    threads
        For workers.
    seed
        Of every order.
    """

    time_limit_s: float = 60.0
    compile_limit_s: float = 120.0
    calls: int | None = None
    memory: str | None = None
    form: str | None = None
    today: str | None = None
    compile: bool | None = None
    structure: bool = True
    threads: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what makes no sense, one clear line each."""
        if not self.time_limit_s > 0:
            raise JacbenchError(f"--time-limit {self.time_limit_s:g}: give seconds above 0")
        if not self.compile_limit_s > 0:
            raise JacbenchError(
                f"--compile-limit {self.compile_limit_s:g}: give seconds above 0, or --no-compile"
            )
        if self.calls is not None and self.calls < 1:
            raise JacbenchError(f"--calls {self.calls}: give a whole number of at least 1")
        if self.form is not None and self.form not in FORMATS.values():
            known = ", ".join(FORMATS.values())
            raise JacbenchError(f"--format {self.form!r}: give one of {known}")
        if self.threads < 1:
            raise JacbenchError(f"--threads {self.threads}: give a whole number of at least 1")
        if self.memory is not None:
            memory.parse_size(self.memory)

    @property
    def memory_bytes(self) -> int | None:
        """What a call may need, bytes."""
        return None if self.memory is None else memory.parse_size(self.memory)
