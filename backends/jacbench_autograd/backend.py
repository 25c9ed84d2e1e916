"""HIPS autograd as a backend: NumPy arrays on the CPU."""

from __future__ import annotations

from collections.abc import Sequence

from jacbench.backend import HostBackend, Method
from jacbench_autograd import methods, xp


class AutogradBackend(HostBackend):
    """HIPS autograd; its arrays are NumPy's."""

    xp = xp
    fatal_warnings = ("Output seems independent of input",)

    def methods(self) -> Sequence[Method]:
        """Return every method, in the descriptor's order."""
        return methods.METHODS
