"""Cautions: one line each that a person reads beside a time."""

from __future__ import annotations

import re
from collections.abc import Sequence

from jacbench.core.cell import CellResult, Verdict

WIDE = 0.2
"""An interval wider than this share of the median is told: 10 % on either side."""
BUSY = 0.9
"""On one thread: CPU time over wall time below which something else had the processor."""
IDLE, BEYOND = 0.5, 1.1
"""Device time over wall time below and above which the two tell different stories."""
_OWN = ("the interval is ", "the machine was busy: ", "the device was busy ", "the device's clock ")


def of(result: CellResult, *, mean_s: float) -> tuple[str, ...]:
    """Return the cautions for a timed cell; ``mean_s`` is the mean wall time of a call."""
    return tuple(filter(None, (_wide(result), _busy(result, mean_s), _device(result))))


def without_own(told: Sequence[str]) -> tuple[str, ...]:
    """Return ``told`` without what :func:`of` says: with more samples it is said anew."""
    return tuple(line for line in told if not line.startswith(_OWN))


def _wide(result: CellResult) -> str | None:
    if result.median_s is None:
        return None
    if result.low_s is None or result.high_s is None:
        return "the interval is not known from one round: give it more time with --budget"
    width = (result.high_s - result.low_s) / result.median_s if result.median_s else 0.0
    if width <= WIDE:
        return None
    return f"the interval is {width:.0%} wide: give it more time with --budget".replace("%", " %")


def _busy(result: CellResult, mean_s: float) -> str | None:
    if result.cell.device != "cpu" or result.cell.threads != 1 or result.cpu_s is None:
        return None
    share = result.cpu_s / mean_s if mean_s else 1.0
    if share >= BUSY:
        return None
    return f"the machine was busy: the process had {100 * share:.0f} % of a core"


def _device(result: CellResult) -> str | None:
    if result.device_s is None or not result.median_s:
        return None
    share = result.device_s / result.median_s
    device, wall = f"{result.device_s * 1e6:.3g} µs", f"{result.median_s * 1e6:.3g} µs"
    if share < IDLE:
        return (
            f"the device was busy for {device} of {wall}: most of the time is Python and launches"
        )
    if share > BEYOND:
        return f"the device's clock says {device} and the wall's {wall}: was the call synchronised?"
    return None


# Showing

_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def grouped(results: Sequence[CellResult]) -> list[str]:
    """Return each caution once, with the methods it is said of; numbers as the range they have."""
    told: dict[str, dict[str, list[str]]] = {}
    for result in results:
        for caution in result.cautions if result.verdict is Verdict.AGREES else ():
            lines = told.setdefault(_NUMBER.sub("#", caution), {})
            lines.setdefault(caution, []).append(result.cell.method)
    return [
        f"{', '.join(dict.fromkeys(m for methods in lines.values() for m in methods))}: "
        f"{_ranged(list(lines))}"
        for lines in told.values()
    ]


def _ranged(texts: Sequence[str]) -> str:
    """Return texts that differ in their numbers alone as one."""
    numbers = zip(*(_NUMBER.findall(text) for text in texts), strict=True)
    ranges = iter([_range(sorted(set(several), key=float)) for several in numbers])
    return _NUMBER.sub(lambda _: next(ranges), texts[0])


def _range(several: Sequence[str]) -> str:
    return several[0] if len(several) == 1 else f"{several[0]} to {several[-1]}"
