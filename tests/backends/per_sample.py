"""What the tests of every library's per-sample method share: functions, targets, the answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from jacbench.backend import Prepared, Target, UnfitError, registry
from jacbench.core import tree
from jacbench.problems.problem import Problem
from tests.backends import answers

DTYPES = {"float64": 1e-13, "float32": 1e-5}
_RNG = np.random.default_rng(3)
_W = _RNG.standard_normal((2, 5))

PROBLEMS = {
    **{name: p for name, p in answers.BATCHES.items() if name != "shared x"},
    "more outputs than inputs": Problem(
        name="more-outputs",
        function=lambda xp, x, w: xp.expand_dims(xp.sin(x @ w), axis=2),
        x=_RNG.standard_normal((4, 2)),
        constants=(_W,),
        in_axes=(0, None),
    ),
    "more outputs, a tree by its last axes": Problem(
        name="more-outputs-tree",
        function=lambda xp, x, w: (
            xp.tanh(xp.matrix_transpose(x["b"]) @ w) * xp.expand_dims(x["a"], axis=1)
        ),
        x={"b": _RNG.standard_normal((2, 4)), "a": np.arange(1.0, 5.0)},
        constants=(_W,),
        in_axes=(-1, None),
    ),
    "a number for each": Problem(
        name="numbers", function=lambda xp, x: xp.sin(x) * x, x=np.linspace(-1, 2, 6), in_axes=(0,)
    ),
    "not all of x": Problem(
        name="not-all",
        function=lambda xp, x: xp.exp(x["b"]),
        x={"a": np.ones((3, 2)), "b": _RNG.standard_normal((3, 2))},
        in_axes=(0,),
    ),
}
"""Along several axes, with trees, with more outputs than inputs and with fewer."""


def put(library: str, value: Any, dtype: str = "float64") -> Any:
    backend = registry.load(library)
    return tree.map_leaves(lambda leaf: backend.put(leaf, "cpu", dtype), value)


def target(library: str, problem: Problem, dtype: str = "float64", **rest: Any) -> Target:
    """Return the target of ``problem`` in ``library``, its second point beside the first."""
    known: dict[str, Any] = {
        "function": problem.bound(library, registry.load(library).xp),
        "x": put(library, problem.x, dtype),
        "constants": tuple(put(library, c, dtype) for c in problem.constants),
        "y_shape": answers.value(problem, problem.x).shape,
        "device": "cpu",
        "dtype": dtype,
        "in_axes": problem.in_axes or (),
        "elsewhere": put(library, problem.elsewhere, dtype),
    }
    return Target(**known | rest)


def of_function(
    library: str, function: Callable[[Any], Any], x: np.ndarray, axis: int = 0, **rest: Any
) -> Target:
    """Return the target of a native function of one float64 array."""
    placed = put(library, x)
    known: dict[str, Any] = {"in_axes": (axis,), "device": "cpu", "dtype": "float64"}
    shape = tuple(function(placed).shape)
    return Target(function=function, x=placed, constants=(), y_shape=shape, **known | rest)


def check(library: str, problem: Problem, dtype: str = "float64", **rest: Any) -> Prepared:
    """Prepare, call at two points, and hold the matrices against the complex step."""
    asked = target(library, problem, dtype, **rest)
    backend, method = registry.load(library), registry.method(f"{library}.per-sample")
    prepared = method.prepare(asked)
    for x in (problem.elsewhere, problem.x):
        placed = put(library, x, dtype)
        found = prepared.call(placed)
        assert backend.is_array(found)
        J = backend.to_numpy(found)
        expected = answers.jacobian(problem, x)
        assert J.shape == expected.shape
        assert str(J.dtype) == dtype
        assert answers.distance(J, expected) <= DTYPES[dtype]
        # what is no block is zero and not merely small
        assert not J[expected == 0].any()
        for before, after in zip(tree.leaves(x), tree.leaves(placed), strict=True):
            assert np.array_equal(before.astype(dtype), backend.to_numpy(after))
    one, other = prepared.call(asked.x), prepared.call(asked.elsewhere)
    assert not np.shares_memory(np.asarray(one), np.asarray(other))
    return prepared


def refused(asked: Target, library: str, told: str) -> None:
    """See that the method is not prepared for ``asked``, and says why."""
    with pytest.raises(UnfitError, match=told):
        registry.method(f"{library}.per-sample").prepare(asked)


def check_interactions_are_declined(
    library: str, centred: Callable[[Any], Any], thresholded: Callable[[Any], Any]
) -> None:
    """See that samples must not see each other: at x, or at the second point alone.

    ``thresholded`` adds to every sample by how much the sum of all is over 100.
    """
    x = np.random.default_rng(0).standard_normal((4, 3))
    told = "per sample: samples interact along axis 0"
    refused(of_function(library, centred, x), library, told)
    beyond = put(library, x + 50)
    refused(of_function(library, thresholded, x, elsewhere=beyond), library, told)


def check_no_samples_is_declined(library: str) -> None:
    """See that a problem without samples, and one whose samples share x, are declined."""
    x = np.ones((4, 3))
    plain = Problem(name="p", function=lambda xp, x: xp.sin(x), x=x)
    shared = Problem(
        name="s",
        function=lambda xp, x, c: c @ x,
        x=x,
        constants=(np.ones((5, 4)),),
        in_axes=(None, 0),
    )
    method = registry.method(f"{library}.per-sample")
    for problem, told in ((plain, "in_axes names none"), (shared, "the samples share x")):
        reason = method.unsupported(problem, "jacobian", "cpu", "float64")
        assert reason is not None
        assert told in reason
    refused(target(library, shared), library, "the samples share x")


def check_a_nan_stays_with_its_sample(library: str, sqrt: Callable[[Any], Any]) -> None:
    """See that a NaN in the second of three samples is in no other block."""
    x = np.array([[4.0, 9.0], [np.nan, 1.0], [16.0, 25.0]])
    asked = of_function(library, sqrt, np.nan_to_num(x, nan=4.0))
    backend, method = registry.load(library), registry.method(f"{library}.per-sample")
    J = backend.to_numpy(method.prepare(asked).call(put(library, x)))
    assert np.isnan(J[2, 2])
    J[2:4, 2:4] = 0
    assert np.allclose(J, np.diag([1 / 4, 1 / 6, 0, 0, 1 / 8, 1 / 10]), rtol=1e-15, atol=0)
