"""A busy neighbour, for the self-test: arithmetic and memory traffic until it is killed."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from jacbench.measuring import threads


def work() -> None:
    """Keep one core busy, half of the time in the interpreter and half in memory."""
    threads.die_with_parent()
    threads.pin(1)
    import numpy as np  # noqa: PLC0415 - after the pins

    numbers = np.random.default_rng(0).random(500_000)
    for _ in itertools.count():
        sum(range(1_000_000))
        np.sort(numbers)


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """Have ``count`` busy neighbours while the block runs."""
    started = []
    try:
        for _ in range(count):
            process = subprocess.Popen(
                [sys.executable, "-m", "jacbench.gating.busy_neighbour"], stdin=subprocess.DEVNULL
            )
            started.append(process)  # one by one, so that none is left if the next does not start
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


if __name__ == "__main__":
    work()
