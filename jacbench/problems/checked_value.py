"""Whether what a function returned can be differentiated, said in one line where it cannot."""

from __future__ import annotations

import math
import sysconfig
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from jacbench.backend import Backend
from jacbench.core.arrays import Array
from jacbench.core.errors import JacbenchError
from jacbench.core.redaction import one_line


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
    return not_empty(who, checked(who, backend, called(who, call)))


def called(who: str, call: Callable[[], Any]) -> Any:
    """Return what the function returns, or raise the line that says which of its lines failed."""
    try:
        return call()
    except JacbenchError:
        raise
    except Exception as exc:
        raise JacbenchError(
            f"{who}: its function raised {type(exc).__name__}: {one_line(exc, 200)}{line_of(exc)}: "
            "call it at this point yourself to see where"
        ) from exc


def line_of(exc: BaseException) -> str:
    """Return `` (line 3 of model.py)``, the last of the user's own; empty where there is none."""
    own = [frame for frame in _frames(exc) if _is_users(frame)]
    if not own:
        return ""
    last = own[-1]
    return f" (line {last.tb_lineno} of {Path(last.tb_frame.f_code.co_filename).name})"


def _frames(exc: BaseException) -> list[TracebackType]:
    frames, at = [], exc.__traceback__
    while at is not None:
        frames.append(at)
        at = at.tb_next
    return frames


def _is_users(frame: TracebackType) -> bool:
    """Say whether a frame is neither of jacbench, of an installed package nor of Python itself."""
    home = str(frame.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
    if home == "jacbench" or (home.startswith("jacbench_") and not home.startswith(USERS_FILES)):
        return False
    file = frame.tb_frame.f_code.co_filename
    installed = "site-packages" in file or "dist-packages" in file
    return not (installed or file.startswith(("<frozen", _PYTHON)) or home == "contextlib")


USERS_FILES = "jacbench_user_"
"""How the modules are called that a user's file is executed as."""

_PYTHON = sysconfig.get_path("stdlib")


def checked(who: str, backend: Backend, value: Any, name: str = "") -> Array:
    """Return a value as a NumPy array, or raise the line that says why it has no derivative.

    Parameters
    ----------
    who, backend
        As in :func:`evaluate`.
    name
        Where it stands in what the function returned; empty for all of it.

    Notes
    -----
    Of an array that is traced there are only zeros: its numbers are not known yet.
    """
    returned = f"its function returned{f' as y{name}' if name else ''}"
    if isinstance(value, (bool, int, float, complex)) and not isinstance(value, np.generic):
        raise JacbenchError(
            f"{who}: {returned} the Python {type(value).__name__} {value!r}, not an "
            "array: return a 0-d array, e.g. that of xp.sum"
        )
    if isinstance(value, np.ndarray) and not backend.is_array(value):
        raise JacbenchError(
            f"{who}: {returned} a NumPy array, through which its library cannot differentiate: "
            "compute it by the library's own functions, with none of NumPy or SciPy between"
        )
    if not backend.is_array(value):
        raise JacbenchError(
            f"{who}: {returned} {article(type(value).__name__)}, not an array: return one array "
            "of floats"
        )
    if backend.traced(value):
        dtype = np.float32 if _is_float(value) else str(value.dtype).rpartition(".")[2]
        array = np.zeros(tuple(value.shape), dtype)
    else:
        array = numbers(who, backend, value, returned)
    if array.dtype.kind == "c":
        raise JacbenchError(
            f"{who}: {returned} complex numbers ({array.dtype}): return real ones, "
            "e.g. the real and imaginary parts stacked"
        )
    if array.dtype.kind != "f":
        raise JacbenchError(
            f"{who}: {returned} an array of dtype {array.dtype}, which has no "
            "derivative: return floats"
        )
    if not np.isfinite(array).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        at = list(place) if place or not name else ""
        raise JacbenchError(
            f"{who}: its function returned {array[place]} at y{name}{at}: choose a point where "
            "it is finite"
        )
    return array


def numbers(who: str, backend: Backend, value: Any, what: str) -> Array:
    """Return the numbers of one of the library's arrays, or raise the line that says why not.

    A sparse, nested or quantised array has none that NumPy could hold, one of no device none.
    ``what`` begins the sentence: ``x is``.
    """
    try:
        return np.asarray(backend.to_numpy(value))
    except (TypeError, RuntimeError) as exc:
        if backend.out_of_memory(exc):
            raise
        raise JacbenchError(
            f"{who}: {what} {article(type(value).__name__)} whose numbers cannot be read "
            f"({one_line(exc, 100)}): give a dense one, of float64, float32, float16 or bfloat16"
        ) from exc


def not_empty(who: str, array: Array) -> Array:
    """Return ``array``, or raise where it has no entries: there is nothing to check or to time."""
    if array.size == 0:
        raise JacbenchError(
            f"{who}: its function returned an empty array (shape {array.shape}): a Jacobian needs "
            "at least one output"
        )
    return array


def _is_float(value: Any) -> bool:
    return "float" in str(value.dtype)


def value_without_gradients(off: float) -> str:
    """Return the line on a value that is ``off`` of ‖y‖ away where no gradient is wanted."""
    return (
        f"where no gradient is wanted, its value is {off:.2g} of ‖y‖ away (torch's attention in "
        "eval mode then gives zeros on padded positions): the Jacobian is that of the value under "
        "gradients"
    )


def same_outputs(who: str, here: tuple[int, ...], there: tuple[int, ...]) -> None:
    """Refuse a function whose number of outputs depends on the point."""
    if here != there:
        raise JacbenchError(
            f"{who}: its function returned {math.prod(here)} outputs (shape {here}) at x and "
            f"{math.prod(there)} (shape {there}) at a second point: a Jacobian needs a fixed number"
        )


def article(name: str) -> str:
    """Return the name of a type with its article: ``an ndarray``."""
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}" if name != "NoneType" else "None"
