"""The Jacobian of each sample by itself, compiled ahead of time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jacbench.backend import Chunking, Target
from jacbench.core import tree
from jacbench.structure.sample_methods import SumTrickMethod
from jacbench_jax.method import beside, output_dtype
from jacbench_jax.staged import Staged


def _of_one(target: Target) -> Callable[..., Any]:
    """Return the function of one sample: the target's, called on a batch of one."""

    def function(*arguments: Any) -> Any:
        batches = [
            argument
            if axis is None
            else jax.tree.map(lambda leaf, axis=axis: jnp.expand_dims(leaf, axis), argument)
            for argument, axis in zip(arguments, target.in_axes, strict=True)
        ]
        return target.function(*batches)[0]

    return function


class VmapTransform(Staged):
    """``jax.jacrev`` or ``jax.jacfwd`` of one sample, mapped over all."""

    def __init__(self, name: str, transform: Callable[..., Any]) -> None:
        super().__init__(name)
        self.transform = transform

    def to_compile(self, target: Target) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Map over the axes that run over samples."""
        jacobian = self.transform(_of_one(target))
        return jax.vmap(jacobian, in_axes=target.in_axes), target.constants


class SumTrick(SumTrickMethod, Staged):
    """The gradient of one output summed over samples holds each sample's own, side by side.

    True as long as no sample sees another: then the sum's other terms do not depend on it.
    """

    def to_compile(self, target: Target) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Pull back ones at one output of every sample, mapped over a sample's outputs."""
        axis = self.batch_axis(target)
        outputs = target.y_shape[1:]
        like = tree.first(target.x)
        size = math.prod(outputs)
        basis = jnp.eye(size, dtype=output_dtype(target)).reshape(size, 1, *outputs)

        def by_sample(leaf: Any) -> Any:
            rows = jnp.moveaxis(leaf, 1 + axis % (leaf.ndim - 1), 0)
            return rows.reshape(*target.y_shape, *rows.shape[2:])

        def blocks(x: Any, basis: Any, *constants: Any) -> Any:
            y, pull = jax.vjp(lambda x: target.function(x, *constants), x)
            rows = jax.vmap(lambda one: pull(jnp.broadcast_to(one, y.shape))[0])(basis)
            return jax.tree.map(by_sample, rows)

        return blocks, (beside(basis, like), *target.constants)


class SampleLoop(Staged):
    """``jax.lax.map`` of ``jax.jacrev`` over samples: one at a time, or as many as asked for."""

    chunking: Chunking = "chunked"

    def to_compile(self, target: Target) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Bring the samples to the front and map over them."""
        jacobian, in_axes = jax.jacrev(_of_one(target)), target.in_axes

        def blocks(*arguments: Any) -> Any:
            batched = {
                i: jax.tree.map(lambda leaf, axis=axis: jnp.moveaxis(leaf, axis, 0), arguments[i])
                for i, axis in enumerate(in_axes)
                if axis is not None
            }

            def of_sample(sample: dict[int, Any]) -> Any:
                return jacobian(*(sample.get(i, whole) for i, whole in enumerate(arguments)))

            return jax.lax.map(of_sample, batched, batch_size=target.chunk_size)

        return blocks, target.constants


METHODS = (
    VmapTransform("jax.vmap-jacrev", jax.jacrev),
    VmapTransform("jax.vmap-jacfwd", jax.jacfwd),
    SumTrick("jax.sum-trick"),
    SampleLoop("jax.sample-loop"),
)
