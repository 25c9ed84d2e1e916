"""Plain NumPy as a backend: the reference side of every comparison."""

from __future__ import annotations

from collections.abc import Sequence

from jacbench.backend import HostBackend, Method
from jacbench_numpy import analytic, complex_step, differences, xp


class NumpyBackend(HostBackend):
    """NumPy arrays on the CPU."""

    xp = xp

    def methods(self) -> Sequence[Method]:
        """Return every method, in the descriptor's order."""
        return (*analytic.METHODS, *differences.METHODS, *complex_step.METHODS)
