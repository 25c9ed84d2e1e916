"""Functions and their right answers for the tests of single methods, without the framework's gate.

The complex step over NumPy knows no derivative rule; a batch's answer is computed sample by sample.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from jacbench_numpy import xp as numpy_xp

from jacbench.core import tree
from jacbench.problems.problem import Problem

_RNG = np.random.default_rng(11)
C = _RNG.uniform(-1, 1, (4, 3))
W = _RNG.uniform(-1, 1, (3, 2))


def _network(xp: Any, x: Any, c: Any) -> Any:
    return xp.tanh(c @ x["w"] + x["b"]) * x["s"][0]


TREE = Problem(
    name="tree",
    function=_network,
    x={"w": W, "s": (np.array(1.5), np.array([2.0])), "b": np.array([0.3, -0.4])},
    constants=(C,),
)
"""y of shape (4, 2) by a dict that is not sorted, holds a 0-d array, and a leaf y does not see."""

ARRAY = Problem(
    name="array",
    function=lambda xp, x, c: xp.sin(c @ x) + xp.sum(x * x),
    x=W,
    constants=(C,),
)
SCALAR = Problem(
    name="scalar", function=lambda xp, x, c: xp.sum(xp.exp(c @ x) ** 2), x=W, constants=(C,)
)
MEAN = Problem(
    name="mean", function=lambda xp, x, c: xp.mean(xp.tanh(c @ x), axis=0), x=W, constants=(C,)
)
"""The derivative of autograd's own mean is float64 even of float32."""

OF_NUMBER = Problem(
    name="of-number", function=lambda xp, x, c: xp.exp(x) * c, x=np.array(0.4), constants=(C[0],)
)
IDENTITY = Problem(name="identity", function=lambda xp, x: x, x=W)

PLAIN = {p.name: p for p in (TREE, ARRAY, SCALAR, MEAN, OF_NUMBER, IDENTITY)}


def with_aux(problem: Problem) -> Problem:
    """Return ``problem`` with aux beside y: a tree of what depends on x and what does not."""
    inner = problem.function
    assert inner is not None

    def function(xp: Any, x: Any, *constants: Any) -> Any:
        y = inner(xp, x, *constants)
        return y, {"twice": 2 * y, "rest": [xp.sum(y), xp.asarray([1.0, 2.0])]}

    return Problem(
        name="aux", function=function, x=problem.x, constants=problem.constants, has_aux=True
    )


# --- batches of three samples; y[b] depends on x[b] and c[b] alone ---

_X = _RNG.uniform(-1, 1, (3, 4))


def _rows(xp: Any, x: Any, c: Any, w: Any) -> Any:
    return xp.tanh(x @ w) * c[:, None]


def _columns(xp: Any, x: Any, c: Any, w: Any) -> Any:
    return xp.tanh(xp.matrix_transpose(x) @ w) * c[:, None]


BATCHES = {
    problem.name: problem
    for problem in (
        Problem(
            name="first axis",
            function=_rows,
            x=_X,
            constants=(np.array([1.0, 2.0, 3.0]), _RNG.uniform(-1, 1, (4, 2))),
            in_axes=(0, 0, None),
        ),
        Problem(
            name="last axis",
            function=_columns,
            x=_X.T.copy(),
            constants=(np.array([1.0, 2.0, 3.0]), _RNG.uniform(-1, 1, (4, 2))),
            in_axes=(-1, 0, None),
        ),
        Problem(
            name="second axis of three",
            function=lambda xp, x: xp.einsum("ibj,ibj->bi", x, xp.sin(x)),
            x=_RNG.uniform(-1, 1, (2, 3, 4)),
            in_axes=(1,),
        ),
        Problem(
            name="tree",
            function=lambda xp, x, c: xp.expand_dims(
                xp.sum(x["b"] * xp.exp(x["a"][0]), axis=1) * c, axis=(1)
            ),
            x={"b": _X, "a": (_RNG.uniform(-1, 1, (3, 1)), np.ones(3))},
            constants=(np.array([1.0, 2.0, 3.0]),),
            in_axes=(0, 0),
        ),
        Problem(
            name="scalar per sample",
            function=lambda xp, x: xp.sum(x**3, axis=1),
            x=_X,
            in_axes=(0,),
        ),
        Problem(
            name="shared x",
            function=lambda xp, x, c: xp.tanh(c @ x["w"]) + x["b"],
            x={"w": _RNG.uniform(-1, 1, (4, 2)), "b": np.array([0.1, 0.2])},
            constants=(_X,),
            in_axes=(None, 0),
        ),
    )
}


def value(problem: Problem, x: Any) -> np.ndarray:
    """Return y at x, in NumPy."""
    assert problem.function is not None
    y = problem.function(numpy_xp, x, *problem.constants)
    return np.asarray(y[0] if problem.has_aux else y)


def jacobian(problem: Problem, x: Any) -> np.ndarray:
    """Return the (m, n) Jacobian at x."""
    return _complex_step(problem, x, problem.constants)


def _complex_step(problem: Problem, x: Any, constants: Any) -> np.ndarray:
    columns = []
    leaves = [leaf.astype(complex) for leaf in tree.leaves(x)]
    for leaf in leaves:
        for index in np.ndindex(leaf.shape):
            leaf[index] += 1e-40j
            y = problem.function(numpy_xp, tree.unflatten(x, leaves), *constants)
            columns.append(np.imag(y).ravel() / 1e-40)
            leaf[index] = leaf[index].real
    return np.stack(columns, axis=1)


def batch_jacobian(problem: Problem, x: Any) -> list[np.ndarray]:
    """Return y.shape + one sample's leaf.shape for each leaf, computed on batches of one."""
    assert problem.in_axes is not None
    axis = problem.in_axes[0]
    y_shape = value(problem, x).shape
    shapes = [
        leaf.shape if axis is None else tuple(np.delete(leaf.shape, axis).tolist())
        for leaf in tree.leaves(x)
    ]
    matrices = []
    arguments = (x, *problem.constants)
    for b in range(y_shape[0]):
        one, *constants = (
            _one(argument, a, b) for argument, a in zip(arguments, problem.in_axes, strict=True)
        )
        matrices.append(_complex_step(problem, one, constants))
    ends = list(itertools.accumulate(map(math.prod, shapes), initial=0))
    whole = np.stack(matrices)
    return [
        whole[:, :, i:j].reshape(*y_shape, *shape)
        for (i, j), shape in zip(itertools.pairwise(ends), shapes, strict=True)
    ]


def _one(value: Any, axis: int | None, index: int) -> Any:
    if axis is None:
        return value
    return tree.map_leaves(lambda leaf: np.take(leaf, [index], axis), value)


def distance(found: Any, expected: Any) -> float:
    """Return the normwise error."""
    return float(np.linalg.norm(found - expected) / (np.linalg.norm(expected) or 1.0))
