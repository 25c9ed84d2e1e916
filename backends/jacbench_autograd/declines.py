"""What autograd says, mostly through Python, of functions that it cannot trace.

It hands a function boxes in place of arrays, and a box lacks some of what an array can do. A
missing derivative is a NotImplementedError, which every method knows.

Reference: https://github.com/HIPS/autograd/blob/master/docs/tutorial.md#supported-and-unsupported-parts-of-numpyscipy
"""

from __future__ import annotations

import re

import numpy as np

_METHODS = "|".join(name for name in dir(np.ndarray) if not name.startswith("_"))

DECLINES: tuple[tuple[str, str], ...] = (
    # y[0] = ... is not recorded
    ("TypeError", r"'\w+Box' object does not support item assignment"),
    # a Python number out of a traced array; getval would cut it from differentiation
    ("TypeError", r"(float|int)\(\) argument must be .+, not '\w+Box'"),
    ("TypeError", r"complex\(\) (first )?argument must be .+, not '\w+Box'"),
    ("TypeError", r"must be real number, not \w+Box"),
    ("TypeError", r"'\w+Box' object cannot be interpreted as an integer"),
    # x.item(), x.copy(), x.real: arrays have them and boxes do not
    ("AttributeError", rf"'ArrayBox' object has no attribute '({_METHODS})'"),
)
"""Names of exceptions, and what the message begins with."""


def reason(exc: Exception) -> str | None:
    """Return what autograd says if it declines by ``exc``, else None."""
    said = " ".join(str(exc).split())
    if not any(type(exc).__name__ == n and re.match(begins, said) for n, begins in DECLINES):
        return None
    return f"autograd says: {said}"
