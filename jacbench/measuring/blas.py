"""The threads of the BLAS that NumPy has loaded, asked of the library itself."""

from __future__ import annotations

import ctypes
import functools
import re
from collections.abc import Callable
from typing import Any

from jacbench.measuring import hardware

_PREFIXES = ("scipy_openblas", "openblas")
_SUFFIXES = ("64_", "", "_64", "64")


@functools.cache
def _library() -> tuple[Callable[[], int], Callable[[int], None]] | None:
    """Return the functions that get and set the number of threads; None where there are none.

    Wheels of NumPy carry an OpenBLAS of their own, whose names have a prefix and a suffix.
    """
    mapped = re.findall(r"(/\S*openblas\S*)$", hardware.read("/proc/self/maps"), re.MULTILINE)
    for path in dict.fromkeys(mapped):
        try:
            library = ctypes.CDLL(path)
        except OSError:
            continue
        for prefix in _PREFIXES:
            for suffix in _SUFFIXES:
                get: Any = getattr(library, f"{prefix}_get_num_threads{suffix}", None)
                put: Any = getattr(library, f"{prefix}_set_num_threads{suffix}", None)
                if get is not None and put is not None:
                    return get, put
    return None


def threads() -> int | None:
    """Return how many threads a matrix product of NumPy's may use; None where it is not known."""
    library = _library()
    return None if library is None else int(library[0]())


def set_threads(count: int | None) -> None:
    """Set them; None changes nothing."""
    library = _library()
    if library is not None and count is not None:
        library[1](count)
