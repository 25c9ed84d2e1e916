"""HIPS autograd as a backend: NumPy arrays on the CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jacbench.backend import Backend, Method
from jacbench_autograd import methods, xp


class AutogradBackend(Backend):
    """HIPS autograd; its arrays are NumPy's."""

    xp = xp
    fatal_warnings = ("Output seems independent of input",)

    def methods(self) -> Sequence[Method]:
        """Return every method, in the descriptor's order."""
        return methods.METHODS

    def configure(self, threads: int) -> Mapping[str, str | int | bool]:
        """Change nothing: NumPy's threads are pinned by the environment."""
        del threads
        return {}

    def put(self, array: Any, device: str, dtype: str) -> Any:
        """Return a copy; integer constants keep their dtype."""
        del device
        array = np.array(array)
        return array.astype(dtype) if array.dtype.kind == "f" else array

    def to_numpy(self, array: Any) -> Any:
        """Return a copy."""
        return np.array(array)
