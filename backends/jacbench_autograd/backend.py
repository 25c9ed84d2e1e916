"""HIPS autograd as a backend: NumPy arrays on the CPU."""

from __future__ import annotations

from collections.abc import Sequence

from jacbench.backend import HostBackend, Method
from jacbench_autograd import batch, declines, jvp, methods, values, vjp, xp


class AutogradBackend(HostBackend):
    """HIPS autograd; its arrays are NumPy's."""

    xp = xp
    fatal_warnings = ("Output seems independent of input",)
    witnesses = ("autograd.vjp-loop", "autograd.jvp")

    def methods(self) -> Sequence[Method]:
        """Return every method, in the descriptor's order."""
        return (
            *methods.METHODS,
            *values.METHODS,
            *batch.METHODS,
            *vjp.METHODS,
            *jvp.METHODS,
        )

    def declined(self, exc: Exception) -> str | None:
        """Return what autograd says where it cannot trace the function, else None."""
        return declines.reason(exc)
