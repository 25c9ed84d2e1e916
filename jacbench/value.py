"""Whether what a function returned can be differentiated, said in one line where it cannot."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from jacbench.backend import Backend
from jacbench.errors import JacbenchError
from jacbench.layout import Array
from jacbench.scrub import one_line


def evaluate(who: str, backend: Backend, call: Callable[[], Any]) -> Array:
    """Return the function's value as a NumPy array, or raise the line that says what is wrong.

    Parameters
    ----------
    who
        Whose function, for the message: ``problem 'basics/generator'``.
    backend
        Whose arrays the function returns.
    call
        Calls the function.
    """
    try:
        value = call()
    except JacbenchError:
        raise
    except Exception as exc:
        raise JacbenchError(
            f"{who}: its function raised {type(exc).__name__}: {one_line(exc, 200)}: "
            "call it at this point yourself to see where"
        ) from exc
    if isinstance(value, (bool, int, float, complex)) and not isinstance(value, np.generic):
        raise JacbenchError(
            f"{who}: its function returned the Python {type(value).__name__} {value!r}, not an "
            "array: return a 0-d array, e.g. that of xp.sum"
        )
    if not backend.is_array(value):
        raise JacbenchError(
            f"{who}: its function returned {_article(type(value).__name__)}, not an array: "
            "return one array of floats"
        )
    array = np.asarray(backend.to_numpy(value))
    if array.dtype.kind == "c":
        raise JacbenchError(
            f"{who}: its function returned complex numbers ({array.dtype}): return real ones, "
            "e.g. the real and imaginary parts stacked"
        )
    if array.dtype.kind != "f":
        raise JacbenchError(
            f"{who}: its function returned an array of dtype {array.dtype}, which has no "
            "derivative: return floats"
        )
    if array.size == 0:
        raise JacbenchError(
            f"{who}: its function returned an empty array (shape {array.shape}): a Jacobian needs "
            "at least one output"
        )
    if not np.isfinite(array).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise JacbenchError(
            f"{who}: its function returned {array[place]} at y{list(place)}: choose a point where "
            "it is finite"
        )
    return array


def same_outputs(who: str, here: tuple[int, ...], there: tuple[int, ...]) -> None:
    """Refuse a function whose number of outputs depends on the point."""
    if here != there:
        raise JacbenchError(
            f"{who}: its function returned {math.prod(here)} outputs (shape {here}) at x and "
            f"{math.prod(there)} (shape {there}) at a second point: a Jacobian needs a fixed number"
        )


def _article(name: str) -> str:
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}" if name != "NoneType" else "None"
