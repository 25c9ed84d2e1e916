"""SIGTERM ends long work as Ctrl-C does, and what was measured is written before anything ends."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Interrupts:
    """How often work has been asked to end.

    The first interrupt is raised; the second is only counted, so that what the first began, to end
    workers and to write what was measured, is not cut off; from the third on each is raised.
    """

    count: int = 0

    def __call__(self, *_: object) -> None:
        """Handle a signal."""
        self.count += 1
        if self.count != 2:
            raise KeyboardInterrupt


@contextmanager
def counted_interrupts() -> Iterator[Interrupts]:
    """Let SIGTERM end the block as Ctrl-C does, and count both; in the main thread only."""
    interrupts = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, interrupts)}
    # One that was ignored (a shell's background job) or handled by somebody stays so.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        before[signal.SIGINT] = signal.signal(signal.SIGINT, interrupts)
    try:
        yield interrupts
    finally:
        for which, handler in before.items():
            with contextlib.suppress(TypeError):  # one that was not installed from Python
                signal.signal(which, handler)
