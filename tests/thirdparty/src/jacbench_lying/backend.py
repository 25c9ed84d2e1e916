"""What a clock would be told, were the timed calls not asked again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from jacbench_tiny.backend import NumpyArrays, complex_step

from jacbench.backend import Target
from jacbench_lying import descriptor


def _later(target: Target) -> Callable[[Any], Any]:
    right, calls = complex_step(target), [0]

    def call(x: Any) -> Any:
        calls[0] += 1
        return right(x) * (1.0 if calls[0] < 10 else 1 + 1e-6)

    return call


def _keeps(target: Target) -> Callable[[Any], Any]:
    right, kept = complex_step(target), dict[bytes, Any]()

    def call(x: Any) -> Any:
        key = x.tobytes()
        if key not in kept:
            kept[key] = right(x)
        return kept[key].copy()

    return call


class LyingBackend(NumpyArrays):
    """Two that lie beside one that does not."""

    descriptor = descriptor
    made: ClassVar = {
        "lying.later": _later,
        "lying.keeps": _keeps,
        "lying.right": complex_step,
    }
