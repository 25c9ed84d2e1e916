"""How coarse the values of a function are, where that is why nothing can be told of its slopes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jacbench.checking.evidence import differences
from jacbench.checking.evidence.ground import Ground
from jacbench.core.arrays import Array

FEW = 3
"""Values that have to end in zeros where a type of fewer digits is said of them: one may by chance,
once in thousands."""
RESOLVES = {"bfloat16": "0.8 %", "float16": "0.1 %"}
"""The step from 1 to the next number of a type."""


def narrow(y: Sequence[Array], dtype: str) -> str | None:
    """Return the type of fewer digits in which all values are, ``bfloat16`` or ``float16``."""
    values = np.concatenate([one.reshape(-1) for one in y])
    whole = np.array_equal(values, np.rint(values))
    if np.count_nonzero(values) < FEW or whole or dtype == "float16":
        return None
    with np.errstate(over="ignore"):
        single, half = values.astype(np.float32), values.astype(np.float16)
    if np.array_equal(single, values) and not np.any(single.view(np.uint32) & 0xFFFF):
        return "bfloat16"  # of so few digits that float16 mostly holds them too
    return "float16" if np.array_equal(half, values) else None


def told(ground: Ground, dtype: str) -> str:
    """Return how coarse the values are, if they are, and what to do where nothing can be told."""
    by_hand = "a jacbench.Problem with jacobian= to settle it"
    kind = narrow(ground.y, dtype)
    if kind is not None:
        return (
            f"; its values are in {kind}, which resolves {RESOLVES[kind]}: compute it in float32 "
            f"(without autocast, or .float()), or give {by_hand}"
        )
    noisy = ground.noise > differences.NOISY * ground.eps
    scatter = f"; its values scatter by {ground.noise:.0e} of ‖y‖" if noisy else ""
    return f"{scatter}: give {by_hand}"
