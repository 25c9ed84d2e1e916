"""Several things at once, for benches in processes of their own: nothing that is timed."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar

Result = TypeVar("Result")


class Abreast:
    """Runs tasks side by side, each waiting for a process of its own.

    Its threads last as long as it does: Linux ends a worker that asked to end with its parent as
    soon as the thread that started it ends (PR_SET_PDEATHSIG, see prctl(2)).

    Parameters
    ----------
    width
        How many tasks at once; 1: one after another, in the caller's thread.

    Attributes
    ----------
    width
        How many tasks at once.
    stopped
        Set when what goes on is given up: a task that sees it ends.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self.stopped = threading.Event()
        self._pool = ThreadPoolExecutor(width, "jacbench-pick") if width > 1 else None

    @property
    def alone(self) -> bool:
        """True where nothing runs at the same time."""
        return self._pool is None

    def each(
        self, tasks: Sequence[Callable[[], Result]], give_up: Callable[[], object] = lambda: None
    ) -> list[Result]:
        """Return what the tasks return, in their order.

        Parameters
        ----------
        give_up
            Is called to let the tasks end soon, where the caller's thread is interrupted.

        Raises
        ------
        Exception
            That of the first task, in their order, that raised one; once all have ended.
        """
        if self._pool is None:
            return [task() for task in tasks]
        futures: list[Future[Result]] = []
        try:
            futures.extend(self._pool.submit(task) for task in tasks)
            wait(futures)
        except BaseException:  # KeyboardInterrupt: the threads know nothing of it
            self._give_up(futures, give_up)
            raise
        return [future.result() for future in futures]

    def _give_up(self, futures: Sequence[Future[Result]], give_up: Callable[[], object]) -> None:
        self.stopped.set()
        for future in futures:
            future.cancel()
        give_up()
        wait(futures)

    def close(self) -> None:
        """End the threads; what they started ends with them."""
        if self._pool is not None:
            self._pool.shutdown()


ALONE = Abreast(1)
"""One task after another: for benches in one process."""


@contextmanager
def abreast(width: int) -> Iterator[Abreast]:
    """Yield what runs ``width`` tasks at once, and end its threads afterwards."""
    found = Abreast(width)
    try:
        yield found
    finally:
        found.close()


def width(threads: int) -> int:
    """Return for how many processes of so many threads there are processors."""
    has = hasattr(os, "sched_getaffinity")
    count = len(os.sched_getaffinity(0)) if has else (os.cpu_count() or 1)
    return max(1, count // threads)
