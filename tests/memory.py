"""What a test process holds: given back where it grew, and told where its peak was too high."""

from __future__ import annotations

import ctypes
import gc
import sys
from pathlib import Path

ALLOWED = 1536
"""What a process may hold at its peak, in MiB."""
KEPT = 200
"""By how much a process may grow before what is compiled is let go, in MiB."""
_STATUS = Path("/proc/self/status")


def held(field: str = "VmRSS") -> int:
    """Return what this process holds (VmRSS), or held at most (VmHWM), in MiB; 0 if not told."""
    if not _STATUS.exists():
        return 0
    for line in _STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) // 1024
    return 0


def let_go() -> None:
    """Forget what JAX and torch compiled, and give freed memory back to the system."""
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()
    if "torch._dynamo" in sys.modules:
        sys.modules["torch._dynamo"].reset()
    gc.collect()
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "malloc_trim"):  # glibc's own
            libc.malloc_trim(0)


class Account:
    """The memory of one test process, test by test."""

    def __init__(self) -> None:
        self.peak = held("VmHWM")
        self.grown: dict[str, int] = {}
        self.base = held()

    def after(self, file: str) -> None:
        """Note by how much a test of ``file`` raised the peak, and let go where much is held."""
        # the highest seen here: jacbench.measuring.memory sets the system's own mark back
        peak = max(self.peak, held("VmHWM"))
        self.grown[file] = self.grown.get(file, 0) + peak - self.peak
        self.peak = peak
        self.let_go_beyond(KEPT)

    def let_go_beyond(self, kept: int) -> None:
        """Let go where more than ``kept`` MiB came on top of what was left the last time."""
        if held() > self.base + kept:
            let_go()
            # what is left is imported or in use: the next time is when as much came on top of it
            self.base = held()

    def told(self, allowed: int = ALLOWED) -> str | None:
        """Return a line where the peak is above ``allowed``, else None."""
        if self.peak <= allowed or not self.grown:
            return None
        most = max(self.grown, key=self.grown.__getitem__)
        return (
            f"a test process held {self.peak} MiB at its peak, more than {allowed} MiB: "
            f"it grew most, by {self.grown[most]} MiB, during {most}"
        )
