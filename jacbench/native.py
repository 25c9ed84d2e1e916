"""The Jacobian of a function that is native to one library, by any of its methods."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from jacbench import layout, registry, tree
from jacbench.backend import Backend, Native, Target
from jacbench.errors import JacbenchError
from jacbench.layout import Layout
from jacbench.tree import Tree
from jacbench.value import evaluate


def jacobian(
    f: Callable[[Any], Any],
    x: Tree,
    method: str,
    *,
    chunk_size: int | None = None,
    matrix: bool = False,
) -> Native:
    """Return the Jacobian of ``f`` at ``x``, computed by ``method``.

    Parameters
    ----------
    f
        ``f(x) -> y`` over the library's own arrays (``torch``, ``jax.numpy``, ``autograd.numpy``,
        NumPy); y is one floating-point array of any shape.
    x
        One of the library's arrays, or a dict, list or tuple of them; NumPy arrays are converted,
        to the CPU and at their own dtype.
    method
        A name of ``jacbench list``: ``torch.func.jacrev``, ``jax.jacfwd``, ...
    chunk_size
        Rows or columns at a time, for methods that take it.
    matrix
        True: one (m, n) array, rows and columns in C order, the leaves of x side by side.

    Returns
    -------
    The library's own arrays, of shape ``y.shape + leaf.shape`` for each leaf of x and in the
    structure of x, as ``torch.func.jacrev`` and ``jax.jacrev`` return them.

    Raises
    ------
    JacbenchError
        In one line: an unknown method, an absent backend, an x or y that has no derivative.

    Notes
    -----
    Nothing global is changed: threads, float64 in JAX and TF32 are as the caller set them.
    """
    who = f"jacobian(method={method!r})"
    descriptor = registry.descriptor_of(method)
    backend, chosen = registry.load(descriptor.name), registry.method(method)
    if not callable(f):
        raise JacbenchError(f"{who}: f is a {type(f).__name__}: give a callable f(x)")
    if not tree.leaves(x):
        raise JacbenchError(f"{who}: x holds no arrays: a Jacobian needs at least one input")
    native = tree.map_leaves(lambda leaf: _input(who, backend, leaf), x)
    y_shape = evaluate(who, backend, lambda: f(native)).shape
    target = Target(
        function=f,
        x=native,
        constants=(),
        y_shape=y_shape,
        device=backend.device_of(tree.first(native)),
        dtype=str(backend.to_numpy(tree.first(native)).dtype),
        chunk_size=_chunk(who, chunk_size, chosen.chunking),
    )
    reason = chosen.unsupported(None, "jacobian", target.device, target.dtype)
    if reason is not None:
        raise JacbenchError(f"{who}: {reason}")
    result = chosen.prepare(target).call(native)
    parts = _arranged(result, chosen.layout(target), native, y_shape)
    if matrix:
        rows = [part.reshape(math.prod(y_shape), -1) for part in parts]
        return rows[0] if len(rows) == 1 else backend.xp.concat(rows, axis=1)
    return tree.unflatten(native, parts)


def _chunk(who: str, size: int | None, chunking: str) -> int | None:
    if size is not None and size < 1:
        raise JacbenchError(f"{who}: chunk_size is {size}: give a whole number of at least 1")
    if size is not None and chunking == "whole":
        raise JacbenchError(f"{who}: its library gives it no chunk size: leave chunk_size out")
    return size


def _input(who: str, backend: Backend, leaf: Any) -> Native:
    if isinstance(leaf, (bool, int, float, complex, np.generic)):
        leaf = np.asarray(leaf)
    if not backend.is_array(leaf) and not isinstance(leaf, np.ndarray):
        raise JacbenchError(
            f"{who}: x is a {type(leaf).__module__}.{type(leaf).__name__}, not one of this "
            "library's arrays: convert it, or pass a NumPy array"
        )
    try:
        value = leaf if isinstance(leaf, np.ndarray) else backend.to_numpy(leaf)
    except TypeError as exc:  # torch.bfloat16 has no counterpart in NumPy
        raise JacbenchError(f"{who}: x is of a dtype NumPy lacks ({exc}): pass floats") from None
    if value.dtype.kind != "f":
        raise JacbenchError(
            f"{who}: x is of dtype {value.dtype}, which has no real derivative: pass floats"
        )
    if value.size == 0:
        raise JacbenchError(
            f"{who}: x is empty (shape {value.shape}): a Jacobian needs at least one input"
        )
    if not np.isfinite(value).all():
        raise JacbenchError(f"{who}: x is not finite: give a point without NaN or inf")
    if backend.is_array(leaf):
        return leaf
    placed = backend.put(value, "cpu", str(value.dtype))
    if backend.to_numpy(placed).dtype != value.dtype:
        raise JacbenchError(
            f"{who}: x is {value.dtype} and the library made it {backend.to_numpy(placed).dtype}: "
            "for JAX run jax.config.update('jax_enable_x64', True) first, or pass float32"
        )
    return placed


def _arranged(result: Native, made: Layout, x: Tree, y_shape: tuple[int, ...]) -> list[Native]:
    """Return one native array of shape y.shape + leaf.shape for each leaf of x."""
    m = math.prod(y_shape)
    shapes = [tuple(leaf.shape) for leaf in tree.leaves(x)]
    sizes = [math.prod(shape) for shape in shapes]
    parts = tree.leaves(result)
    if made is layout.COLUMNS:
        parts = [parts[0].reshape(sum(sizes), m).T]
    if len(parts) == 1 and len(sizes) > 1:
        whole = parts[0].reshape(m, sum(sizes))
        ends = np.cumsum([0, *sizes]).tolist()
        parts = [whole[:, a:b] for a, b in itertools.pairwise(ends)]
    return [part.reshape(y_shape + shape) for part, shape in zip(parts, shapes, strict=True)]
