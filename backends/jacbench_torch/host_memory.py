"""A large product of two thin matrices, into memory of NumPy's where it lies on the CPU.

A result of 32 MiB or more is more than the C library keeps for the next call: torch gets fresh
memory every time, in pages of 4 KiB unless the process was started with
``THP_MEM_ALLOC_ENABLE=1``. A product with 16 columns takes less than half as long in the large
pages that NumPy asks for (``benchmarks/products.py``).

Reference: https://numpy.org/doc/stable/reference/global_state.html, NUMPY_MADVISE_HUGEPAGE
"""

from __future__ import annotations

import numpy as np
import torch

from jacbench.measuring import memory

LARGE = memory.ALWAYS_FRESH
"""Bytes of a result from which this pays for certain."""
_OF_NUMPY = {torch.float32: np.float32, torch.float64: np.float64}


def product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return ``left @ right``, of shapes (m, k) and (k, n) and without gradients of their own."""
    shape = (left.shape[0], right.shape[1])
    dtype = _OF_NUMPY.get(left.dtype)
    if dtype is None or left.device.type != "cpu" or shape[0] * shape[1] * left.itemsize < LARGE:
        return left @ right
    out = torch.from_numpy(np.empty(shape, dtype))
    return torch.mm(left, right, out=out)
