"""NumPy arrays, and their shapes, as annotations name them."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

Shape: TypeAlias = tuple[int, ...]


Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
