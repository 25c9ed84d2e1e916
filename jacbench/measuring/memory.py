"""Peak memory of one call, and the guard that refuses a Jacobian that would not fit."""

from __future__ import annotations

import ctypes
import gc
import itertools
import math
import re
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from jacbench.core.errors import JacbenchError

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_ROLLUP = Path("/proc/self/smaps_rollup")
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY_UNITS = {"ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_M_MMAP_THRESHOLD = -3  # <malloc.h>

ALWAYS_FRESH = 32 * 2**20
"""Bytes from which the C library keeps no freed memory for the next call.

Such an allocation comes in pages that the system fills one by one. It is DEFAULT_MMAP_THRESHOLD_MAX
on 64 bits, see M_MMAP_THRESHOLD in https://man7.org/linux/man-pages/man3/mallopt.3.html.
"""
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
    """Return the peak of the process during ``call`` above its state before, in bytes.

    Never less than the result takes: a process that held pages already free, or got some that
    nobody has written to yet, does not grow by them.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
    _CLEAR.write_text("5")  # resets VmHWM, see proc(5)
    before = _status("VmRSS")
    result = call()
    peak = _status("VmHWM") - before
    return max(size_of(result), peak)


def size_of(result: object) -> int:
    """Return what the arrays in a result take, in bytes: alone, or in tuples, dicts and matrices.

    Of a sparse matrix those are its entries and their indices.
    """
    size = getattr(result, "nbytes", None)
    if isinstance(size, int | np.integer):
        return int(size)
    if isinstance(result, Mapping):
        return sum(map(size_of, result.values()))
    if isinstance(result, list | tuple):
        return sum(map(size_of, result))
    parts = (getattr(result, name, None) for name in _PARTS_OF_SPARSE)
    return sum(size_of(part) for part in parts if part is not None)


LEAK_BYTES = 16 * 1024
"""By how much a call has to grow the process: ``jax.jacfwd`` without ``jit``, which is traced anew
in every call, fills JAX's caches by 3 to 10 KiB a call."""

_LEAST_LEFT = 128 * 1024
"""What some calls together have to leave behind: few calls tell a page from a leak less surely."""

_PARTS_OF_SPARSE = ("data", "indices", "indptr", "row", "col")
"""Where scipy.sparse and JAX's sparse matrices keep their arrays."""
_PARTS = 3
_LEAK_CALLS = 50
_LEAK_SECONDS = 0.3
_LEAST_CALLS = 8
_WARM_CALLS = 3
_SLOW_S = 0.15


def leak_bytes(call: Callable[[], object]) -> int | None:
    """Return by how much the process grows with every ``call``, in bytes; None where it does not.

    None, too, for a call so slow that it cannot be made often enough. An allocator that grows in
    steps grows in few of the calls; what waits for the garbage collector is collected before it
    counts; and a growth that is seen has to be seen again, between two exact counts.
    """
    growth = _growth(call)
    if len(growth) < _LEAST_CALLS - _WARM_CALLS or not _grows(growth):
        return None
    each = _confirmed(call, math.ceil(len(growth) / _PARTS))
    # A cycle that is collected now was no leak, and leaves far less behind than it took.
    leaks = statistics.median(each) > statistics.fmean(growth) / 4 and min(each) > LEAK_BYTES
    return int(statistics.median(each)) if leaks else None


def _confirmed(call: Callable[[], object], calls: int) -> list[float]:
    """Return what a call left behind in each of several stretches of ``calls``, in bytes.

    Nothing in a stretch that left too little in all to be told from a page here and there.
    """
    sizes = []
    for stretch in range(_PARTS + 1):
        for _ in range(calls if stretch else 0):
            call()
        gc.collect()
        sizes.append(_settled_bytes())
    left = [after - before for before, after in itertools.pairwise(sizes)]
    return [grown / calls if grown > _LEAST_LEFT else 0.0 for grown in left]


def leak_caution(leak: int) -> str:
    """Return the line that a person reads beside the cell's figures."""
    return f"leaks {format_size(leak)} a call"


def _growth(call: Callable[[], object]) -> list[int]:
    """Return the growth of the process in each call after the first ones, in bytes."""
    sizes = [_status("VmRSS")]
    start = time.perf_counter()
    while len(sizes) <= _LEAK_CALLS:
        spent, calls = time.perf_counter() - start, len(sizes) - 1
        if spent > _LEAK_SECONDS and (calls >= _LEAST_CALLS or spent > calls * _SLOW_S):
            break
        call()
        sizes.append(_status("VmRSS"))
    warm = sizes[_WARM_CALLS:]
    return [after - before for before, after in itertools.pairwise(warm)]


def _grows(growth: list[int]) -> bool:
    """Say whether the process grows all along, and not in its first calls alone.

    Not in how many of the calls: Linux before 6.16 adds a process's pages up per processor, some
    hundred KiB at a time.
    """
    half = len(growth) // 2
    return min(statistics.fmean(growth[:half]), statistics.fmean(growth[half:])) > LEAK_BYTES / 2


def _settled_bytes() -> int:
    """Return the resident memory without what is free, counted page by page where that is told."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
    try:
        match = re.search(r"^Rss:\s+(\d+) kB", _ROLLUP.read_text(), re.MULTILINE)
    except OSError:
        match = None
    return int(match[1]) * 1024 if match else _status("VmRSS")


def _status(field: str) -> int:
    match = re.search(rf"^{field}:\s+(\d+) kB", _STATUS.read_text(), re.MULTILINE)
    assert match is not None  # noqa: S101 - Linux has both fields
    return int(match[1]) * 1024
