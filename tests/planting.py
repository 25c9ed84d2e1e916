"""Planting a fault: a method made wrong in one way, put on trial, and looked at without the trial.

``changes`` says whether the numbers, the arrays or the function's value really differ on a problem,
by looking at them, so that nobody has to keep a list of harmless cases.
"""

from __future__ import annotations

import functools
import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from jacbench import problems
from jacbench.backend import Method, Prepared, Target, registry
from jacbench.checking.checks import Settled
from jacbench.checking.reference import Point, Reference, reference
from jacbench.checking.verdict import refused, settle
from jacbench.core import operators, tree
from jacbench.core.arrays import Array
from jacbench.core.cell import Cell, Verdict
from jacbench.core.layouts import Layout
from jacbench.core.operators.operator import Sizes
from jacbench.problems.counted_function import home
from jacbench.problems.problem import Problem
from tests.contract.cells import INFO, INSTANCES

# jax compiles for every shape anew; these differ in kind, and numpy's faults see all the others
FEW = ("wrt/dict-of-parameters", "basics/linear-sum", "shape/small")

ROUNDING = 1e-13
"""Matrices this near each other, normwise, hold the same numbers summed in another order."""


@dataclass(frozen=True)
class Fault:
    """One way of being wrong.

    ``spoil`` makes the faulty method from the right one; ``alter`` makes the faulty problem, where
    the fault is in the function and not in the method. ``wrong_numbers`` is false where something
    else than an entry of the derivative is wrong: a shape, a dtype, the value.
    """

    name: str
    base: str
    spoil: Callable[[Method, Problem], Method] = lambda method, problem: method
    alter: Callable[[Problem], Problem] = lambda problem: problem
    wrong_numbers: bool = True

    @property
    def backend(self) -> str:
        return self.base.partition(".")[0]

    @property
    def operator(self) -> str:
        return INFO[self.base].operator


class Wrapped(Method):
    """A right method whose preparation, call or result somebody got wrong."""

    def __init__(self, inner: Method, prepare: Callable[[Method, Target], Prepared]) -> None:
        self.info, self.chunking, self.inner = inner.info, inner.chunking, inner
        self._prepare = prepare

    def layout(self, target: Target) -> Layout:
        return self.inner.layout(target)

    def prepare(self, target: Target) -> Prepared:
        return self._prepare(self.inner, target)


class Faults(list[Fault]):
    """A list of faults, and the decorators that add to it."""

    def in_preparation(self, name: str, base: str = "numpy.analytic", **about: Any) -> Any:
        """Register ``prepare(inner, target) -> call`` as the fault ``name`` of ``base``."""

        def register(prepare: Callable[[Method, Target], Callable[[Any], Any]]) -> Any:
            def spoil(inner: Method, problem: Problem) -> Method:
                return Wrapped(inner, lambda inner, target: Prepared(prepare(inner, target)))

            self.append(Fault(name, base, spoil, **about))
            return prepare

        return register

    def in_result(self, name: str, base: str = "numpy.analytic", **about: Any) -> Any:
        """Register ``change(J, target) -> J``, of a method whose result is one matrix."""

        def register(change: Callable[[Array, Target], Any]) -> Any:
            def prepare(inner: Method, target: Target) -> Callable[[Any], Any]:
                right = inner.prepare(target).call
                return lambda x: change(np.array(right(x)), target)

            self.in_preparation(name, base, **about)(prepare)
            return change

        return register


# --- what is right ---


@functools.cache
def right(problem: str, backend: str = "numpy") -> Reference:
    """Return the reference; ``backend`` matters where the function is written for it alone."""
    where = home(problems.get(problem), backend)
    configured(where)
    return reference(problems.get(problem), "float64", where)


def right_matrix(problem: str, method: str, point: Point) -> Array:
    """Return the (rows, columns) matrix that ``method``'s operator has at ``point``."""
    operator, sizes = operators.get(INFO[method].operator), _sizes(problem, point)
    vector = operator.vector(sizes, problems.get(problem).seed)
    flat = None if vector is None else np.concatenate([part.reshape(-1) for part in vector])
    return operator.expected(point.jacobian, sizes, flat)


def _sizes(problem: str, point: Point) -> Sizes:
    known = problems.get(problem)
    axis = known.in_axes[0] if known.in_axes else None
    return Sizes(point.y.shape, known.leaf_shapes, axis)


# --- trying a fault on a problem ---


@functools.cache
def _operator_of(method: str) -> str:
    infos = registry.descriptor_of(method).methods
    (operator,) = (info.operator for info in infos if info.name == method)
    return operator


def cell_of(problem: str, method: str) -> Cell:
    backend = method.partition(".")[0]
    return Cell(problem, INFO[method].operator, method, backend, "cpu", "float64", 1)


@functools.cache
def configured(backend: str) -> Any:
    loaded = registry.load(backend)
    loaded.configure(1)
    return loaded


def absent(fault: Fault) -> str | None:
    """Return why ``fault`` cannot be tried here, or None where it can."""
    return registry.descriptors()[fault.backend].absent()


@functools.cache
def does(method: str, problem: str) -> bool:
    """Say whether the right ``method`` does ``problem``; where it does not, no fault shows.

    Samples that interact are not looked for: it answers by the diagonal blocks.
    """
    cell, known = cell_of(problem, method), problems.get(problem)
    if refused(cell, known, registry.method(method), None) is not None:
        return False
    found = _settled(cell, known, registry.method(method))
    return found.result.verdict is Verdict.AGREES


def tried_on(fault: Fault) -> list[str]:
    """Return the small instances on which ``fault`` is planted: what its right method does."""
    names = FEW if fault.backend == "jax" else INSTANCES
    return [
        INSTANCES[name] for name in names if _installed(name) and does(fault.base, INSTANCES[name])
    ]


def _installed(name: str) -> bool:
    return not name.startswith("nn/digits") or importlib.util.find_spec("sklearn") is not None


def faulty_method(fault: Fault, problem: str) -> Method:
    return fault.spoil(registry.method(fault.base), problems.get(problem))


def put_on_trial(fault: Fault, problem: str) -> Settled:
    """Return the verdict on the faulty method."""
    altered = fault.alter(problems.get(problem))
    return _settled(cell_of(problem, fault.base), altered, faulty_method(fault, problem))


def _settled(cell: Cell, problem: Problem, method: Method) -> Settled:
    backend = configured(cell.backend)
    return settle(cell, problem, backend, method, right(cell.problem, cell.backend))


def is_caught(settled: Settled) -> bool:
    return settled.result.verdict in (Verdict.DISAGREES, Verdict.FAILED)


# --- looking without the trial ---


def changes(fault: Fault, problem: str) -> bool:
    """Say whether the fault shows in anything that its calls at two points return or touch."""
    altered, method = fault.alter(problems.get(problem)), faulty_method(fault, problem)
    try:
        seen = _observe(altered, method, problem)
    except Exception:  # noqa: BLE001 - a fault that raises shows
        return True
    return not _same(seen, _observe_right(fault.base, problem))


@functools.cache
def _observe_right(method: str, problem: str) -> list[Any]:
    return _observe(problems.get(problem), registry.method(method), problem)


def _observe(problem: Problem, method: Method, name: str) -> list[Any]:
    """Return copies of all there is to see of x2, x1, x2, asked in this order."""
    cell = cell_of(name, method.info.name)
    backend, points = configured(cell.backend), right(name, cell.backend)

    def put(value: Any) -> Any:
        return tree.map_leaves(lambda leaf: backend.put(leaf, "cpu", "float64"), value)

    def copied(value: Any) -> list[Any]:
        found = tree.leaves(value)
        strangers = [f"a {type(a).__name__}" for a in found if not backend.is_array(a)]
        return strangers or [backend.to_numpy(leaf) for leaf in found] or ["nothing"]

    here, other = put(points.here.x), put(points.elsewhere.x)
    constants = tuple(put(constant) for constant in points.here.constants)
    function, operator = problem.bound(cell.backend, backend.xp), operators.get(cell.operator)
    vector = operator.vector(_sizes(name, points.here), problem.seed)
    has_aux = problem.has_aux and cell.operator == "value_and_jacobian"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = function(other, *constants)
        target = Target(
            function=function if has_aux else problem.value_alone(function),
            x=here,
            constants=constants,
            y_shape=points.here.y.shape,
            device="cpu",
            dtype="float64",
            analytic=problem.jacobian,
            vector=None if vector is None else operator.vector_like([*map(put, vector)], here),
            in_axes=problem.in_axes or (),
            has_aux=has_aux,
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
