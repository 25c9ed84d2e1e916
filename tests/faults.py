"""Planted faults: ways of getting a Jacobian wrong that a check must catch.

A fault wraps a right method, or writes out the loop that people write, and spoils the result in one
way. Those of the other operators are in :mod:`tests.operator_faults`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from jacbench.backend import Method, Prepared, Target, registry
from jacbench.core import tree
from jacbench.core.arrays import Array
from jacbench.problems.problem import Problem
from tests.planting import Fault, Faults, Wrapped

FAULTS = Faults()
in_preparation, in_result = FAULTS.in_preparation, FAULTS.in_result

BY_HAND = {
    "jacobian": "numpy.analytic",
    "value_and_jacobian": "numpy.analytic-value",
    "batch_jacobian": "numpy.analytic-batch",
    "vjp": "numpy.analytic-vjp",
    "jvp": "numpy.analytic-jvp",
}


def in_every_operator(name: str, **about: Any) -> Any:
    """Register ``prepare(inner, target) -> call`` as a fault of each operator's method by hand."""

    def register(prepare: Callable[[Method, Target], Callable[[Any], Any]]) -> Any:
        for operator, base in BY_HAND.items():
            told = name if operator == "jacobian" else f"{operator}: {name}"
            in_preparation(told, base, **about)(prepare)
        return prepare

    return register


def copied(result: Any) -> Any:
    """Return a result of NumPy arrays whose arrays are its own."""
    return tree.map_leaves(np.array, result)


# --- wrong entries ---


@in_result("transposed", wrong_numbers=False)
def transposed(J: Array, target: Target) -> Array:
    return np.ascontiguousarray(J.T)


@in_result("transposed, in the right shape")
def transposed_in_shape(J: Array, target: Target) -> Array:
    return J.T.reshape(J.shape)


@in_result("one row zero")
def row_zero(J: Array, target: Target) -> Array:
    J[len(J) // 2] = 0
    return J


@in_result("rows of a chunk missing")
def chunk_zero(J: Array, target: Target) -> Array:
    chunk = max(1, len(J) // 3)
    J[chunk : 2 * chunk] = 0
    return J


@in_result("opposite sign")
def sign(J: Array, target: Target) -> Array:
    return -J


@in_result("bias and weight blocks swapped")
def blocks_swapped(J: Array, target: Target) -> Array:
    ends = np.cumsum([leaf.size for leaf in tree.leaves(target.x)])[:-1]
    blocks = np.split(J, ends, axis=1)
    return np.concatenate([*blocks[:2][::-1], *blocks[2:]], axis=1)


@in_result("one entry NaN")
def nan_entry(J: Array, target: Target) -> Array:
    J[-1, -1] = np.nan
    return J


@in_result("one entry infinite")
def inf_entry(J: Array, target: Target) -> Array:
    J[0, -1] = np.inf
    return J


@in_result("one entry off by 1e-9 of the norm")
def slightly_off(J: Array, target: Target) -> Array:
    J[-1, 0] += 1e-9 * np.linalg.norm(J)
    return J


def _of_the_sum(inner: Method, problem: Problem) -> Method:
    """Return the method that differentiates the sum over the batch where the mean was meant."""
    xp = registry.load("numpy").xp
    terms = [1]

    def mean(x: Array, **options: Any) -> Any:
        result = xp.mean(x, **options)
        terms.append(np.size(x) // np.size(result))
        return result

    counting = SimpleNamespace(**{**vars(xp), "mean": mean})
    problem.function(counting, problem.x, *problem.constants)
    batch = math.prod(terms)

    def prepare(inner: Method, target: Target) -> Prepared:
        right = inner.prepare(target).call
        return Prepared(lambda x: batch * right(x))

    return Wrapped(inner, prepare)


FAULTS.append(Fault("1/batch missing", "numpy.analytic", _of_the_sum))


# --- wrong answers at other points, wrong keeping ---


@in_every_operator("second call adds to the first")
def accumulates(inner: Method, target: Target) -> Callable[[Any], Any]:
    right, totals = inner.prepare(target).call, []

    def call(x: Any) -> Any:
        result = right(x)
        leaves = tree.leaves(result)
        totals[:] = [a + b for a, b in zip(totals or [0] * len(leaves), leaves, strict=True)]
        return copied(tree.unflatten(result, totals))

    return call


@in_every_operator("stale: answers for the prepared point")
def stale(inner: Method, target: Target) -> Callable[[Any], Any]:
    kept = copied(inner.prepare(target).call(target.x))
    return lambda x: copied(kept)


@in_every_operator("stale: answers for the first point it was asked")
def cached(inner: Method, target: Target) -> Callable[[Any], Any]:
    right, kept = inner.prepare(target).call, []

    def call(x: Any) -> Any:
        if not kept:
            kept.append(copied(right(x)))
        return copied(kept[0])

    return call


@in_every_operator("stale: lags one call behind")
def lags(inner: Method, target: Target) -> Callable[[Any], Any]:
    right, last = inner.prepare(target).call, []

    def call(x: Any) -> Any:
        last.append(copied(right(x)))
        return copied(last[-2:][0])

    return call


@in_every_operator("one buffer for all calls", wrong_numbers=False)
def one_buffer(inner: Method, target: Target) -> Callable[[Any], Any]:
    right = inner.prepare(target).call
    buffer = copied(right(target.x))

    def call(x: Any) -> Any:
        for into, found in zip(tree.leaves(buffer), tree.leaves(right(x)), strict=True):
            into[...] = found
        return buffer

    return call


@in_every_operator("input changed in place", wrong_numbers=False)
def input_changed(inner: Method, target: Target) -> Callable[[Any], Any]:
    right = inner.prepare(target).call

    def call(x: Any) -> Any:
        result = copied(right(x))
        for leaf in tree.leaves(x):
            leaf *= 1.5  # noqa: PLW2901 - in place, that is the fault
        return result

    return call


@in_preparation("constants changed in place")
def constants_changed(inner: Method, target: Target) -> Callable[[Any], Any]:
    right = inner.prepare(target).call

    def call(x: Any) -> Any:
        J = np.array(right(x))
        for leaf in tree.leaves(target.constants):
            if leaf.dtype.kind == "f":
                # smaller, or the loop of awkward/while-loop would never end
                leaf *= 0.75  # noqa: PLW2901 - in place, that is the fault
        return J

    return call


# --- wrong arrays ---


@in_preparation("float32 inside float64")
def single_inside(inner: Method, target: Target) -> Callable[[Any], Any]:
    def single(value: Any) -> Any:
        return tree.map_leaves(
            lambda leaf: leaf.astype(np.float32) if leaf.dtype.kind == "f" else leaf, value
        )

    constants = tuple(single(constant) for constant in target.constants)
    right = inner.prepare(dataclasses.replace(target, constants=constants)).call
    return lambda x: right(single(x)).astype(np.float64)


@in_result("result of another dtype", wrong_numbers=False)
def other_dtype(J: Array, target: Target) -> Array:
    return J.astype(np.float32)


@in_result("another shape than declared", wrong_numbers=False)
def other_shape(J: Array, target: Target) -> Array:
    return J[:, None, :]


@in_result("flat", wrong_numbers=False)
def flat(J: Array, target: Target) -> Array:
    return J.ravel()


@in_result("one row too few", wrong_numbers=False)
def row_missing(J: Array, target: Target) -> Array:
    return J[:-1]


@in_result("a list of rows, not an array", wrong_numbers=False)
def nested_lists(J: Array, target: Target) -> Any:
    return J.tolist()


@in_result("None", wrong_numbers=False)
def nothing(J: Array, target: Target) -> Any:
    return None


# --- a right Jacobian of another function ---


def _with_value(problem: Problem, change: Callable[[Any, Any], Any]) -> Problem:
    """Return the problem whose y is ``change(xp, y)``."""
    right = problem.function
    if right is None:
        return problem

    def function(xp: Any, x: Any, *constants: Any) -> Any:
        returned = right(xp, x, *constants)
        if problem.has_aux:
            return change(xp, returned[0]), returned[1]
        return change(xp, returned)

    return dataclasses.replace(problem, function=function)


def _shifted(problem: Problem) -> Problem:
    return _with_value(problem, lambda xp, y: y + 1e-6)


def _flattened(problem: Problem) -> Problem:
    return _with_value(problem, lambda xp, y: xp.reshape(y, (1, -1)))


FAULTS.append(
    Fault("wrong value, right Jacobian", "numpy.analytic", alter=_shifted, wrong_numbers=False)
)
FAULTS.append(
    Fault("value of another shape", "numpy.analytic", alter=_flattened, wrong_numbers=False)
)


# --- as it happens in each library ---


def _independent(problem: Problem) -> Problem:
    def lost(xp: Any, y: Any) -> Any:
        import autograd.numpy as anp

        # autograd hands ``concat`` to NumPy, which takes the box apart: the derivative is lost
        return anp.reshape(anp.concat([anp.reshape(y, (-1,))]), anp.shape(y))

    return _with_value(problem, lost)


FAULTS.append(
    Fault(
        "autograd: seems independent of input",
        "autograd.vjp-loop",
        alter=_independent,
        wrong_numbers=False,
    )
)


@in_preparation("torch: .grad is not cleared", "torch.backward-loop")
def grad_not_cleared(inner: Method, target: Target) -> Callable[[Any], Any]:
    import torch

    basis = torch.eye(math.prod(target.y_shape), dtype=torch.float64)

    def call(x: Any) -> Any:
        leaves = [leaf.detach().requires_grad_() for leaf in tree.leaves(x)]
        y = target.function(tree.unflatten(x, leaves), *target.constants)
        rows: list[list[Any]] = [[] for _ in leaves]
        for one_hot in basis:
            if y.requires_grad:
                y.backward(one_hot.reshape(y.shape), retain_graph=True)
            for leaf, row in zip(leaves, rows, strict=True):
                row.append(torch.zeros_like(leaf) if leaf.grad is None else leaf.grad.clone())
        return [torch.stack(row) for row in rows]

    return call


@in_preparation("torch: chunked vjp forgets the last chunk", "torch.vmap-vjp")
def last_chunk_forgotten(inner: Method, target: Target) -> Callable[[Any], Any]:
    import torch

    m, chunk = math.prod(target.y_shape), 7
    basis = torch.eye(m, dtype=torch.float64).reshape(m, *target.y_shape)

    def call(x: Any) -> Any:
        _, pull = torch.func.vjp(lambda x: target.function(x, *target.constants), x)
        rows = tree.map_leaves(lambda leaf: torch.zeros(m, *leaf.shape, dtype=leaf.dtype), x)
        for start in range(0, m - chunk + 1, chunk):
            (part,) = torch.func.vmap(pull)(basis[start : start + chunk])
            for into, found in zip(tree.leaves(rows), tree.leaves(part), strict=True):
                into[start : start + chunk] = found
        return rows

    return call


@in_preparation("torch: detached in the middle", "torch.functional", wrong_numbers=False)
def detached(inner: Method, target: Target) -> Callable[[Any], Any]:
    def function(x: Any, *constants: Any) -> Any:
        return target.function(tree.map_leaves(lambda leaf: leaf.detach(), x), *constants)

    return inner.prepare(dataclasses.replace(target, function=function)).call


@in_preparation("jax: x is baked into the compiled function", "jax.jacrev")
def baked_in(inner: Method, target: Target) -> Callable[[Any], Any]:
    import jax

    jacobian = jax.jacrev(target.function)
    frozen = jax.jit(lambda: jacobian(target.x, *target.constants))
    return lambda x: frozen()


@in_preparation("jax: float32 inside float64", "jax.jacrev")
def single_in_jax(inner: Method, target: Target) -> Callable[[Any], Any]:
    import jax

    def to(dtype: str, value: Any) -> Any:
        return jax.tree.map(lambda leaf: leaf.astype(dtype), value)

    constants = to("float32", target.constants)
    jacobian = jax.jit(lambda x: jax.jacrev(target.function)(to("float32", x), *constants))
    return lambda x: to("float64", jacobian(x))
