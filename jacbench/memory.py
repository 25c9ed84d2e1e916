"""Peak memory of one call, and the guard that refuses a Jacobian that would not fit."""

from __future__ import annotations

import ctypes
import math
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from jacbench.errors import JacbenchError

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY_UNITS = {"ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_M_MMAP_THRESHOLD = -3  # <malloc.h>

GUARD_SHARE = 0.8
"""The share of the available memory that a cell may need where ``--memory`` says nothing."""


def parse_size(text: str) -> int:
    """Return the bytes in ``2GiB``, ``500 MB`` or ``1e9``."""
    match = re.fullmatch(r"\s*([\d.]+(?:e\d+)?)\s*([kmgt]i?)?b?\s*", text.lower())
    units = _UNITS | _BINARY_UNITS
    try:
        size = float(match[1]) * units[match[2] or ""] if match else 0.0
    except ValueError:
        size = 0.0
    if not 1 <= size < math.inf:
        raise JacbenchError(f"--memory {text!r}: give a size such as 2GiB or 500MB")
    return int(size)


def format_size(size: float) -> str:
    """Return ``size`` bytes in the binary unit that keeps three digits."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            # From 1000 to 1023 three digits would be written as 1e+03.
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.0f} TiB" if size >= 100 else f"{size:.3g} TiB"


def needed(m: int, n: int, dtype: str) -> int:
    """Return the bytes that checking an m x n Jacobian needs at the least.

    Two native results that are held at once, and in float64 both references, two copies of the
    results and one difference.
    """
    return m * n * (2 * np.dtype(dtype).itemsize + 5 * 8)


def available() -> int | None:
    """Return the memory that the machine can still give, in bytes; None where it does not say."""
    try:
        text = Path("/proc/meminfo").read_text()
    except OSError:
        return None
    match = re.search(r"^MemAvailable:\s+(\d+) kB", text, re.MULTILINE)
    return int(match[1]) * 1024 if match else None


def too_large(m: int, n: int, dtype: str, limit: int | None) -> str | None:
    """Return why an m x n Jacobian is refused, or None where it fits.

    ``limit`` is what ``--memory`` allows, in bytes; None allows a share of what is available.
    """
    need = needed(m, n, dtype)
    if limit is None:
        free = available()
        if free is None or need <= GUARD_SHARE * free:
            return None
        allowed = f"{GUARD_SHARE:.0%} of the {format_size(free)} available"
    elif need <= limit:
        return None
    else:
        allowed = f"the {format_size(limit)} of --memory"
    return (
        f"a {m} x {n} Jacobian needs {need} bytes ({format_size(need)}) to check, more than "
        f"{allowed}: allow it with --memory {format_size(need * 1.01).replace(' ', '')}"
    )


def prepare_to_measure() -> bool:
    """Make the allocator give large blocks back at once; say whether peaks can be measured.

    With blocks of 64 KiB and more in mappings of their own, and what is free given back, a peak
    repeats within about 1 %. That changes times, so that it is done once everything is timed.
    """
    if not (sys.platform == "linux" and _STATUS.exists() and _CLEAR.exists()):
        return False
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, 65536)
    try:
        _CLEAR.write_text("5")
    except OSError:
        return False
    return True


def peak_bytes(call: Callable[[], object]) -> int:
    """Return the peak of the process during ``call`` above its state before, in bytes."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
    _CLEAR.write_text("5")  # resets VmHWM, see proc(5)
    before = _status("VmRSS")
    result = call()
    peak = _status("VmHWM") - before
    del result
    return max(0, peak)


def _status(field: str) -> int:
    match = re.search(rf"^{field}:\s+(\d+) kB", _STATUS.read_text(), re.MULTILINE)
    assert match is not None  # noqa: S101 - Linux has both fields
    return int(match[1]) * 1024
