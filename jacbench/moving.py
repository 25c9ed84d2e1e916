"""Whether a function's value moves with its input, as its values alone tell."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from jacbench import nearby
from jacbench.errors import JacbenchError
from jacbench.layout import Array
from jacbench.tree import Tree

DIRECTIONS = 3
"""Random directions that are tried."""
SHORTER = 4
"""By how much the second step is shorter: a slope stays what it is, a jump grows by as much."""
SAME = 0.2
"""What slopes may differ by, relative to their size, and still be one."""
NOISE = 1e3
"""How many times its rounding a value has to move by."""


def slope(value: Callable[[Tree], Array], x: Tree, dtype: str) -> float | None:
    """Return ‖y'‖ along a direction in which y has a slope; None where none was found.

    Parameters
    ----------
    value
        The function on NumPy arrays; it raises JacbenchError where it has no value.
    x
        NumPy arrays; each entry moves in proportion to its scale.
    dtype
        In which the function is computed.

    Notes
    -----
    A slope is the same on both sides of x and over a shorter step: what jumps, as rounding and
    comparisons do, or has a kink at x, may have a derivative of 0 by right, and what is drawn at
    random has none.
    """
    rng = np.random.default_rng(0xC07)
    longer = math.cbrt(float(np.finfo(dtype).eps))
    start, units = nearby.flat(x), nearby.units(x)

    def at(step: Array) -> Array:
        return np.asarray(value(nearby.like(start + step, x)), np.float64).reshape(-1)

    for _ in range(DIRECTIONS):
        direction = units * rng.choice([-1.0, 1.0], start.size) * rng.uniform(0.5, 1.5, start.size)
        try:
            here = at(0 * direction)
            slopes = [
                (at(t * direction) - here) / t for h in (longer, longer / SHORTER) for t in (h, -h)
            ]
        except JacbenchError:
            continue
        size = min(map(np.linalg.norm, slopes))
        rounding = float(np.finfo(dtype).eps) * float(np.linalg.norm(here)) / longer
        apart = max(float(np.linalg.norm(one - slopes[0])) for one in slopes)
        if size > NOISE * rounding and apart <= SAME * size:
            return float(size)
    return None
