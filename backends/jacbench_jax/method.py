"""What JAX's methods share: names, one-hot bases and synchronisation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from jacbench.backend import Chunking, Method, MethodInfo, Target
from jacbench.core import layouts, tree
from jacbench_jax import descriptor

if TYPE_CHECKING:
    from jacbench.core.layouts import Layout


UNTRACEABLE = (
    jax.errors.ConcretizationTypeError,
    jax.errors.NonConcreteBooleanIndexError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
)
"""What JAX raises where a function asks a traced array for its numbers."""


def info(name: str) -> MethodInfo:
    """Return what the descriptor says of the method ``name``."""
    return next(info for info in descriptor.methods if info.name == name)


class JaxMethod(Method):
    """A method whose result is laid out like that of ``jax.jacrev`` unless it says so."""

    chunking: Chunking = "whole"

    def __init__(self, name: str) -> None:
        self.info = info(name)

    def layout(self, target: Target) -> Layout:
        """Return y.shape + leaf.shape for each leaf."""
        del target
        return layouts.OUTPUT_BY_INPUT


def output_basis(target: Target, dtype: Any = None) -> jax.Array:
    """Return the m one-hot vectors of the output, of shape (m,) + y.shape, on x's device.

    NumPy makes them: ``jnp.eye`` alone compiles five functions of its own. ``dtype`` None is that
    of y, for which the function is traced.
    """
    m = math.prod(target.y_shape)
    leaf = tree.leaves(target.x)[0]
    dtype = output_dtype(target) if dtype is None else dtype
    basis = np.eye(m, dtype=dtype).reshape(m, *target.y_shape)
    return beside(basis, leaf)


def beside(array: Any, leaf: Any) -> jax.Array:
    """Return a NumPy array on the device of ``leaf``, which a tracer does not have."""
    device = None if isinstance(leaf, jax.core.Tracer) else leaf.device
    placed: jax.Array = jax.device_put(array, device)
    return placed


def output_dtype(target: Target) -> Any:
    """Return the dtype of y, which a cotangent has to have; it may be another than that of x."""
    try:
        value = jax.eval_shape(target.function, target.x, *target.constants)
    except Exception:  # noqa: BLE001 - a function that runs on numbers alone
        return tree.first(target.x).dtype
    return (value[0] if target.has_aux else value).dtype


def input_basis(target: Target) -> Any:
    """Return the n one-hot trees of the input: each leaf of shape (n,) + leaf.shape."""
    leaves = tree.leaves(target.x)
    sizes = [leaf.size for leaf in leaves]
    eye = np.eye(sum(sizes))
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes) - 1)]
    columns = np.split(eye, ends, axis=1)
    one_hot = [
        beside(c.reshape(-1, *leaf.shape).astype(leaf.dtype), leaf)
        for c, leaf in zip(columns, leaves, strict=True)
    ]
    return tree.unflatten(target.x, one_hot)


def first_ready(compiled: jax.stages.Compiled, rest: tuple[Any, ...]) -> Callable[..., Any]:
    """Return ``x -> compiled(x, rest)`` that returns when the result, a tree, is computed.

    All arrays of one executable become ready together, so that waiting for the first leaf is
    enough; ``jax.block_until_ready`` on a tree costs 6 to 7 % of a 20 µs call, and looking for the
    leaf in every call 3 to 4 %, hence the cases.
    """
    match _path_to_first_leaf(_result_of(compiled)):
        case []:
            return lambda x: compiled(x, rest).block_until_ready()
        case [outer]:

            def call(x: Any) -> Any:
                result = compiled(x, rest)
                result[outer].block_until_ready()
                return result

        case [outer, inner]:

            def call(x: Any) -> Any:
                result = compiled(x, rest)
                result[outer][inner].block_until_ready()
                return result

        case path:

            def call(x: Any) -> Any:
                leaf = result = compiled(x, rest)
                for key in path:
                    leaf = leaf[key]
                leaf.block_until_ready()
                return result

    return call


def _result_of(compiled: jax.stages.Compiled) -> Any:
    """Return a tree of the structure of what ``compiled`` returns."""
    structure: Any = compiled.out_tree
    return jax.tree.unflatten(structure, range(structure.num_leaves))


def _path_to_first_leaf(like: Any) -> list[Any]:
    """Return the keys that lead to a leaf, past containers that hold none."""
    if tree.is_leaf(like):
        return []
    children = like.items() if isinstance(like, dict) else enumerate(like)
    for key, child in children:
        if tree.leaves(child):
            return [key, *_path_to_first_leaf(child)]
    return []
