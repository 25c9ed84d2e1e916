"""Whether a function's value moves with its input, as its values alone tell."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from jacbench.core import nearby
from jacbench.core.arrays import Array
from jacbench.core.errors import JacbenchError
from jacbench.core.tree import Tree

SHORTER = 4
"""By how much the second step is shorter: a slope stays what it is, a jump grows by as much."""
SAME = 0.2
"""What slopes may differ by, relative to their size, and still be one."""
NEARER = (1, 16, 256)
"""By how much the first step is shortened, in turn, where it is too long to see a slope by."""
NOISE = 30
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
    start, units, eps = nearby.flat(x), nearby.units(x), float(np.finfo(dtype).eps)

    def at(step: Array) -> Array:
        return np.asarray(value(nearby.like(start + step, x)), np.float64).reshape(-1)

    for nearer in NEARER:
        longer = math.cbrt(eps) / nearer
        signs, sizes = rng.choice([-1.0, 1.0], start.size), rng.uniform(0.5, 1.5, start.size)
        direction = units * signs * sizes
        try:
            here = at(0 * direction)
            slopes = [
                (at(t * direction) - here) / t for h in (longer, longer / SHORTER) for t in (h, -h)
            ]
        except JacbenchError:
            continue
        size = min(float(np.linalg.norm(one)) for one in slopes)
        rounding = eps * float(np.linalg.norm(here)) * SHORTER / longer
        apart = max(float(np.linalg.norm(one - slopes[0])) for one in slopes)
        if size > NOISE * rounding and apart <= SAME * size:
            return size
    return None
