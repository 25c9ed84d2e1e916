"""The whole Jacobian of a function that treats samples apart: its diagonal blocks at once.

Ones at one output component of every sample, pulled back, give that component's gradient of every
sample: m / B passes in place of m. Likewise forward, n / B tangents in place of n. Unlike a map
over samples this calls the function with the batch that it was written for.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jacbench import tree
from jacbench.backend import Prepared, Target
from jacbench.structure import samples
from jacbench.structure.sample_methods import PerSampleMethod
from jacbench_jax.method import JaxMethod
from jacbench_jax.staged import Staged


class PerSample(PerSampleMethod, JaxMethod):
    """The blocks in the mode with fewer passes, among zeros: one executable."""

    def evaluated(self, target: Target) -> Callable[[Any], Any]:
        """Return the function compiled: samples are moved a few dozen times."""
        compiled = jax.jit(target.function)
        return lambda x: compiled(x, *target.constants)

    def prepare(self, target: Target) -> Prepared:
        """Make sure that samples are apart; compile, in the other mode where one has no rule."""
        axis = self.batch_axis(target)
        k = math.prod(target.y_shape[1:])
        p = sum(leaf.size for leaf in tree.leaves(target.x)) // target.y_shape[0]
        modes = [_Pushed, _Pulled] if p <= k else [_Pulled, _Pushed]
        failures: list[Exception] = []
        for mode in modes:
            try:
                done = mode(self.info.name, axis).prepare(target)
            except Exception as exc:  # noqa: BLE001 - no reverse mode through a while_loop, ...
                failures.append(exc)
                continue
            notes = {**done.notes, "way": mode.way, "samples": target.y_shape[0]}
            return dataclasses.replace(done, notes=notes)
        raise failures[0]


class _Mode(Staged):
    way = ""

    def __init__(self, name: str, axis: int) -> None:
        super().__init__(name)
        self.axis = axis


class _Pulled(_Mode):
    """One pull-back per output component of a sample, mapped."""

    way = "vjp"

    def to_compile(self, target: Target) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Pull back ones at one output component of every sample."""
        shapes, (batch, *outputs) = _shapes(target), target.y_shape
        k, like = math.prod(outputs), tree.first(target.x)
        own = [axis for _, _, axis in samples.parts(shapes, self.axis)]
        among_zeros = _among_zeros(target, self.axis)
        basis = jnp.eye(k, dtype=like.dtype).reshape(k, 1, *outputs)

        def whole(x: Any, basis: Any, *constants: Any) -> Any:
            y, pull = jax.vjp(lambda x: target.function(x, *constants), x)
            rows = jax.vmap(lambda one: pull(jnp.broadcast_to(one, y.shape))[0])(basis)
            blocks = [
                jnp.moveaxis(leaf, 1 + axis, 0).reshape(batch, k, -1)
                for leaf, axis in zip(tree.leaves(rows), own, strict=True)
            ]
            return among_zeros(jnp.concatenate(blocks, axis=2))

        return whole, (jax.device_put(basis, like.device), *target.constants)


class _Pushed(_Mode):
    """One push-forward per input component of a sample, mapped."""

    way = "jvp"

    def to_compile(self, target: Target) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Push forward ones at one input component of every sample."""
        shapes, (batch, *outputs) = _shapes(target), target.y_shape
        k, like = math.prod(outputs), tree.first(target.x)
        places = list(samples.parts(shapes, self.axis))
        ends = np.cumsum([math.prod(shape) // batch for shape in shapes])
        among_zeros = _among_zeros(target, self.axis)
        basis = jax.device_put(np.eye(ends[-1], dtype=like.dtype), like.device)

        def whole(x: Any, basis: Any, *constants: Any) -> Any:
            def push(one: Any) -> Any:
                pieces = zip(jnp.split(one, ends[:-1]), places, strict=True)
                tangents = [
                    jnp.broadcast_to(piece.reshape(*shape[:axis], 1, *shape[axis + 1 :]), shape)
                    for piece, (_, shape, axis) in pieces
                ]
                tangent = tree.unflatten(x, tangents)
                return jax.jvp(lambda x: target.function(x, *constants), (x,), (tangent,))[1]

            columns = jax.vmap(push)(basis).reshape(-1, batch, k)
            return among_zeros(columns.transpose(1, 2, 0))

        return whole, (basis, *target.constants)


def _shapes(target: Target) -> list[tuple[int, ...]]:
    return [leaf.shape for leaf in tree.leaves(target.x)]


def _among_zeros(target: Target, axis: int) -> Callable[[Any], Any]:
    """Return what makes (m, n) of the blocks (B, m / B, n / B), columns in the order of x.

    By a scatter: XLA takes several times as long to choose between a block and 0 everywhere.
    (A product with 0 would spread a NaN of one sample over all.)
    """
    shapes, batch = _shapes(target), target.y_shape[0]
    k, n = math.prod(target.y_shape[1:]), sum(map(math.prod, shapes))
    rows = np.repeat(np.arange(batch * k, dtype=np.int32), n // batch)
    own = np.argsort(samples.owners(shapes, axis), kind="stable").astype(np.int32)
    columns = np.repeat(own.reshape(batch, 1, -1), k, axis=1).reshape(-1)

    def among_zeros(blocks: Any) -> Any:
        zeros = jnp.zeros((batch * k, n), blocks.dtype)
        places = zeros.at[jnp.asarray(rows), jnp.asarray(columns)]
        return places.set(
            blocks.reshape(-1),
            unique_indices=True,
            indices_are_sorted=True,
            mode="promise_in_bounds",
        )

    return among_zeros


METHODS = (PerSample("jax.per-sample"),)
