"""The family ``awkward`` as autograd's users write it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import autograd.numpy as np
import numpy
from autograd.extend import defjvp, defvjp, primitive


def in_place(x: Any) -> Any:
    """Write into a copy of x, which autograd refuses."""
    y = np.array(x)
    y[0] = x[1] * x[2]
    y[1:] *= x[0]
    return y * np.cos(x)


def item_branch(x: Any) -> Any:
    """Branch on a Python number."""
    if float(np.sum(x)) > 0:
        return x * np.sin(x)
    return x**3


def _astype(x: Any, dtype: Any) -> Any:
    return x.astype(dtype)


def _pull_dtype_back(answer: Any, x: Any, dtype: Any) -> Callable[[Any], Any]:
    del answer, dtype
    return lambda cotangent: _in_dtype(cotangent, x.dtype)


def _push_dtype(tangent: Any, answer: Any, x: Any, dtype: Any) -> Any:
    del answer, x
    return _in_dtype(tangent, dtype)


_in_dtype: Any = primitive(_astype)
defvjp(_in_dtype, _pull_dtype_back, None)
defjvp(_in_dtype, _push_dtype, None)


def where(x: Any) -> Any:
    """Return x log(x) where x is positive, x elsewhere.

    The casts keep the derivative in the dtype of x, backward by the first and forward by the last:
    autograd's ``where`` has float64 derivatives even of float32, and its ``astype`` no forward one.
    """
    dtype = x.dtype
    x = _in_dtype(x, dtype)
    safe = np.where(x > 0, x, np.ones_like(x))
    return _in_dtype(np.where(x > 0, x * np.log(safe), x), dtype)


# --- log(1 + exp(x)) with rules by hand ---


def _softplus(x: Any) -> Any:
    return numpy.logaddexp(x, 0.0)


def _times_sigmoid(tangent: Any, x: Any) -> Any:
    return tangent / (1 + np.exp(-x))


def _pull_back(answer: Any, x: Any) -> Callable[[Any], Any]:
    del answer
    return lambda cotangent: _times_sigmoid(cotangent, x)


def _push(tangent: Any, answer: Any, x: Any) -> Any:
    del answer
    return _times_sigmoid(tangent, x)


_reverse_only: Any = primitive(_softplus)
_both_ways: Any = primitive(_softplus)
defvjp(_reverse_only, _pull_back)
defvjp(_both_ways, _pull_back)
defjvp(_both_ways, _push)


def custom_vjp(x: Any, A: Any) -> Any:
    """Apply a primitive that has a vector-Jacobian product alone."""
    return A @ _reverse_only(x)


def custom_jvp(x: Any, A: Any) -> Any:
    """Apply a primitive that has both products."""
    return A @ _both_ways(x)


def dropout(x: Any, A: Any) -> Any:
    """Drop half of the units by a mask from a fixed seed."""
    keep = numpy.random.RandomState(2701).rand(*x.shape) < 0.5
    return A @ (np.tanh(x) * keep * 2)


def linalg(X: Any, b: Any) -> Any:
    """Return the solution of X y = b, det X and log |det X|."""
    determinants = np.array([np.linalg.det(X), np.linalg.slogdet(X)[1]])
    return np.concatenate([np.linalg.solve(X, b), determinants])
