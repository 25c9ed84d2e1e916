"""The namespace of :mod:`jacbench.core.namespace` in PyTorch.

Most names are torch's own functions, which take ``axis`` and ``keepdims`` for ``dim`` and
``keepdim``. Those written out here are what torch spells, defaults or restricts differently.
"""
# ruff: noqa: A001 - the standard's names are some of Python's own

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

Axes: TypeAlias = int | tuple[int, ...] | None

# --- elementwise ---

abs = torch.abs
sign = torch.sign
square = torch.square
sqrt = torch.sqrt
reciprocal = torch.reciprocal
exp = torch.exp
expm1 = torch.expm1
log = torch.log
log1p = torch.log1p
sin = torch.sin
cos = torch.cos
tan = torch.tan
asin = torch.asin
acos = torch.acos
atan = torch.atan
sinh = torch.sinh
cosh = torch.cosh
tanh = torch.tanh
asinh = torch.asinh
acosh = torch.acosh
atanh = torch.atanh
pow = torch.pow
where = torch.where
leaky_relu = torch.nn.functional.leaky_relu


def _like(scalar: Tensor | float, other: Tensor | float) -> Tensor:
    """Return a Python scalar as a tensor beside ``other``; these functions take no scalars."""
    if isinstance(scalar, Tensor):
        return scalar
    if isinstance(other, Tensor):
        return torch.full((), scalar, dtype=other.dtype, device=other.device)
    return torch.asarray(scalar, dtype=torch.float64)


def atan2(x1: Tensor | float, x2: Tensor | float, /) -> Tensor:
    """Return the angle of (x2, x1), in radians."""
    return torch.atan2(_like(x1, x2), _like(x2, x1))


def logaddexp(x1: Tensor | float, x2: Tensor | float, /) -> Tensor:
    """Return log(exp(x1) + exp(x2))."""
    return torch.logaddexp(_like(x1, x2), _like(x2, x1))


def maximum(x1: Tensor | float, x2: Tensor | float, /) -> Tensor:
    """Return the larger of each pair."""
    return torch.maximum(_like(x1, x2), _like(x2, x1))


def minimum(x1: Tensor | float, x2: Tensor | float, /) -> Tensor:
    """Return the smaller of each pair."""
    return torch.minimum(_like(x1, x2), _like(x2, x1))


def softplus(x: Tensor, /) -> Tensor:
    """Return log(1 + exp(x)).

    Torch returns x above a threshold of 20, which is wrong by 1e-10 there; above 40 the two are
    the same number in float64.
    """
    return torch.nn.functional.softplus(x, threshold=40.0)


def stop_gradient(x: Tensor, /) -> Tensor:
    """Return ``x`` as a constant, in reverse and in forward mode."""
    return x.detach()


# --- reductions ---

sum = torch.sum
mean = torch.mean
max = torch.amax
min = torch.amin


def prod(x: Tensor, /, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Return the product; torch's own takes one axis at a time."""
    if axis is None and not keepdims:
        return torch.prod(x)
    axes = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    for one in sorted((one % x.ndim for one in axes), reverse=True):
        x = torch.prod(x, dim=one, keepdim=keepdims)
    return x


def var(
    x: Tensor, /, *, axis: Axes = None, correction: float = 0.0, keepdims: bool = False
) -> Tensor:
    """Return the variance; torch's own corrects by 1 unless told otherwise."""
    return torch.var(x, dim=axis, correction=correction, keepdim=keepdims)


def std(
    x: Tensor, /, *, axis: Axes = None, correction: float = 0.0, keepdims: bool = False
) -> Tensor:
    """Return the standard deviation; torch's own corrects by 1 unless told otherwise."""
    return torch.std(x, dim=axis, correction=correction, keepdim=keepdims)


def cumulative_sum(x: Tensor, /, *, axis: int | None = None) -> Tensor:
    """Return running sums along ``axis``, which a vector does not need."""
    return torch.cumsum(x, dim=_only_axis(x) if axis is None else axis)


def _only_axis(x: Tensor) -> int:
    if x.ndim != 1:
        raise ValueError(f"cumulative_sum of an array of shape {tuple(x.shape)} needs an axis")
    return 0


# --- linear algebra ---

matmul = torch.matmul
einsum = torch.einsum
outer = torch.outer
vector_norm = torch.linalg.vector_norm
vecdot = torch.linalg.vecdot


def tensordot(
    x1: Tensor, x2: Tensor, /, *, axes: int | tuple[Sequence[int], Sequence[int]] = 2
) -> Tensor:
    """Return the contraction over the last and first ``axes``, or over the axes given."""
    contracted: Tensor = torch.tensordot(x1, x2, dims=axes)
    return contracted


def matrix_transpose(x: Tensor, /) -> Tensor:
    """Return ``x`` with its last two axes exchanged."""
    return torch.transpose(x, -2, -1)


# --- manipulation ---

reshape = torch.reshape
concat = torch.concat
stack = torch.stack
unstack = torch.unbind
expand_dims = torch.unsqueeze
squeeze = torch.squeeze


def permute_dims(x: Tensor, /, axes: tuple[int, ...]) -> Tensor:
    """Return ``x`` with its axes in the order ``axes``."""
    return torch.permute(x, axes)


def broadcast_to(x: Tensor, /, shape: tuple[int, ...]) -> Tensor:
    """Return ``x`` repeated to ``shape``."""
    return torch.broadcast_to(x, shape)


def flip(x: Tensor, /, *, axis: Axes = None) -> Tensor:
    """Return ``x`` reversed along ``axis``, or along every axis."""
    axes = tuple(range(x.ndim)) if axis is None else (axis,) if isinstance(axis, int) else axis
    return torch.flip(x, axes)


def roll(x: Tensor, /, shift: int | tuple[int, ...], *, axis: Axes = None) -> Tensor:
    """Return ``x`` shifted along ``axis``, or as if it were flat."""
    return torch.roll(x, shift) if axis is None else torch.roll(x, shift, axis)


def take(x: Tensor, indices: Tensor, /, *, axis: int = 0) -> Tensor:
    """Return the entries ``indices`` along ``axis``; unlike ``index_select`` from the end too."""
    return x[(slice(None),) * (axis % x.ndim) + (indices,)]


def take_along_axis(x: Tensor, indices: Tensor, /, *, axis: int) -> Tensor:
    """Return one entry along ``axis`` per index; torch's own flattens ``x`` without an axis."""
    return torch.take_along_dim(x, indices, dim=axis)


# --- creation: torch's own default is float32, which would round constants ---

zeros_like = torch.zeros_like
ones_like = torch.ones_like
full_like = torch.full_like


def asarray(obj: Any, /, *, dtype: torch.dtype | None = None) -> Tensor:
    """Return a tensor; torch's own takes lists of tensors, but their derivative is lost."""
    if isinstance(obj, Tensor):
        return obj if dtype is None else obj.to(dtype)
    if isinstance(obj, (list, tuple)) and _holds_tensors(obj):
        return torch.stack([asarray(part, dtype=dtype) for part in obj])
    if dtype is None and not hasattr(obj, "dtype") and not _all_integers(obj):
        dtype = torch.float64
    return torch.asarray(obj, dtype=dtype)


def _holds_tensors(obj: Any) -> bool:
    if isinstance(obj, (list, tuple)):
        return any(_holds_tensors(part) for part in obj)
    return isinstance(obj, Tensor)


def _all_integers(obj: Any) -> bool:
    if isinstance(obj, (list, tuple)):
        return all(_all_integers(part) for part in obj)
    return isinstance(obj, int)


def zeros(shape: int | tuple[int, ...], /, *, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return zeros."""
    return torch.zeros(shape, dtype=dtype)


def ones(shape: int | tuple[int, ...], /, *, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return ones."""
    return torch.ones(shape, dtype=dtype)


def arange(
    start: float, /, stop: float | None = None, step: float = 1, *, dtype: torch.dtype | None = None
) -> Tensor:
    """Return evenly spaced numbers: of integers integers, else float64."""
    if stop is None:
        start, stop = 0, start
    if dtype is None and not _all_integers([start, stop, step]):
        dtype = torch.float64
    return torch.arange(start, stop, step, dtype=dtype)


def eye(n_rows: int, n_cols: int | None = None, /, *, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return ones on the diagonal and zeros elsewhere."""
    return torch.eye(n_rows, n_rows if n_cols is None else n_cols, dtype=dtype)


pi = torch.pi
e = torch.e
