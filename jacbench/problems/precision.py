"""In which precision, and where, a function computes: found out by calling it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from jacbench.backend import registry
from jacbench.core import tree
from jacbench.core.arrays import Array
from jacbench.core.errors import JacbenchError
from jacbench.problems.checked_value import evaluate
from jacbench.problems.counted_function import exactly, held_in
from jacbench.problems.problem import Problem

OTHER = 1e-3
"""Share of a value beyond which float32's rounding is not what two values differ by."""
_OTHER = {"float64": "float32", "float32": "float64"}


@dataclass(frozen=True, kw_only=True)
class Precision:
    """What a function computes in.

    Attributes
    ----------
    dtype
        ``float64`` or ``float32``.
    evaluates_float64
        Whether it has a value in float64, what it holds in float32 lifted where need be.
    notes
        What was not as one would expect, a line each.
    as_set
        True where the library's float64 makes another function of it: it is to be measured with the
        process as the user has it.
    """

    dtype: str
    evaluates_float64: bool
    notes: tuple[str, ...]
    as_set: bool = False


def of(
    problem: Problem,
    backend: str,
    device: str,
    asked: str,
    *,
    flexible: bool,
    elsewhere: bool = False,
) -> Precision:
    """Call the function of ``problem`` until it is known what it computes in: once to four times.

    Parameters
    ----------
    asked
        The dtype of x.
    flexible
        True where x may be rounded, or widened, to what the function takes.
    elsewhere
        True where it will be measured in a process of its own, in which JAX computes in float64.

    Raises
    ------
    JacbenchError
        In one line: it cannot be called, or returns what has no derivative.
    """
    dtype, notes = asked, []

    def value(dtype: str, **how: bool) -> str:
        return str(value_of(problem, backend, device, dtype, **how).dtype)

    try:
        made = value(asked)
    except JacbenchError:
        dtype = _OTHER[asked]
        if not flexible or not _works(value, dtype):
            raise
        made = dtype
        notes.append(f"it takes {dtype} and not {asked}: x is converted")
    if made != dtype:
        told = f"its value is {made} where x is {dtype}"
        if made not in _OTHER or value(made) != made:
            raise JacbenchError(
                f"{problem.name}: {told}: let it compute in the dtype of x, float64 or float32"
            )
        notes.append(f"{told}: computed in {made}")
        dtype = made
    lifts = registry.load(backend).lifting() is not None
    off = None
    if dtype == "float32" and narrows(backend):
        off = another_function(problem, backend, device)
    if off is not None:
        notes.append(
            f"with jax_enable_x64 on it is another function (its value is {off:.1g} of ‖y‖ away, "
            "as where random numbers are drawn in x's precision): settled and timed in float32, "
            "with JAX as it is set here"
        )
        return Precision(dtype=dtype, evaluates_float64=False, notes=tuple(notes), as_set=True)
    why = None if dtype == "float64" else _no_float64(value, lifts=lifts)
    if why is not None:
        notes.append(f"it has no value in float64 ({why}): what is right is settled in {dtype}")
    elif elsewhere and dtype == "float32" and narrows(backend) and _widens(value):
        notes.append(
            "with jax_enable_x64 on, as it is while measuring, its value is float64 for a float32 "
            "x: computed in float64"
        )
        dtype = "float64"
    return Precision(dtype=dtype, evaluates_float64=why is None, notes=tuple(notes))


def narrows(backend: str) -> bool:
    """Say whether the library makes float32 of float64 here, as JAX does unless told otherwise."""
    loaded = registry.load(backend)
    return str(loaded.to_numpy(loaded.put(np.zeros(1), "cpu", "float64")).dtype) != "float64"


def default_device(backend: str) -> str:
    """Return where the library puts what comes from NumPy."""
    loaded = registry.load(backend)
    return loaded.device_of(loaded.xp.asarray(np.zeros(1, np.float32)))


def value_of(
    problem: Problem,
    backend: str,
    device: str,
    dtype: str,
    *,
    exact: bool | None = None,
    lifted: bool = False,
) -> Array:
    """Return the function's value at the problem's point, computed on ``device`` in ``dtype``.

    Parameters
    ----------
    exact
        True: while the library keeps float64 throughout; False: as the process is set, as the
        user calls it. None: that too, unless the library has no float64 then.
    lifted
        True: what the function holds in float32 is lifted to float64, where the library does not
        promote by itself.
    """
    loaded = registry.load(backend)
    wide = dtype == "float64" and narrows(backend) if exact is None else exact
    with exactly(loaded, lifted=lifted) if wide else contextlib.nullcontext():

        def put(leaf: Array) -> Any:
            return loaded.put(np.asarray(leaf), device, dtype)

        x, *constants = (tree.map_leaves(put, v) for v in (problem.x, *problem.constants))
        function = problem.value_alone(problem.bound(backend, loaded.xp))
        return evaluate(problem.name, loaded, lambda: function(x, *constants))


def another_function(problem: Problem, backend: str, device: str) -> float | None:
    """Return how far float64 takes the value from the user's own, beyond float32's rounding.

    None where it does not, or where there is no value to compare. At an x that both can hold, for
    an x of float32 and of float64: what draws random numbers draws others in either.
    """
    held = held_in(problem, "float32")
    try:
        own = value_of(held, backend, device, "float32", exact=False).astype(np.float64)
    except JacbenchError:
        return None
    for dtype in ("float32", "float64"):
        try:
            other = value_of(held, backend, device, dtype, exact=True)
        except JacbenchError:
            continue
        if other.shape != own.shape:
            continue
        off = float(np.linalg.norm(other - own)) / (float(np.linalg.norm(own)) or 1.0)
        if off > OTHER:
            return off
    return None


def _works(value: Any, dtype: str, **how: Any) -> bool:
    with contextlib.suppress(JacbenchError):
        return bool(value(dtype, **how) == dtype)
    return False


def _widens(value: Any) -> bool:
    """Say whether a float32 x gives float64, as constants of NumPy's make it."""
    return not _works(value, "float32", exact=True)


def _no_float64(value: Any, *, lifts: bool) -> str | None:
    """Return why the function has no value in float64, lifted or not; None where it has."""
    try:
        made = value("float64", exact=True)
        why = f"it is {made} for a float64 x"
    except JacbenchError as exc:
        told = str(exc).partition(": its function ")[2].rpartition(": call it at this point")[0]
        made, why = "", told or str(exc)
    if made == "float64" or (lifts and _works(value, "float64", exact=True, lifted=True)):
        return None
    return why
