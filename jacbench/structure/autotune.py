"""Which of a few ways of computing the same is the fastest here: tried as it is prepared."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

ROUNDS = 5
SECONDS = 0.1
"""After this long no further round is begun."""


def fastest(
    ways: Mapping[str, Callable[[], Any]], same: Callable[[Any, Any], bool] | None = None
) -> str:
    """Return the name of the quickest of ``ways``, each a call that waits for its result.

    The least of a few interleaved calls each, after one that is not counted. A way that raises is
    out, and one whose result is not the ``same`` as that of the first that works: libraries have
    faults in one mode and not in the other. Where all raise, the first one's exception is raised.
    Where they are as quick as each other either will do, and so chance may choose.
    """
    left = _working(ways, same)
    if len(left) == 1:
        return next(iter(left))
    best = dict.fromkeys(left, float("inf"))
    begun = time.perf_counter()
    for _ in range(ROUNDS):
        for name, call in left.items():
            start = time.perf_counter()
            call()
            best[name] = min(best[name], time.perf_counter() - start)
        if time.perf_counter() - begun > SECONDS:
            break
    return min(best, key=lambda name: best[name])


def _working(
    ways: Mapping[str, Callable[[], Any]], same: Callable[[Any, Any], bool] | None
) -> dict[str, Callable[[], Any]]:
    left: dict[str, Callable[[], Any]] = {}
    failures: list[Exception] = []
    first: Any = None
    for name, call in ways.items():
        try:
            result = call()
        except Exception as exc:  # noqa: BLE001 - a library without a rule: it is another's turn
            failures.append(exc)
            continue
        if not left:
            first = result
        elif same is not None and not same(first, result):
            continue
        left[name] = call
    if not left:
        raise failures[0]
    return left
