"""The namespace of :mod:`jacbench.core.namespace` in HIPS autograd.

``autograd.numpy`` wraps every function of NumPy, but differentiates only those it knows. Of the
others the derivative is silently zero (``concat``) or an error, so what is missing is written here
over functions that have both a vector-Jacobian and a Jacobian-vector product.

The derivatives of ``maximum``, ``minimum``, ``max``, ``min`` and ``where`` are computed in float64
even of float32, since autograd's rules for them multiply by float64 arrays.
"""
# ruff: noqa: A001 - the standard's names are some of Python's own

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import autograd.numpy as anp
import numpy as np
from autograd.tracer import getval

Array: TypeAlias = Any
"""A NumPy array, or the box in which autograd traces one."""

Axes: TypeAlias = int | tuple[int, ...] | None

# --- elementwise ---

abs = anp.abs
sign = anp.sign
square = anp.square
sqrt = anp.sqrt
reciprocal = anp.reciprocal
exp = anp.exp
expm1 = anp.expm1
log = anp.log
log1p = anp.log1p
sin = anp.sin
cos = anp.cos
tan = anp.tan
asin = anp.arcsin
acos = anp.arccos
atan = anp.arctan
sinh = anp.sinh
cosh = anp.cosh
tanh = anp.tanh
asinh = anp.arcsinh
acosh = anp.arccosh
atanh = anp.arctanh
pow = anp.power
atan2 = anp.arctan2
logaddexp = anp.logaddexp
maximum = anp.maximum
minimum = anp.minimum


def where(condition: Array, x1: Array, x2: Array, /) -> Array:
    """Return entries of ``x1`` where ``condition`` holds, else of ``x2``.

    Autograd's Jacobian-vector product loses the axes along which an argument was broadcast.
    """
    shapes = anp.shape(condition), anp.shape(x1), anp.shape(x2)
    if not shapes[0] == shapes[1] == shapes[2]:
        shape = np.broadcast_shapes(*shapes)
        x1, x2 = (x if isinstance(x, (int, float)) else broadcast_to(x, shape) for x in (x1, x2))
    return anp.where(condition, x1, x2)


def leaky_relu(x: Array, /, negative_slope: float = 0.01) -> Array:
    """Return x where it is not negative, else ``negative_slope * x``.

    The slopes are a constant in the dtype of ``x``: autograd's ``where`` has float64 derivatives.
    """
    slope = x.dtype.type
    return x * np.where(x >= 0, slope(1), slope(negative_slope))


def softplus(x: Array, /) -> Array:
    """Return log(1 + exp(x))."""
    return anp.logaddexp(x, 0.0)


def stop_gradient(x: Array, /) -> Array:
    """Return ``x`` as a constant: unboxed, out of every derivative that is being traced."""
    return getval(x)


# --- reductions ---

sum = anp.sum
prod = anp.prod
max = anp.max
min = anp.min


def mean(x: Array, /, *, axis: Axes = None, keepdims: bool = False) -> Array:
    """Return the mean; the derivative of autograd's own is float64 even of float32."""
    total = anp.sum(x, axis=axis, keepdims=keepdims)
    return total / (x.size // total.size)


def var(
    x: Array, /, *, axis: Axes = None, correction: float = 0.0, keepdims: bool = False
) -> Array:
    """Return the variance; autograd's own has no forward mode over a tuple of axes."""
    centre = mean(x, axis=axis, keepdims=True)
    count = x.size // centre.size - correction
    return anp.sum(anp.square(x - centre), axis=axis, keepdims=keepdims) / count


def std(
    x: Array, /, *, axis: Axes = None, correction: float = 0.0, keepdims: bool = False
) -> Array:
    """Return the standard deviation."""
    return anp.sqrt(var(x, axis=axis, correction=correction, keepdims=keepdims))


def cumulative_sum(x: Array, /, *, axis: int | None = None) -> Array:
    """Return running sums along ``axis``, which a vector does not need."""
    if axis is None and x.ndim != 1:
        raise ValueError(f"cumulative_sum of an array of shape {x.shape} needs an axis")
    return anp.cumsum(x, axis=axis or 0)


# --- linear algebra ---

matmul = anp.matmul
tensordot = anp.tensordot
einsum = anp.einsum
outer = anp.outer


def matrix_transpose(x: Array, /) -> Array:
    """Return ``x`` with its last two axes exchanged."""
    return anp.swapaxes(x, -2, -1)


def vecdot(x1: Array, x2: Array, /, *, axis: int = -1) -> Array:
    """Return the dot products of the vectors along ``axis``."""
    return anp.sum(x1 * x2, axis=axis)


def vector_norm(x: Array, /, *, axis: Axes = None, keepdims: bool = False) -> Array:
    """Return the 2-norm along ``axis``, or of all entries."""
    return anp.sqrt(anp.sum(anp.square(x), axis=axis, keepdims=keepdims))


# --- manipulation ---

reshape = anp.reshape
stack = anp.stack
permute_dims = anp.transpose
expand_dims = anp.expand_dims
squeeze = anp.squeeze


def broadcast_to(x: Array, /, shape: tuple[int, ...]) -> Array:
    """Return ``x`` repeated to ``shape``; autograd's own cannot add axes in reverse mode."""
    return anp.broadcast_to(anp.reshape(x, (1,) * (len(shape) - x.ndim) + x.shape), shape)


def roll(x: Array, /, shift: int | tuple[int, ...], *, axis: Axes = None) -> Array:
    """Return ``x`` shifted along ``axis``; autograd's own takes one axis in reverse mode."""
    if not isinstance(shift, tuple):
        return anp.roll(x, shift, axis=axis)
    axes = axis if isinstance(axis, tuple) else (axis,) * len(shift)
    for one, along in zip(shift, axes, strict=True):
        x = anp.roll(x, one, axis=along)
    return x


def concat(arrays: Sequence[Array], /, *, axis: int = 0) -> Array:
    """Return ``arrays`` joined along ``axis``; the Jacobian of autograd's ``concat`` is zero."""
    return anp.concatenate(arrays, axis=axis)


def unstack(x: Array, /, *, axis: int = 0) -> tuple[Array, ...]:
    """Return the slices of ``x`` along ``axis``."""
    before = (slice(None),) * (axis % x.ndim)
    return tuple(x[(*before, index)] for index in range(x.shape[axis]))


def flip(x: Array, /, *, axis: Axes = None) -> Array:
    """Return ``x`` reversed along ``axis``, or along every axis."""
    axes = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    steps = [slice(None)] * x.ndim
    for one in axes:
        steps[one] = slice(None, None, -1)
    return x[tuple(steps)]


def take(x: Array, indices: Array, /, *, axis: int = 0) -> Array:
    """Return the entries ``indices`` along ``axis``."""
    return x[(slice(None),) * (axis % x.ndim) + (indices,)]


def take_along_axis(x: Array, indices: Array, /, *, axis: int) -> Array:
    """Return one entry along ``axis`` per index."""
    places: list[Array] = list(np.indices(indices.shape, sparse=True))
    places[axis] = indices
    return x[tuple(places)]


# --- creation: constants, so NumPy's own ---

zeros_like = anp.zeros_like
ones_like = anp.ones_like
full_like = anp.full_like
zeros = np.zeros
ones = np.ones
arange = np.arange
eye = np.eye


def asarray(obj: Any, /, *, dtype: Any = None) -> Array:
    """Return an array; a list may hold traced scalars and arrays."""
    if isinstance(obj, (list, tuple)):
        return anp.array(obj) if dtype is None else anp.array(obj, dtype=dtype)
    return obj if dtype is None and hasattr(obj, "shape") else anp.array(obj, dtype=dtype)


pi = anp.pi
e = anp.e
