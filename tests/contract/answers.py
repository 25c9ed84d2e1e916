"""What is right, recomputed with nothing but NumPy, and a settled cell held against it.

Nothing here goes through the code that gave the verdict, but for the vector of a product and the
layout that a method declares.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jacbench_numpy import xp as numpy_xp

from jacbench.backend import Target, registry
from jacbench.checking.checks import Settled
from jacbench.core import layouts, operators, tree
from jacbench.core.cell import CellResult, Verdict
from jacbench.core.operators.operator import Sizes
from jacbench.problems.problem import Problem

LIMIT = {"float64": 1e-12, "float32": 2e-5}
DIFFERENCES = 1e-9
"""What differences of fourth order reach on the smooth functions that have no Jacobian by hand."""


@dataclass(frozen=True)
class Right:
    """The right answer of one operator: the matrix, its rows and columns, and what is beside it."""

    rows: tuple[int, ...]
    columns: list[tuple[int, ...]]
    matrix: np.ndarray
    scale: float
    y: np.ndarray
    aux: Any


def rounded(value: Any, dtype: str) -> Any:
    """Return float64 arrays whose floats are those of ``dtype``."""

    def one(leaf: np.ndarray) -> np.ndarray:
        return leaf.astype(dtype).astype(float) if leaf.dtype.kind == "f" else leaf

    return tree.map_leaves(one, value)


def quietly(call: Callable[..., Any], *arguments: Any) -> Any:
    """Return ``call(*arguments)``; what a library says of a call was kept when it was settled."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call(*arguments)


# --- the function and its Jacobian ---


def value(problem: Problem, backend: str, x: Any, constants: Any) -> tuple[np.ndarray, Any]:
    """Return y and aux in float64: by NumPy, or by the library for which alone it is written."""
    if problem.function is not None:
        returned = problem.function(numpy_xp, x, *constants)
        y, aux = returned if problem.has_aux else (returned, None)
        return np.asarray(y), aux
    library, function = registry.load(backend), problem.native_function(backend)
    assert function is not None
    assert not problem.has_aux

    def put(leaf: np.ndarray) -> Any:
        return library.put(leaf, "cpu", "float64")

    placed = [tree.map_leaves(put, argument) for argument in (x, *constants)]
    return library.to_numpy(function(*placed)), None


def whole(problem: Problem, backend: str, x: Any, constants: Any) -> np.ndarray:
    """Return the (m, n) Jacobian: by hand, or by differences of fourth order."""
    if problem.jacobian is not None:
        return np.asarray(problem.jacobian(x, *constants))
    assert not problem.stops_gradient
    h, columns = 1e-3, []
    leaves = [np.array(leaf) for leaf in tree.leaves(x)]
    for leaf in leaves:
        for index in np.ndindex(leaf.shape):
            middle, at = leaf[index], {}
            for steps in (-2, -1, 1, 2):
                leaf[index] = middle + steps * h
                at[steps] = value(problem, backend, tree.unflatten(x, leaves), constants)[0]
            leaf[index] = middle
            slope = (8 * (at[1] - at[-1]) - (at[2] - at[-2])) / (12 * h)
            columns.append(slope.ravel())
    return np.stack(columns, axis=1)


# --- operators ---


@functools.lru_cache(maxsize=32)
def right(problem: Problem, operator: str, backend: str, dtype: str) -> Right:
    """Return what ``operator`` must give at the problem's point."""
    x, *constants = (rounded(part, dtype) for part in (problem.x, *problem.constants))
    y, aux = value(problem, backend, x, constants)
    J = whole(problem, backend, x, constants)
    shapes = problem.leaf_shapes
    if operator in ("jacobian", "value_and_jacobian"):
        return Right(y.shape, shapes, J, 0.0, y, aux)
    if operator == "batch_jacobian":
        own, matrix = _per_sample(problem, J, y.shape)
        return Right(y.shape, own, matrix, 0.0, y, aux)
    # the vector is an input: what is asked here is what becomes of it
    vector = operators.get(operator).vector(Sizes(y.shape, shapes), problem.seed)
    assert vector is not None
    flat = np.concatenate([rounded(part, dtype).ravel() for part in vector])
    typical = float(np.linalg.norm(J) * np.linalg.norm(flat)) / flat.size**0.5
    if operator == "vjp":
        row = np.array([[flat @ column for column in J.T]])
        return Right((), shapes, row, typical, y, aux)
    assert operator == "jvp"
    column = np.array([[row @ flat] for row in J])
    return Right(y.shape, [()], column, typical, y, aux)


def _per_sample(
    problem: Problem, J: np.ndarray, y_shape: tuple[int, ...]
) -> tuple[list[tuple[int, ...]], np.ndarray]:
    """Cut out each sample's outputs by its own inputs, one sample after the other."""
    assert problem.in_axes is not None
    axis = problem.in_axes[0]
    if axis is None:
        return problem.leaf_shapes, J
    outputs = np.arange(J.shape[0]).reshape(y_shape)
    inputs, start = [], 0
    for shape in problem.leaf_shapes:
        size = int(np.prod(shape))
        inputs.append(np.arange(start, start + size).reshape(shape))
        start += size
    blocks = []
    for sample in range(y_shape[0]):
        columns = [int(j) for part in inputs for j in np.take(part, sample, axis).ravel()]
        blocks += [[J[i, j] for j in columns] for i in outputs[sample].ravel()]
    return [np.take(part, 0, axis).shape for part in inputs], np.array(blocks)


# --- a settled cell ---


def declared(found: Settled, problem: Problem, y_shape: tuple[int, ...]) -> layouts.Layout:
    """Return the layout that the cell's method declares."""
    cell = found.result.cell
    return registry.method(cell.method).layout(
        Target(
            function=lambda *_: None,
            x=found.x,
            constants=(),
            y_shape=y_shape,
            device=cell.device,
            dtype=cell.dtype,
            chunk_size=found.result.chunk_size,
            in_axes=problem.in_axes or (),
        )
    )


def native_arrays(method: str, native: Any) -> list[np.ndarray]:
    """Return copies of all arrays of a native result, whatever it is made of."""
    backend = registry.load(registry.descriptor_of(method).name)
    return [
        backend.to_numpy(leaf) if backend.is_array(leaf) else np.asarray(leaf)
        for leaf in tree.leaves(native)
    ]


def check(found: Settled, problem: Problem) -> None:
    """Look at an agreeing cell with nothing but NumPy and the declared layout."""
    result, cell = found.result, found.result.cell
    by_differences = "difference" in cell.method  # inexact by construction, own tolerance
    if not by_differences and result.reference != "central-difference":
        assert result.tolerance == LIMIT[cell.dtype]
    assert result.error is not None
    assert result.tolerance is not None
    assert result.error <= result.tolerance

    answer = right(problem, cell.operator, cell.backend, cell.dtype)
    assert (result.m, result.n) == (answer.y.size, problem.n)
    assert found.prepared is not None
    native = quietly(found.prepared.call, found.x)
    derivative = check_parts(found, problem, native, answer)
    shape = declared(found, problem, answer.y.shape)
    arrays = native_arrays(cell.method, derivative)
    assert [a.shape for a in arrays] == shape.shapes(answer.rows, answer.columns)
    assert {str(a.dtype) for a in arrays} == {cell.dtype}
    if cell.operator in ("vjp", "batch_jacobian") and shape is layouts.OUTPUT_BY_INPUT:
        assert tree.names(derivative) == tree.names(problem.x)

    matrix = shape.matrix(arrays, int(np.prod(answer.rows, dtype=int))).astype(float)
    scale = max(float(np.linalg.norm(answer.matrix)), answer.scale) or 1.0
    error = float(np.linalg.norm(matrix - answer.matrix)) / scale
    exact = problem.jacobian is not None
    assert error <= (result.tolerance if exact else max(result.tolerance, DIFFERENCES))
    if cell.dtype == "float64" and exact and not by_differences:
        assert error < 1e-12
        assert result.error < 1e-12


def check_parts(found: Settled, problem: Problem, native: Any, answer: Right) -> Any:
    """Check what ``value_and_jacobian`` returns beside J; return the derivative."""
    cell = found.result.cell
    if cell.operator != "value_and_jacobian":
        return native
    returned, derivative = native
    y, aux = returned if problem.has_aux else (returned, None)
    check_value(native_arrays(cell.method, y), [answer.y], cell.dtype)
    if problem.has_aux:
        assert tree.names(aux) == tree.names(answer.aux)
        expected = [np.asarray(leaf) for leaf in tree.leaves(answer.aux)]
        check_value(native_arrays(cell.method, aux), expected, cell.dtype)
    return derivative


def check_value(found: list[np.ndarray], expected: list[np.ndarray], dtype: str) -> None:
    """Hold values against values: floats to rounding, everything else exactly."""
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        if other.dtype.kind != "f":
            assert np.array_equal(one, other)
            continue
        assert str(one.dtype) == dtype
        assert np.linalg.norm(one - other) <= LIMIT[dtype] * np.linalg.norm(other)


def check_keeps_nothing(found: Settled, problem: Problem) -> None:
    """Check that a call answers for the x it is given, keeps nothing and changes nothing."""
    assert found.prepared is not None
    method, call = found.result.cell.method, found.prepared.call
    backend = registry.load(found.result.cell.backend)
    one = found.x
    two = tree.map_leaves(lambda leaf: backend.put(leaf, "cpu", "float64"), problem.elsewhere)
    before = native_arrays(method, [one, two])
    kept = [quietly(call, one)]
    copies = [native_arrays(method, kept[0])]
    for x in (two, one):
        kept.append(quietly(call, x))
        copies.append(native_arrays(method, kept[-1]))
    first, second, third = copies
    # blocks of zeros are the same everywhere; not everything is
    assert not all(map(np.array_equal, first, second))
    assert all(map(np.array_equal, first, third))
    for native, copy in zip(kept, copies, strict=True):
        assert all(map(np.array_equal, native_arrays(method, native), copy))
    assert all(map(np.array_equal, before, native_arrays(method, [one, two])))


def check_not_done(found: Settled, problem: Problem) -> None:
    """Check that a cell without an answer says why in one line, and cannot be timed."""
    result = found.result
    assert result.verdict in (Verdict.UNSUPPORTED, Verdict.KNOWN_FAULT), told(result)
    assert result.reason
    assert "\n" not in result.reason
    assert found.prepared is None
    if result.verdict is Verdict.KNOWN_FAULT:
        faults = [f for f in problem.known_faults if f.concerns(result.cell.method)]
        assert any(fault.link in result.reason for fault in faults)


def told(result: CellResult) -> tuple[Any, ...]:
    """Return what a failing test should show of ``result``."""
    return result.cell.key, result.reason, result.traceback
