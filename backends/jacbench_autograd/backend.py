"""HIPS autograd as a backend: NumPy arrays on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from autograd.tracer import isbox

from jacbench.backend import HostBackend, Method
from jacbench_autograd import (
    batch,
    coloured,
    declines,
    jvp,
    methods,
    per_sample,
    plain_numpy,
    recipes,
    values,
    vjp,
    xp,
)

if TYPE_CHECKING:
    from jacbench.backend.user_code import Spelling


class AutogradBackend(HostBackend):
    """HIPS autograd; its arrays are NumPy's."""

    xp = xp
    fatal_warnings = ("Output seems independent of input",)
    witnesses = ("autograd.vjp-loop", "autograd.jvp")

    def methods(self) -> Sequence[Method]:
        """Return every method, in the descriptor's order."""
        return (
            *methods.METHODS,
            *per_sample.METHODS,
            *coloured.METHODS,
            *values.METHODS,
            *batch.METHODS,
            *vjp.METHODS,
            *jvp.METHODS,
        )

    def untraceable(self, function: Callable[..., Any], x: Any, *constants: Any) -> str | None:
        """Say where NumPy itself was given what autograd traces."""
        return plain_numpy.untraceable(function, x, *constants)

    def recipe(
        self,
        method: str,
        spelling: Spelling,
        chunk_size: int | None,
        facts: Mapping[str, Any],
    ) -> list[str] | None:
        """Return the method as lines of autograd."""
        return recipes.of(method, spelling, chunk_size, facts)

    def is_array(self, value: Any) -> bool:
        """Say whether it is NumPy's, or a box around such a one inside of another derivative."""
        return super().is_array(value) or bool(isbox(value))

    def traced(self, array: Any) -> bool:
        """Say whether it is a box: autograd differentiates it."""
        return bool(isbox(array))

    def copied(self, array: Any) -> Any:
        """Return a copy; a box as it is, of which nothing can be written."""
        return array if isbox(array) else super().copied(array)

    def was_written(self, copy: Any, array: Any) -> bool:
        """Say whether the copy differs; a box never does."""
        return not isbox(array) and super().was_written(copy, array)

    def declined(self, exc: Exception) -> str | None:
        """Return what autograd says where it cannot trace the function, else None."""
        return declines.reason(exc)
