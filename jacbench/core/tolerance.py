"""A tolerance of the user's: what is one, said without importing NumPy."""

from __future__ import annotations

import math
import numbers


def why_no_tolerance(name: str, value: object) -> str | None:
    """Return why ``value`` is no tolerance, in one line, or None where it is one, or None itself.

    Parameters
    ----------
    name
        As the user gave it: ``rtol`` or ``--atol``.
    """
    if value is None:
        return None
    relative = name.endswith("rtol")
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return f"{name} is a {type(value).__name__}: give a number"
    number = float(value)
    if not (math.isfinite(number) and number >= 0) or (relative and number >= 1):
        return f"{name} is {value}: give a number of at least 0" + (", below 1" if relative else "")
    return None
