"""The namespace of :mod:`jacbench.core.namespace` in 60 digits, and Jacobians by differences in it.

Arrays are NumPy object arrays of mpmath numbers. They take NumPy's own operators, indexing and
manipulation; each function works entry by entry. Floats are taken as the exact numbers that they
are, so that the function computed is that of the float64 side without its rounding.

With 60 digits a step of 1e-20 leaves an error of about 1e-40 in a central difference: it knows no
derivative rule, and is right to every digit that float64 has.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import mpmath
import numpy as np

from jacbench.core import namespace, tree
from jacbench.problems.problem import Problem

DIGITS = 60
STEP = "1e-20"

mp: Any = mpmath.MPContext()  # of our own: mpmath's precision is a global setting
mp.dps = DIGITS

_number = np.frompyfunc(mp.mpf, 1, 1)


def exact(value: Any) -> Any:
    """Return floats, alone or in an array, as mpmath numbers; integers and booleans as they are."""
    if isinstance(value, (bool, int, np.bool_, np.integer)):
        return value
    if isinstance(value, np.ndarray) and value.dtype.kind in "biu":
        return value
    return _number(value)


def _of_numbers(value: Any) -> Any:
    """Return an array that was put together; integers among mpmath numbers become such numbers."""
    return value if value.dtype.kind in "biu" else np.asarray(_number(value), dtype=object)


# --- elementwise ---


def _elementwise(function: Callable[..., Any], arguments: int = 1) -> Callable[..., Any]:
    return np.frompyfunc(lambda *values: function(*map(mp.mpf, values)), arguments, 1)


def _logaddexp(x1: Any, x2: Any) -> Any:
    larger, smaller = max(x1, x2), min(x1, x2)
    return larger + mp.log1p(mp.exp(smaller - larger))


def _where(condition: Any, x1: Any, x2: Any) -> Any:
    return np.where(condition, exact(x1), exact(x2))


_ONE_ARGUMENT: dict[str, Callable[[Any], Any]] = {
    "abs": abs,
    "sign": mp.sign,
    "square": lambda x: x * x,
    "reciprocal": lambda x: 1 / x,
    "softplus": lambda x: _logaddexp(x, mp.zero),
    **{
        name: getattr(mp, name)
        for name in (
            *("sqrt", "exp", "expm1", "log", "log1p", "sin", "cos", "tan", "asin", "acos", "atan"),
            *("sinh", "cosh", "tanh", "asinh", "acosh", "atanh"),
        )
    },
}
_TWO_ARGUMENTS: dict[str, Callable[[Any, Any], Any]] = {
    "pow": lambda x1, x2: x1**x2,
    "atan2": mp.atan2,
    "logaddexp": _logaddexp,
    "maximum": max,
    "minimum": min,
}


def _leaky_relu(x: Any, negative_slope: float = 0.01) -> Any:
    return _elementwise(lambda x: x if x >= 0 else negative_slope * x)(x)


# --- reductions and linear algebra: NumPy's own where they keep to sums and products ---


def _mean(x: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
    total = np.sum(x, axis=axis, keepdims=keepdims)
    return total / (np.size(x) // np.size(total))


def _var(x: Any, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Any:
    centre = _mean(x, axis=axis, keepdims=True)
    total = np.sum((x - centre) ** 2, axis=axis, keepdims=keepdims)
    return total / (x.size // np.size(centre) - correction)


_sqrt = _elementwise(mp.sqrt)


def _std(x: Any, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Any:
    return _sqrt(_var(x, axis=axis, correction=correction, keepdims=keepdims))


def _vector_norm(x: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
    return _sqrt(np.sum(x * x, axis=axis, keepdims=keepdims))


def _cumulative_sum(x: Any, *, axis: int | None = None) -> Any:
    if axis is None and x.ndim != 1:
        raise ValueError(f"cumulative_sum of an array of shape {x.shape} needs an axis")
    return np.cumsum(x, axis=axis or 0)


def _vecdot(x1: Any, x2: Any, *, axis: int = -1) -> Any:
    return np.sum(x1 * x2, axis=axis)


# --- manipulation and creation ---


def _unstack(x: Any, *, axis: int = 0) -> tuple[Any, ...]:
    return tuple(np.moveaxis(x, axis, 0))


def _take(x: Any, indices: Any, *, axis: int = 0) -> Any:
    return np.take(x, indices, axis=axis)


def _take_along_axis(x: Any, indices: Any, *, axis: int) -> Any:
    return np.take_along_axis(x, indices, axis=axis)


def _numbers(make: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``make`` with mpmath numbers in what it makes, unless integers were asked for."""

    def made(*arguments: Any, dtype: Any = None, **keywords: Any) -> Any:
        return _of_numbers(make(*arguments, dtype=dtype or object, **keywords))

    return made


def _joined(join: Callable[..., Any]) -> Callable[..., Any]:
    def joined(arrays: Any, **keywords: Any) -> Any:
        return _of_numbers(join(arrays, **keywords))

    return joined


def _asarray(obj: Any, *, dtype: Any = None) -> Any:
    return _of_numbers(np.asarray(obj, dtype=object if dtype is np.float64 else dtype))


def _arange(*arguments: Any, dtype: Any = None) -> Any:
    return _of_numbers(np.arange(*arguments, dtype=dtype))


_OPERATIONS: dict[str, Any] = {
    **{name: _elementwise(function) for name, function in _ONE_ARGUMENT.items()},
    **{name: _elementwise(function, 2) for name, function in _TWO_ARGUMENTS.items()},
    "where": _where,
    "leaky_relu": _leaky_relu,
    **{name: getattr(np, name) for name in ("sum", "prod", "max", "min")},
    "mean": _mean,
    "var": _var,
    "std": _std,
    "cumulative_sum": _cumulative_sum,
    **{
        name: getattr(np, name)
        for name in ("matmul", "tensordot", "einsum", "matrix_transpose", "outer")
    },
    "vecdot": _vecdot,
    "vector_norm": _vector_norm,
    **{
        name: getattr(np, name)
        for name in (
            *("reshape", "permute_dims", "expand_dims", "squeeze"),
            *("broadcast_to", "flip", "roll"),
        )
    },
    "concat": _joined(np.concat),
    "stack": _joined(np.stack),
    "unstack": _unstack,
    "take": _take,
    "take_along_axis": _take_along_axis,
    **{name: _numbers(getattr(np, name)) for name in ("zeros_like", "ones_like", "full_like")},
    **{name: _numbers(getattr(np, name)) for name in ("zeros", "ones", "eye")},
    "asarray": _asarray,
    "arange": _arange,
    "pi": np.pi,
    "e": np.e,
}


class Cuts:
    """What ``stop_gradient`` cut at the point itself: differences take it as constant.

    The first evaluation records the values, in the order in which they come; each later one, at a
    point moved a little, is handed the same.
    """

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.recorded = False
        self.next = 0

    def __call__(self, x: Any) -> Any:
        """Return ``x``, or what it was at the first evaluation."""
        if not self.recorded:
            self.values.append(x)
            return x
        self.next += 1
        return self.values[self.next - 1]

    def rewind(self) -> None:
        """End an evaluation."""
        self.recorded, self.next = True, 0


class MpNamespace(SimpleNamespace):
    """The operations, and a clear error for one that is not among them."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        told = "" if name in namespace.OPERATIONS else ", nor has jacbench.core.namespace"
        raise AttributeError(f"tests/mp_namespace.py has no operation {name!r}{told}: write it")


def operations(stop_gradient: Callable[[Any], Any] | None = None) -> MpNamespace:
    """Return the namespace; ``stop_gradient`` is what cuts, by default nothing at all."""
    return MpNamespace(**_OPERATIONS, stop_gradient=stop_gradient or (lambda x: x))


# --- derivatives ---


class Function:
    """A problem's function in 60 digits, y flat, with what is cut held at ``x``."""

    def __init__(self, problem: Problem, x: Any, constants: tuple[Any, ...]) -> None:
        self.name = problem.name
        self.cuts = Cuts()
        self.function = problem.value_alone(problem.neutral(operations(self.cuts)))
        self.constants = tuple(tree.map_leaves(exact, constant) for constant in constants)
        self.x = tree.map_leaves(lambda leaf: np.asarray(exact(leaf), dtype=object), x)
        self.y = self.at(self.x)

    def at(self, x: Any) -> Any:
        """Return y as an object array of shape (m,)."""
        y = np.asarray(self.function(x, *self.constants), dtype=object).reshape(-1)
        self.cuts.rewind()
        strangers = {type(entry).__name__ for entry in y} - {"mpf"}
        if strangers:
            raise TypeError(
                f"problem {self.name!r}: y holds a {', '.join(sorted(strangers))}: its digits are "
                "lost; compute it by the operations of xp"
            )
        return y

    def along(self, direction: Any) -> Any:
        """Return J v, an object array of shape (m,), for a tree v like x."""
        h = mp.mpf(STEP)
        pairs = list(zip(tree.leaves(self.x), tree.leaves(direction), strict=True))
        ends = [
            self.at(
                tree.unflatten(
                    self.x, [np.asarray(a + s * exact(v), dtype=object) for a, v in pairs]
                )
            )
            for s in (h, -h)
        ]
        return (ends[0] - ends[1]) / (2 * h)


def jacobian(problem: Problem, x: Any, constants: tuple[Any, ...]) -> Any:
    """Return the (m, n) Jacobian as an object array of mpmath numbers, good to about 35 digits."""
    function = Function(problem, x, constants)
    leaves = tree.leaves(x)
    columns = []
    for i, leaf in enumerate(leaves):
        for index in np.ndindex(leaf.shape):
            one_hot = [np.zeros(other.shape) for other in leaves]
            one_hot[i][index] = 1
            columns.append(function.along(tree.unflatten(x, one_hot)))
    return np.stack(columns, axis=1)


def distance(found: Any, expected: Any) -> float:
    """Return the normwise error of a float64 array against mpmath numbers, computed in these."""
    difference = np.ravel(exact(np.asarray(found)) - expected)
    scale = np.sum(np.ravel(expected) ** 2)
    return float(mp.sqrt(np.sum(difference**2) / (scale or 1)))
