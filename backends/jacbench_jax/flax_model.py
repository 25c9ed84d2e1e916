"""Flax NNX modules as functions of their arrays.

Reference: https://flax.readthedocs.io/en/latest/guides/filters_guide.html
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from jacbench.backend.adapted import Training
from jacbench.core import tree
from jacbench_jax.model import Leaves, Parts, Tap, tapped


def parts(model: Any) -> Parts:
    """Split ``model`` into its floating ``nnx.Param`` and every other array.

    Each call merges a copy, which keeps what a call changes (running statistics, the count of a
    random stream) to itself. Train and eval mode are those the model is in.
    """
    graph, *states = nnx.split(model, nnx.Param, ...)
    first, second = (Leaves(type(model).__name__, state, _dotted) for state in states)
    parameters = first.floating()
    others = {key: array for key, array in first.arrays.items() if key not in parameters}

    def forward(
        arrays: Mapping[str, Any],
        inputs: tuple[Any, ...],
        keywords: Mapping[str, Any],
        tap: Tap | None,
    ) -> Any:
        merged = nnx.merge(graph, first.rebuilt(arrays), second.rebuilt(arrays), copy=True)
        _compute_in(_dtype(arrays, (inputs, dict(keywords))), merged)
        if tap is not None:
            _tap_outputs(merged, tap)
        return merged(*inputs, **keywords)

    return Parts(
        parameters=parameters,
        state={**others, **second.arrays},
        forward=forward,
        training=tuple(_in_train_mode(model)),
    )


def _in_train_mode(model: Any) -> Iterator[Training]:
    """Name the layers that eval mode would make another function of."""
    for path, layer in nnx.iter_modules(model):
        by_batch = isinstance(layer, nnx.BatchNorm) and not layer.use_running_average
        draws = isinstance(layer, nnx.Dropout) and layer.rate > 0 and not layer.deterministic
        if by_batch or draws:
            name = ".".join(map(str, path))
            yield Training(name=name, kind=type(layer).__name__, random=draws)


def _dotted(path: tuple[Any, ...]) -> str:
    """Return ``layers.0.kernel``: a variable's content is an attribute of it, left out."""
    names = [key for key in path if getattr(key, "name", None) != "value"]
    return jax.tree_util.keystr(tuple(names), simple=True, separator=".")


def _dtype(arrays: Mapping[str, Any], inputs: Any) -> Any:
    """Return the dtype of the cell: that of all floats at hand."""
    held = [a.dtype for a in (*arrays.values(), *tree.leaves(inputs)) if hasattr(a, "dtype")]
    floats = [dtype for dtype in held if jnp.issubdtype(dtype, jnp.floating)]
    return jnp.result_type(*floats) if floats else None


def _compute_in(dtype: Any, merged: Any) -> None:
    """Let every submodule compute in ``dtype`` where it is bound to another one.

    ``nnx.Embed`` takes the dtype of its table for good when it is built, ``nnx.SimpleCell`` is
    float32 unless told otherwise, and recurrent cells start from zeros of ``param_dtype``: in
    float64 they would round without a word.
    """
    for _, module in nnx.iter_modules(merged):
        for name in ("dtype", "param_dtype"):
            bound = vars(module).get(name)
            if dtype is not None and bound is not None and jnp.issubdtype(bound, jnp.floating):
                setattr(module, name, dtype)


def _tap_outputs(merged: Any, tap: Tap) -> None:
    """Pass the output of each submodule of a merged copy through ``tap``.

    The instance's class becomes one that differs in ``__call__`` alone, so that containers,
    attributes and ``isinstance`` stay as they are.
    """
    for path, module in list(nnx.iter_modules(merged)):
        if path and callable(module):
            dotted = ".".join(map(str, path))
            object.__setattr__(
                module, "_jacbench_tap", functools.partial(tapped, name=dotted, tap=tap)
            )
            kind: Any = type(module)
            object.__setattr__(module, "__class__", _tapping(kind))


@functools.cache
def _tapping(kind: type) -> type:
    def call(self: Any, *arguments: Any, **named: Any) -> Any:
        return vars(self)["_jacbench_tap"](kind.__call__(self, *arguments, **named))

    is_pytree = getattr(kind, "_pytree__is_pytree", True)
    return type(kind)(kind.__name__, (kind,), {"__call__": call}, pytree=is_pytree)
