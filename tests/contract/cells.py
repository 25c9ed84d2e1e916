"""The cells that the contract goes through: small instances of every problem, settled once each.

A fault is one of form and of dtype; what needs size (the remainder of a chunk, a tall matrix) is in
the instances too, and a few methods are tried at the sizes of the catalogue.
"""

from __future__ import annotations

import functools
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import pytest

from jacbench import problems
from jacbench.backend import MethodInfo, registry
from jacbench.checking.checks import Settled
from jacbench.core import operators
from jacbench.core.cell import Cell
from jacbench.core.function_types import Namespace, Tap, untapped
from jacbench.problems.problem import Problem
from jacbench.running.prepared_cells import Harness, Limits

DTYPES = ("float64", "float32")

# 40 rows are one chunk of jax.map-vjp, which takes 32, and a remainder
SIZES = {
    "shape/small": "",
    "shape/tall": "m=40,n=3,width=16",
    "shape/wide": "m=3,n=40,width=16",
    "shape/square": "m=12,n=12,width=16",
    "shape/scalar": "n=40,width=16",
    "basics/generator": "batch=6",
    "nn/digits-cnn": "batch=2,channels=1",
}
AT_MOST = {
    "batch": 4,
    "size": 3,
    "channels": 2,
    "seq": 3,
    "hidden": 5,
    "features": 3,
    "keys": 2,
    "width": 8,
}
"""Sizes of the problems that ``SIZES`` does not name."""


def instance(name: str) -> str:
    """Return the name of a small instance of the catalogue's problem ``name``."""
    known = problems.entry(name).parameters
    fewer = ",".join(
        f"{key}={min(size, AT_MOST[key])}" for key, size in known.items() if key in AT_MOST
    )
    sizes = SIZES.get(name, fewer)
    return f"{name}[{sizes}]" if sizes else name


INSTANCES = {name: instance(name) for name in problems.names()}


# --- a problem of one's own, where the catalogue has none ---


def _by_intermediate() -> Problem:
    """Return sin(Z)^3 with Z = tanh(x), by Z: the catalogue's own is linear in its Z."""

    def function(xp: Namespace, x: Any, tap: Tap = untapped) -> Any:
        return xp.sin(tap("Z", xp.tanh(x))) ** 3

    x = np.array([[0.4, -1.2], [0.9, 0.3]])
    return Problem(name="contract/of-z", function=function, x=x, tapped=True).at("Z")


BY_INTERMEDIATE = _by_intermediate()
OWN = {BY_INTERMEDIATE.name: BY_INTERMEDIATE}

REQUIRED = {
    "a tree": "wrt/dict-of-parameters",
    "an input that is not used": "wrt/several-inputs",
    "samples": INSTANCES["wrt/per-sample"],
    "samples that share x": INSTANCES["wrt/per-sample-parameters"],
    "aux": "wrt/auxiliary",
    "an intermediate value": BY_INTERMEDIATE.name,
}
"""Problems that a method must do, if it does anything; each method some of them."""


def problem_of(name: str) -> Problem:
    """Return a problem, or skip where what it is made of is not installed."""
    if name.startswith("nn/digits"):
        pytest.importorskip("sklearn", reason="the digits come with scikit-learn")
    return OWN[name] if name in OWN else problems.get(name)


# --- methods ---

INFO: dict[str, MethodInfo] = {
    info.name: info for descriptor in registry.descriptors().values() for info in descriptor.methods
}
COMPILED = [name for name in INFO if name.startswith("torch.compile-")]
STRUCTURED = [name for name, info in INFO.items() if info.structure]
"""What relies on a structure of the Jacobian, which most problems have not: a suite of its own."""
METHODS = [name for name in INFO if name not in COMPILED and name not in STRUCTURED]
TRACED = [n for n in METHODS if n.startswith(("jax.", "torch.func.linearize"))]
"""What traces, and mostly compiles, for every cell: tenths of a second each."""
EAGER = [name for name in TRACED if name.endswith("-eager")]
"""What compiles every operation by itself: the method without its ``jax.jit``, tried on more."""

_FORMS = ("wrt/several-inputs", "wrt/scalar-input", "wrt/dict-of-parameters")
ENOUGH = {
    "jacobian": (
        *(*_FORMS, "basics/generator", "basics/logistic-loss", "shape/tall"),
        *("shape/wide", "awkward/constant-output"),
    ),
    "value_and_jacobian": (*_FORMS, "wrt/auxiliary"),
    "batch_jacobian": ("wrt/*", "basics/generator", "awkward/detach", "nn/batch-norm", "nn/soft*"),
    "vjp": _FORMS,
    "jvp": _FORMS,
}
"""Patterns of the problems on which the traced methods of an operator are tried."""

ENOUGH_EAGERLY = (*_FORMS, "basics/linear-sum", "shape/small", "awkward/constant-output")
"""The same of those without ``jax.jit``: of every family that the operator has."""

ENOUGH_IN_FLOAT32 = {
    "value_and_jacobian": ("wrt/several-inputs", "wrt/auxiliary"),
    "batch_jacobian": ("wrt/per-sample*",),
}
"""The same in float32, where a fault would be one of the dtype and not of the form."""

FIRST = {
    (INFO[name].operator, name.partition(".")[0]): name
    for name in reversed(METHODS)
    if name not in TRACED
}
"""One method that does not trace of every operator in every library: on all problems, always."""

OTHERS_IN_FLOAT32 = ("wrt/*", "basics/generator", "shape/tall", "awkward/c*", "nn/layernorm")
"""Patterns of the problems on which the other methods that do not trace are tried in float32."""

DECLINED = {
    "jax": (
        *("awkward/while-loop", "awkward/custom-vjp", "awkward/item-branch"),
        *("awkward/complex-input", "awkward/integer-input"),
    ),
    "torch": ("awkward/*",),
}
"""Where traced methods decline: they say so while tracing, and it costs little."""


def has_operator(problem: str, method: str) -> bool:
    """Say whether the problem of this name has the method's operator."""
    return INFO[method].operator in operators.offered(batch=problems.entry(problem).batch)


def tried_on(method: str, dtype: str) -> list[str]:
    """Return the names, in the catalogue, of the problems on which ``method`` is tried."""
    having = [name for name in problems.names() if has_operator(name, method)]
    operator, library = INFO[method].operator, method.partition(".")[0]
    if method == FIRST.get((operator, library)):
        return having
    if dtype == "float64" and (method not in TRACED or method == "jax.jacrev"):
        return having
    if method not in TRACED:
        patterns = OTHERS_IN_FLOAT32
    elif dtype == "float32":
        patterns = ENOUGH_IN_FLOAT32.get(operator, ("wrt/several-inputs",))
    else:
        enough = ENOUGH_EAGERLY if method in EAGER else ENOUGH[operator]
        patterns = (*enough, *DECLINED[library])
    return [name for name in having if any(fnmatchcase(name, p) for p in patterns)]


CASES = [
    *(
        (INSTANCES[name], method, dtype)
        for dtype in DTYPES
        for method in METHODS
        for name in tried_on(method, dtype)
    ),
    *(
        (BY_INTERMEDIATE.name, method, dtype)
        for dtype in DTYPES
        for method in METHODS
        if INFO[method].by_intermediate
    ),
]
COMPILED_CASES = [
    *(("wrt/several-inputs", method, dtype) for method in COMPILED for dtype in DTYPES),
    ("awkward/trace", "torch.compile-jacrev", "float64"),
]


def cases(library: str) -> list[tuple[str, str, str]]:
    """Return the cases of one library, problem by problem: what JAX compiled is used again."""
    own = [case for case in CASES if case[1].partition(".")[0] == library]
    return sorted(own, key=lambda case: (case[2], case[0]))


# --- settling ---


@functools.cache
def harness(chunk_size: int | None = None) -> Harness:
    """Return the one harness of the contract for ``chunk_size``."""
    return Harness(1, Limits(chunk_size), OWN, verify_pins=False)


def installed(method: str) -> str:
    """Return the method's backend, or skip where it cannot be had."""
    descriptor = registry.descriptor_of(method)
    reason = descriptor.absent()
    if reason is not None:
        pytest.skip(reason)
    return descriptor.name


def chunking_of(method: str) -> str:
    """Return how the method takes a chunk size."""
    installed(method)
    return registry.method(method).chunking


def settled(
    problem: str,
    method: str,
    dtype: str = "float64",
    device: str = "cpu",
    chunk_size: int | None = None,
) -> Settled:
    """Return the settled cell, which nothing here keeps: all of them would be gigabytes."""
    backend = installed(method)
    problem_of(problem)
    cell = Cell(problem, INFO[method].operator, method, backend, device, dtype, 1)
    found = harness(chunk_size).settle(cell)
    del harness(chunk_size).settled[cell]
    return found
