"""What a worker's memory may grow by while it does one thing."""

from __future__ import annotations

from jacbench.measuring import memory, process_memory

MEMORY_SHARE = 0.9
"""The share of the available memory that may be used where ``--memory`` says nothing."""


class MemoryLimit:
    """Watches what a process grows by from now on.

    Parameters
    ----------
    pid
        The process.
    limit_bytes
        What it may grow by; None: a share of what is available now.
    """

    def __init__(self, pid: int, limit_bytes: int | None) -> None:
        self._pid = pid
        self._before = process_memory.resident_bytes(pid)
        self._free = memory.available() if limit_bytes is None else None
        self._limit = limit_bytes if self._free is None else int(MEMORY_SHARE * self._free)

    def broken(self) -> str | None:
        """Return the line to say once the process has taken more than it may, else None."""
        if self._before is None or self._limit is None:
            return None
        now = process_memory.resident_bytes(self._pid)
        if now is None or now - self._before <= self._limit:
            return None
        used = memory.format_size(now - self._before)
        if self._free is None:
            return (
                f"used {used}, more than the {memory.format_size(self._limit)} of --memory: killed"
            )
        free = memory.format_size(self._free)
        return f"used {used}, more than {100 * MEMORY_SHARE:.0f} % of the {free} available: killed"
