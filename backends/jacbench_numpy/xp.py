"""The namespace of :mod:`jacbench.core.namespace` in NumPy, right under the complex step.

The complex step evaluates a real function at ``x + ih`` with h so small that h^2 vanishes, and
reads the derivative off the imaginary part [1]_. So each function here must be the analytic
continuation of the real one: it compares real parts, conjugates nothing, and carries the imaginary
part along. NumPy's own ``abs``, ``var`` and norms drop it, ``sign`` and ``vecdot`` do something
else with it, and ``logaddexp`` and ``arctan2`` refuse it. Its ``maximum``, ``minimum``, ``max``,
``min`` and comparisons look at the real part first, which is what is wanted off kinks.

References
----------
.. [1] W. Squire and G. Trapp, "Using complex variables to estimate derivatives of real functions",
   SIAM Review 40 (1998) 110-112, https://doi.org/10.1137/S003614459631241X
"""
# ruff: noqa: A001 - the standard's names are some of Python's own

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = Any
"""A NumPy array, real or complex, or one of NumPy's scalars, which its reductions return."""

Axes: TypeAlias = int | tuple[int, ...] | None

# --- elementwise ---

square = np.square
sqrt = np.sqrt
reciprocal = np.reciprocal
exp = np.exp
expm1 = np.expm1
log = np.log
sin = np.sin
cos = np.cos
tan = np.tan
asin = np.asin
acos = np.acos
atan = np.atan
sinh = np.sinh
cosh = np.cosh
tanh = np.tanh
asinh = np.asinh
acosh = np.acosh
atanh = np.atanh
pow = np.pow
maximum = np.maximum
minimum = np.minimum
where = np.where


def abs(x: Array, /) -> Array:
    """Return x or -x, by the sign of the real part."""
    return np.where(np.real(x) < 0, -x, x)


def sign(x: Array, /) -> Array:
    """Return the sign of the real part, which is constant off 0."""
    return np.sign(np.real(x))


def log1p(x: Array, /) -> Array:
    """Return log(1 + x); NumPy's complex form cancels where x is small."""
    if not np.iscomplexobj(x):
        return np.log1p(x)
    # log|1 + x| differs from log1p of the real part by the square of the imaginary part
    return np.log1p(x.real) + 1j * np.arctan2(x.imag, 1 + x.real)


def atan2(x1: Array, x2: Array, /) -> Array:
    """Return the angle of (x2, x1), in radians."""
    re1, re2 = np.real(x1), np.real(x2)
    angle = np.arctan2(re1, re2)
    if not (np.iscomplexobj(x1) or np.iscomplexobj(x2)):
        return angle
    # turned back by the real angle, the point lies on the first axis up to the imaginary parts
    return angle + np.arctan((x1 * re2 - x2 * re1) / (x1 * re1 + x2 * re2))


def logaddexp(x1: Array | float, x2: Array | float, /) -> Array:
    """Return log(exp(x1) + exp(x2))."""
    if not (np.iscomplexobj(x1) or np.iscomplexobj(x2)):
        return np.logaddexp(x1, x2)
    larger = np.maximum(x1, x2)
    return larger + log1p(np.exp(np.minimum(x1, x2) - larger))


def leaky_relu(x: Array, /, negative_slope: float = 0.01) -> Array:
    """Return x where its real part is not negative, else ``negative_slope * x``."""
    return np.where(np.real(x) >= 0, x, negative_slope * x)


def softplus(x: Array, /) -> Array:
    """Return log(1 + exp(x))."""
    return logaddexp(x, 0.0)


def stop_gradient(x: Array, /) -> Array:
    """Return the real part of ``x``: what is constant takes no part in the complex step."""
    return np.real(x)


# --- reductions ---

sum = np.sum
mean = np.mean
prod = np.prod
max = np.max
min = np.min


def var(
    x: Array, /, *, axis: Axes = None, correction: float = 0.0, keepdims: bool = False
) -> Array:
    """Return the variance."""
    centre = np.mean(x, axis=axis, keepdims=True)
    total = np.sum(np.square(x - centre), axis=axis, keepdims=keepdims)
    return total / (x.size // centre.size - correction)


def std(
    x: Array, /, *, axis: Axes = None, correction: float = 0.0, keepdims: bool = False
) -> Array:
    """Return the standard deviation."""
    return np.sqrt(var(x, axis=axis, correction=correction, keepdims=keepdims))


def cumulative_sum(x: Array, /, *, axis: int | None = None) -> Array:
    """Return running sums along ``axis``, which a vector does not need."""
    if axis is None and x.ndim != 1:
        raise ValueError(f"cumulative_sum of an array of shape {x.shape} needs an axis")
    return np.cumsum(x, axis=axis or 0)


# --- linear algebra ---

matmul = np.matmul
tensordot = np.tensordot
einsum = np.einsum
matrix_transpose = np.matrix_transpose
outer = np.outer


def vecdot(x1: Array, x2: Array, /, *, axis: int = -1) -> Array:
    """Return the dot products of the vectors along ``axis``, conjugating neither."""
    return np.sum(x1 * x2, axis=axis)


def vector_norm(x: Array, /, *, axis: Axes = None, keepdims: bool = False) -> Array:
    """Return the square root of the sum of squares, over ``axis`` or all entries."""
    return np.sqrt(np.sum(np.square(x), axis=axis, keepdims=keepdims))


# --- manipulation ---

reshape = np.reshape
concat = np.concat
stack = np.stack
permute_dims = np.permute_dims
expand_dims = np.expand_dims
squeeze = np.squeeze
broadcast_to = np.broadcast_to
flip = np.flip
roll = np.roll


def unstack(x: Array, /, *, axis: int = 0) -> tuple[Array, ...]:
    """Return the slices of ``x`` along ``axis``; NumPy has its own since 2.1."""
    return tuple(np.moveaxis(x, axis, 0))


def take(x: Array, indices: Array, /, *, axis: int = 0) -> Array:
    """Return the entries ``indices`` along ``axis``."""
    return np.take(x, indices, axis=axis)


def take_along_axis(x: Array, indices: Array, /, *, axis: int) -> Array:
    """Return one entry along ``axis`` per index."""
    return np.take_along_axis(x, indices, axis=axis)


# --- creation ---

zeros_like = np.zeros_like
ones_like = np.ones_like
full_like = np.full_like
asarray = np.asarray
zeros = np.zeros
ones = np.ones
arange = np.arange
eye = np.eye

pi = np.pi
e = np.e
