"""Which library a native function belongs to: by its x, by what it refers to, by trying."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jacbench.backend import Target, registry
from jacbench.core import tree
from jacbench.core.errors import JacbenchError
from jacbench.picking.loading import recognition
from jacbench.problems import precision
from jacbench.problems.precision import Precision
from jacbench.problems.problem import Problem

_TITLES = {"torch": "torch", "jax": "JAX", "autograd": "autograd", "numpy": "NumPy"}


@dataclass(frozen=True, kw_only=True)
class Found:
    """A library that evaluates the function: where, in what, and what was noticed."""

    backend: str
    device: str
    precision: Precision
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chosen:
    """The libraries a function is native to, what it is called, and what to tell of the choice."""

    found: Sequence[Found]
    kind: str
    notes: tuple[str, ...] = ()


def title(backend: str) -> str:
    """Return the name of a backend's library as people write it."""
    return _TITLES.get(backend, backend)


def choose(
    function: Any,
    name: str,
    owner: str | None,
    *,
    convertible: bool,
    problem_for: Callable[[str], Problem],
    settled: Callable[[str], Found],
) -> Chosen:
    """Return the library of ``function``; several where it uses operators alone.

    Parameters
    ----------
    owner
        The backend whose arrays x holds; None where they are NumPy's.
    convertible
        True where x may become an array of another library.
    problem_for
        Returns the function as a problem that is native to a backend.
    settled
        Evaluates the function in a backend.

    Raises
    ------
    JacbenchError
        In one line: an x of another library, a function of NumPy alone, or the function's own
        error.
    """
    refers = [b for b in recognition.libraries(function) if b in recognition.installed()]
    if owner is not None and (owner in refers or not refers):
        return _one(settled(owner))
    if owner is not None and not convertible:
        found = _works(owner, settled, problem_for)
        if found is not None:
            return _one(found)
        raise JacbenchError(
            f"{name} is written for {_either(refers)}, and x is an array of {title(owner)}: pass "
            f"one of {_either(refers)}, or NumPy's"
        )
    if refers:
        found = _first(refers, settled, problem_for)
        if owner is None:
            return _one(found)
        note = f"x is an array of {title(owner)}: converted to {title(found.backend)}"
        return _one(found, (note,))
    return _by_trying(function, name, problem_for, settled)


def _one(found: Found, notes: tuple[str, ...] = ()) -> Chosen:
    return Chosen([found], f"{title(found.backend)} function", notes)


def _first(
    backends: Sequence[str],
    settled: Callable[[str], Found],
    problem_for: Callable[[str], Problem],
) -> Found:
    """Return the first that does the function, or raise what the first of all says.

    Of several it has to differentiate too: NumPy functions take the arrays of most libraries.
    """
    if len(backends) > 1:
        for backend in backends:
            found = _works(backend, settled, problem_for)
            if found is not None:
                return found
    return settled(backends[0])


def _by_trying(
    function: Any,
    name: str,
    problem_for: Callable[[str], Problem],
    settled: Callable[[str], Found],
) -> Chosen:
    """Return every library that differentiates a function which names none.

    Those that its module imports, where there are any, since that is what its author uses.
    """
    installed = recognition.installed()
    beside = [b for b in recognition.imported_beside(function) if b in installed]
    for backends in filter(None, (beside, installed)):
        tried = [_works(backend, settled, problem_for) for backend in backends]
        found = [one for one in tried if one is not None]
        if len(found) == 1:
            return _one(found[0])
        if found:
            told = ", ".join(title(one.backend) for one in found)
            note = f"it uses nothing but operators, which every library has: tried with {told}"
            return Chosen(found, "function of operators", (note,))
    precision.value_of(problem_for("numpy"), "numpy", "cpu", "float64")  # what is wrong with it
    raise JacbenchError(
        f"{name} uses NumPy alone, through which nothing differentiates: write import "
        "autograd.numpy as np, or import jax.numpy as np, in its place, or write it as f(xp, x)"
    )


def _works(
    backend: str, settled: Callable[[str], Found], problem_for: Callable[[str], Problem]
) -> Found | None:
    """Return what was found of ``backend`` where it evaluates and differentiates the function."""
    try:
        found = settled(backend)
    except JacbenchError:
        return None
    return found if _differentiates(problem_for(backend), found) else None


def _differentiates(problem: Problem, found: Found) -> bool:
    """Say whether one vjp goes through: NumPy's functions take tensors, and lose the derivative."""
    backend, dtype = registry.load(found.backend), found.precision.dtype
    y = precision.value_of(problem, found.backend, found.device, dtype)
    methods = registry.descriptors()[found.backend].methods
    method = next((info.name for info in methods if info.operator == "vjp"), None)
    if method is None:
        return False

    def put(leaf: Any) -> Any:
        return backend.put(np.asarray(leaf), found.device, dtype)

    narrows = dtype == "float64" and precision.narrows(found.backend)
    exact = backend.precise() if narrows else contextlib.nullcontext()
    with exact, warnings.catch_warnings():
        for begins in backend.fatal_warnings:
            warnings.filterwarnings("error", message=re.escape(begins))
        x, *constants = (tree.map_leaves(put, v) for v in (problem.x, *problem.constants))
        target = Target(
            function=problem.bound(found.backend, backend.xp),
            x=x,
            constants=tuple(constants),
            y_shape=y.shape,
            device=found.device,
            dtype=dtype,
            vector=put(np.ones(y.shape)),
        )
        try:
            registry.method(method).prepare(target).call(x)
        except Exception:  # noqa: BLE001 - any means no
            return False
    return True


def _either(backends: Sequence[str]) -> str:
    return " or ".join(map(title, backends))
