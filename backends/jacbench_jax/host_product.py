"""A large product of two thin matrices, computed by NumPy for JAX's CPU device.

A result of 32 MiB or more is more than the C library keeps for the next call: XLA gets fresh
memory every time, in pages of 4 KiB, and merely filling it takes three quarters as long as a
product with 16 columns (``benchmarks/products.py``). NumPy asks for large pages.

Reference: https://numpy.org/doc/stable/reference/global_state.html, NUMPY_MADVISE_HUGEPAGE
"""

from __future__ import annotations

import jax
import numpy as np

from jacbench.measuring import memory

ALIGNMENT = 64
"""Bytes to which memory has to be aligned for JAX to take it over as it is."""
LARGE = memory.ALWAYS_FRESH
"""Bytes of a result from which this pays; below, XLA's own product is the faster one."""


def pays(device: str, m: int, n: int, dtype: str) -> bool:
    """Say whether an (m, n) product for ``device`` is better computed here."""
    real = dtype in {"float32", "float64"}
    return device == "cpu" and real and m * n * np.dtype(dtype).itemsize >= LARGE


def product(left: jax.Array, right: jax.Array) -> jax.Array:
    """Return ``left @ right``, of shapes (m, k) and (k, n), for the device that holds them.

    Both are read where they are, and the result is handed over without a copy.
    """
    out = _aligned((left.shape[0], right.shape[1]), left.dtype)
    np.matmul(np.asarray(left), np.asarray(right), out=out)
    placed: jax.Array = jax.device_put(out, left.device, may_alias=True)
    return placed


def _aligned(shape: tuple[int, int], dtype: np.dtype) -> np.ndarray:
    count = int(np.prod(shape)) * dtype.itemsize
    memory = np.empty(count + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + count].view(dtype).reshape(shape)
