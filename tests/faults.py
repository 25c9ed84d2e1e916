"""Planted faults: ways of getting a Jacobian wrong that a check must catch.

A fault wraps a right method, or writes out the loop that people write, and spoils the result in one
way. ``changes`` says whether the numbers, the arrays or the function's value really differ on a
problem, by looking at them, so that nobody has to keep a list of harmless cases.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from jacbench import problems, registry, tree
from jacbench.backend import Method, Prepared, Target
from jacbench.cell import Cell, Verdict
from jacbench.layout import Array, Layout
from jacbench.problem import Problem
from jacbench.reference import Reference, reference
from jacbench.settle import Settled, settle

ROUNDING = 1e-13
"""Matrices this near each other, normwise, hold the same numbers summed in another order."""


@dataclass(frozen=True)
class Fault:
    """One way of being wrong.

    ``spoil`` makes the faulty method from the right one; ``alter`` makes the faulty problem, where
    the fault is in the function and not in the method.
    """

    name: str
    base: str
    spoil: Callable[[Method, Problem], Method] = lambda method, problem: method
    alter: Callable[[Problem], Problem] = lambda problem: problem
    wrong_numbers: bool = True

    @property
    def backend(self) -> str:
        return self.base.partition(".")[0]


class Wrapped(Method):
    """A right method whose preparation, call or result somebody got wrong."""

    def __init__(self, inner: Method, prepare: Callable[[Method, Target], Prepared]) -> None:
        self.info, self.chunking, self.inner = inner.info, inner.chunking, inner
        self._prepare = prepare

    def layout(self, target: Target) -> Layout:
        return self.inner.layout(target)

    def prepare(self, target: Target) -> Prepared:
        return self._prepare(self.inner, target)


FAULTS: list[Fault] = []


def in_preparation(name: str, base: str = "numpy.analytic", **about: Any) -> Any:
    """Register ``prepare(inner, target) -> call`` as the fault ``name`` of the method ``base``."""

    def register(prepare: Callable[[Method, Target], Callable[[Any], Any]]) -> Any:
        def spoil(inner: Method, problem: Problem) -> Method:
            return Wrapped(inner, lambda inner, target: Prepared(prepare(inner, target)))

        FAULTS.append(Fault(name, base, spoil, **about))
        return prepare

    return register


def in_result(name: str, **about: Any) -> Any:
    """Register ``change(J, target) -> J`` as the fault ``name`` of the hand-written Jacobian."""

    def register(change: Callable[[Array, Target], Any]) -> Any:
        def prepare(inner: Method, target: Target) -> Callable[[Any], Any]:
            right = inner.prepare(target).call
            return lambda x: change(np.array(right(x)), target)

        in_preparation(name, **about)(prepare)
        return change

    return register


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


@in_preparation("second call adds to the first")
def accumulates(inner: Method, target: Target) -> Callable[[Any], Any]:
    right = inner.prepare(target).call
    total: list[Any] = [0]

    def call(x: Any) -> Any:
        total[0] = total[0] + right(x)
        return np.array(total[0])

    return call


@in_preparation("stale: answers for the prepared point")
def stale(inner: Method, target: Target) -> Callable[[Any], Any]:
    kept = inner.prepare(target).call(target.x)
    return lambda x: kept.copy()


@in_preparation("stale: answers for the first point it was asked")
def cached(inner: Method, target: Target) -> Callable[[Any], Any]:
    right, kept = inner.prepare(target).call, []

    def call(x: Any) -> Any:
        if not kept:
            kept.append(right(x))
        return kept[0].copy()

    return call


@in_preparation("stale: lags one call behind")
def lags(inner: Method, target: Target) -> Callable[[Any], Any]:
    right, last = inner.prepare(target).call, []

    def call(x: Any) -> Any:
        last.append(right(x))
        return last[-2:][0].copy()

    return call


@in_preparation("one buffer for all calls", wrong_numbers=False)
def one_buffer(inner: Method, target: Target) -> Callable[[Any], Any]:
    right = inner.prepare(target).call
    buffer = np.empty_like(right(target.x))

    def call(x: Any) -> Any:
        buffer[...] = right(x)
        return buffer

    return call


@in_preparation("input changed in place", wrong_numbers=False)
def input_changed(inner: Method, target: Target) -> Callable[[Any], Any]:
    right = inner.prepare(target).call

    def call(x: Any) -> Any:
        J = np.array(right(x))
        for leaf in tree.leaves(x):
            leaf *= 1.5  # noqa: PLW2901 - in place, that is the fault
        return J

    return call


@in_preparation("constants changed in place")
def constants_changed(inner: Method, target: Target) -> Callable[[Any], Any]:
    right = inner.prepare(target).call

    def call(x: Any) -> Any:
        J = np.array(right(x))
        for leaf in tree.leaves(target.constants):
            leaf *= 1.5  # noqa: PLW2901 - in place, that is the fault
        return J

    return call


# --- wrong arrays ---


@in_preparation("float32 inside float64")
def single_inside(inner: Method, target: Target) -> Callable[[Any], Any]:
    def single(value: Any) -> Any:
        return tree.map_leaves(lambda leaf: leaf.astype(np.float32), value)

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


def _shifted(problem: Problem) -> Problem:
    def function(xp: Any, x: Any, *constants: Any) -> Any:
        return problem.function(xp, x, *constants) + 1e-6

    return dataclasses.replace(problem, function=function)


def _flattened(problem: Problem) -> Problem:
    def function(xp: Any, x: Any, *constants: Any) -> Any:
        return xp.reshape(problem.function(xp, x, *constants), (1, -1))

    return dataclasses.replace(problem, function=function)


FAULTS.append(
    Fault("wrong value, right Jacobian", "numpy.analytic", alter=_shifted, wrong_numbers=False)
)
FAULTS.append(
    Fault("value of another shape", "numpy.analytic", alter=_flattened, wrong_numbers=False)
)


# --- as it happens in each library ---


def _independent(problem: Problem) -> Problem:
    def function(xp: Any, x: Any, *constants: Any) -> Any:
        import autograd.numpy as anp

        y = problem.function(xp, x, *constants)
        # autograd hands ``concat`` to NumPy, which takes the box apart: the derivative is lost
        return anp.reshape(anp.concat([anp.reshape(y, (-1,))]), anp.shape(y))

    return dataclasses.replace(problem, function=function)


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
            y.backward(one_hot.reshape(y.shape), retain_graph=True)
            for leaf, row in zip(leaves, rows, strict=True):
                row.append(leaf.grad.clone())
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


# --- trying a fault on a problem ---


@functools.cache
def right(problem: str) -> Reference:
    return reference(problems.get(problem), "float64")


def cell_of(problem: str, method: str) -> Cell:
    backend = method.partition(".")[0]
    return Cell(problem, "jacobian", method, backend, "cpu", "float64", 1)


@functools.cache
def configured(backend: str) -> Any:
    loaded = registry.load(backend)
    loaded.configure(1)
    return loaded


def absent(fault: Fault) -> str | None:
    """Return why ``fault`` cannot be tried here, or None where it can."""
    return registry.descriptors()[fault.backend].absent()


def faulty_method(fault: Fault, problem: str) -> Method:
    return fault.spoil(registry.method(fault.base), problems.get(problem))


def put_on_trial(fault: Fault, problem: str) -> Settled:
    """Return the verdict on the faulty method."""
    return settle(
        cell_of(problem, fault.base),
        fault.alter(problems.get(problem)),
        configured(fault.backend),
        faulty_method(fault, problem),
        right(problem),
    )


def is_caught(settled: Settled) -> bool:
    return settled.result.verdict in (Verdict.DISAGREES, Verdict.FAILED)


def changes(fault: Fault, problem: str) -> bool:
    """Say whether the fault shows in anything that its calls at two points return or touch."""
    altered, method = fault.alter(problems.get(problem)), faulty_method(fault, problem)
    try:
        seen = _observe(altered, method, fault.backend, problem)
    except Exception:  # noqa: BLE001 - a fault that raises shows
        return True
    return not _same(seen, _observe_right(fault.base, problem))


@functools.cache
def _observe_right(method: str, problem: str) -> list[Any]:
    backend = method.partition(".")[0]
    return _observe(problems.get(problem), registry.method(method), backend, problem)


def _observe(problem: Problem, method: Method, backend_name: str, name: str) -> list[Any]:
    """Return copies of all there is to see of x2, x1, x2, asked in this order."""
    backend = configured(backend_name)
    points = right(name)

    def put(value: Any) -> Any:
        return tree.map_leaves(lambda leaf: backend.put(leaf, "cpu", "float64"), value)

    def copied(value: Any) -> list[Any]:
        found = tree.leaves(value)
        if not all(backend.is_array(leaf) for leaf in found):
            return [f"a {type(found[0]).__name__}"] if found else ["nothing"]
        return [backend.to_numpy(leaf) for leaf in found]

    here, other = put(points.here.x), put(points.elsewhere.x)
    constants = tuple(put(constant) for constant in points.here.constants)

    def function(x: Any, *constants: Any) -> Any:
        return problem.function(backend.xp, x, *constants)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = function(other, *constants)
        target = Target(
            function=function,
            x=here,
            constants=constants,
            y_shape=points.here.y.shape,
            device="cpu",
            dtype="float64",
            analytic=problem.jacobian,
        )
        call = method.prepare(target).call
        seen = [*copied(value)]
        results = []
        for x in (other, here, other):
            results.append(call(x))
            seen += copied(results[-1])
    return [*seen, *copied(results), *copied(here), *copied(other)]


def _same(found: list[Any], expected: list[Any]) -> bool:
    return len(found) == len(expected) and all(map(_same_array, found, expected))


def _same_array(found: Any, expected: Any) -> bool:
    if isinstance(found, str) or isinstance(expected, str):
        return bool(np.all(found == expected))
    if (found.shape, found.dtype) != (expected.shape, expected.dtype):
        return False
    distance = float(np.linalg.norm((found - expected).ravel()))
    return distance <= ROUNDING * float(np.linalg.norm(expected.ravel()))
