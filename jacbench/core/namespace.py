"""The operations that neutral functions ``f(xp, x, *constants)`` may use.

Every backend offers them under these names, as attributes of the module or plain namespace that it
calls ``xp``. Names, argument names and defaults are those of the Python array API standard
(https://data-apis.org/array-api/), so reductions take ``axis=`` and ``keepdims=``, and the operands
are called positionally. Besides them a function uses the operators of its arrays (``+ - * / ** @``,
comparisons, ``& | ~``, indexing with integers, slices, integer and boolean arrays) and their
``shape``, ``ndim``, ``size`` and ``dtype``.

What a backend offers, it offers with a derivative: reverse and forward. An operation that one of
the libraries has without a derivative is expressed in that library by others that have one; it is
left out where that cannot be done. Arrays are never written to in place. Arrays that a function
needs are constants of its problem and not closed over: a NumPy array in a closure is on no device,
and stops ``torch.compile``.

Narrower than in the standard, because one of the libraries is:

- ``outer`` takes vectors, ``vector_norm`` is the 2-norm, ``take_along_axis`` needs its ``axis``;
- ``take`` takes a vector of indices as a native integer array, which means a constant;
- ``prod`` has no derivative in autograd where an entry is 0 (it gives NaN);
- creation functions make float64 unless told ``dtype=x.dtype``, and make it on the library's
  default device. ``zeros_like``, ``ones_like``, ``full_like`` and constants of the problem follow
  the dtype and the device of the cell by themselves, and are to be preferred.
"""

from __future__ import annotations

ELEMENTWISE: tuple[str, ...] = (
    # one argument
    "abs",
    "sign",
    "square",
    "sqrt",
    "reciprocal",
    "exp",
    "expm1",
    "log",
    "log1p",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "tanh",
    "asinh",
    "acosh",
    "atanh",
    # two arguments, the second (in ``where`` both) may be a Python scalar
    "pow",
    "atan2",
    "logaddexp",
    "maximum",
    "minimum",
    "where",
)

EXTRAS: tuple[str, ...] = (
    # not in the array API, but every library's users know them
    "leaky_relu",  # leaky_relu(x, negative_slope)
    "softplus",  # log(1 + exp(x)), without switching to x where x is large
    "stop_gradient",  # x itself, and a constant to every derivative
)

REDUCTIONS: tuple[str, ...] = (
    "sum",
    "mean",
    "prod",
    "max",
    "min",
    "var",  # correction=0, as in NumPy; torch's own default is 1
    "std",
    "cumulative_sum",
)

LINEAR_ALGEBRA: tuple[str, ...] = (
    "matmul",
    "tensordot",
    "einsum",
    "matrix_transpose",
    "vecdot",
    "outer",
    "vector_norm",
)

MANIPULATION: tuple[str, ...] = (
    "reshape",
    "concat",
    "stack",
    "unstack",
    "permute_dims",
    "expand_dims",
    "squeeze",
    "broadcast_to",
    "flip",
    "roll",
    "take",
    "take_along_axis",
)

CREATION: tuple[str, ...] = (
    # like another array, in dtype and device
    "zeros_like",
    "ones_like",
    "full_like",
    # from nothing
    "asarray",
    "zeros",
    "ones",
    "arange",
    "eye",
)

CONSTANTS: tuple[str, ...] = ("pi", "e")

OPERATIONS: tuple[str, ...] = (
    *ELEMENTWISE,
    *EXTRAS,
    *REDUCTIONS,
    *LINEAR_ALGEBRA,
    *MANIPULATION,
    *CREATION,
    *CONSTANTS,
)
"""Every name that a backend's ``xp`` has."""
