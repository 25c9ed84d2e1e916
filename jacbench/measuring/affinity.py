"""Processors that workers are bound to, so that a run and what else a machine does keep apart."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Sequence

from jacbench.core.errors import JacbenchError

_MOST = 4096
"""Processors in one range: far more than any machine has, and soon written out."""


def parse(text: str) -> tuple[int, ...]:
    """Return the processors in ``0,2-3``, ascending, each once."""
    found: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,6})(?:-(\d{1,6}))?\s*", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last < first + _MOST:
            raise JacbenchError(f"--cpus {text!r}: give processors such as 0,2-3")
        found.update(range(first, last + 1))
    return tuple(sorted(found))


def spelled(cpus: Sequence[int]) -> str:
    """Return the text that :func:`parse` takes."""
    return ",".join(map(str, cpus))


def check(cpus: Sequence[int]) -> None:
    """Raise where this process may not use all of ``cpus``."""
    asked = f"--cpus {spelled(cpus)}"
    if not hasattr(os, "sched_setaffinity"):
        raise JacbenchError(f"{asked}: this system binds no process to processors: leave it out")
    usable = sorted(os.sched_getaffinity(0))
    missing = [cpu for cpu in cpus if cpu not in usable]
    if missing or not cpus:
        none = f"processor {missing[0]} is not" if missing else "none is"
        raise JacbenchError(
            f"{asked}: {none} among those that may be used here: choose from {spelled(usable)}"
        )


def bind_every_thread(cpus: Sequence[int]) -> None:
    """Bind each thread that this process has now to ``cpus``, where the system can."""
    if not hasattr(os, "sched_setaffinity"):
        return
    try:
        threads = [int(name) for name in os.listdir("/proc/self/task")]  # noqa: PTH208 - quicker
    except OSError:
        threads = [0]
    for thread in threads:
        with contextlib.suppress(OSError):  # one that has just ended
            os.sched_setaffinity(thread, cpus)


def bind(cpus: Sequence[int]) -> None:
    """Bind this process, and the threads that it will start, to ``cpus``."""
    check(cpus)
    if hasattr(os, "sched_setaffinity"):  # said for the type checker of other systems
        os.sched_setaffinity(0, cpus)
