"""The whole Jacobian of a function that treats samples apart: its diagonal blocks at once.

Ones at one output component of every sample, pulled back, give that component's gradient of every
sample: m / B passes in place of m. Likewise forward, n / B tangents in place of n. Unlike a map
over samples this calls the function with the batch that it was written for.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jacbench.backend import Target
from jacbench.core import tree
from jacbench.core.pattern import Pattern
from jacbench.structure import samples
from jacbench.structure.guard import Structured
from jacbench.structure.pattern_check import Products
from jacbench.structure.sample_methods import Apart, PerSampleMethod
from jacbench_jax import coloured, dependence, guarded
from jacbench_jax.method import JaxMethod, output_dtype


class PerSample(PerSampleMethod, JaxMethod):
    """The blocks in the mode with fewer passes, among zeros: one executable."""

    def evaluated(self, target: Target) -> Callable[[Any], Any]:
        """Return the function compiled: samples are moved a few dozen times."""
        function = target.function
        compiled = jax.jit(lambda x, constants: function(x, *constants))
        return lambda x: compiled(x, target.constants)

    def structured(self, target: Target, before: Pattern | None = None) -> Structured:
        """Make sure that samples are apart; compile, in the other mode where one has no rule."""
        del before
        found = self.samples(target)
        k = math.prod(target.y_shape[1:])
        p = sum(leaf.size for leaf in tree.leaves(target.x)) // target.y_shape[0]
        modes = [_pushed, _pulled] if p <= k else [_pulled, _pushed]
        failures: list[Exception] = []
        for mode in modes:
            try:
                return mode(target, found)
            except Exception as exc:  # noqa: BLE001 - no reverse mode through a while_loop, ...
                failures.append(exc)
        raise failures[0]

    def traced(self, target: Target) -> Pattern:
        """Return where J may be other than zero, by what is recorded of the function."""
        return dependence.pattern(target)

    def products_of(self, target: Target) -> Callable[[Any], Products]:
        """Return from x to products by the library, forward and back."""
        return coloured.products_of(target)


def _pulled(target: Target, found: Apart) -> Structured:
    """One pull-back per output component of a sample, mapped."""
    shapes, (batch, *outputs) = _shapes(target), target.y_shape
    k, like = math.prod(outputs), tree.first(target.x)
    own = [axis for _, _, axis in samples.parts(shapes, found.axis)]
    among_zeros = _among_zeros(target, found.axis)
    basis = np.eye(k, dtype=output_dtype(target)).reshape(k, 1, *outputs)
    basis = jax.device_put(basis, like.device)

    def whole(x: Any, rest: tuple[Any, ...]) -> tuple[Any, Any]:
        basis, constants = rest
        y, pull = jax.vjp(lambda x: target.function(x, *constants), x)
        rows = jax.vmap(lambda one: pull(jnp.broadcast_to(one, y.shape))[0])(basis)
        leaves = [
            jnp.moveaxis(leaf, 1 + axis, 0).reshape(batch, k, -1)
            for leaf, axis in zip(tree.leaves(rows), own, strict=True)
        ]
        blocks = jnp.concatenate(leaves, axis=2)
        return among_zeros(blocks), blocks

    def apart(x: Any, blocks: Any, rest: tuple[Any, ...], u: Any) -> tuple[Any, Any]:
        _, constants = rest
        _, pull = jax.vjp(lambda x: target.function(x, *constants), x)
        pulled = zip(tree.leaves(pull(u)[0]), own, strict=True)
        one = [jnp.moveaxis(leaf, axis, 0).reshape(batch, -1) for leaf, axis in pulled]
        asked = jnp.concatenate(one, axis=1)
        terms = blocks * u.reshape(batch, k, 1)
        return jnp.sum(terms, axis=1) - asked, jnp.sum(jnp.abs(terms), axis=1) + jnp.abs(asked)

    made = Structured(notes={"way": "vjp", **found.notes}, everywhere=found.everywhere, side="rows")
    return guarded.compiled(
        target,
        made,
        whole,
        (basis, target.constants),
        apart,
        functools.partial(coloured.drawn, target, "rows"),
    )


def _pushed(target: Target, found: Apart) -> Structured:
    """One push-forward per input component of a sample, mapped."""
    shapes, (batch, *outputs) = _shapes(target), target.y_shape
    k, like = math.prod(outputs), tree.first(target.x)
    places = list(samples.parts(shapes, found.axis))
    ends = np.cumsum([math.prod(shape) // batch for shape in shapes])
    among_zeros = _among_zeros(target, found.axis)
    basis = jax.device_put(np.eye(ends[-1], dtype=like.dtype), like.device)

    def whole(x: Any, rest: tuple[Any, ...]) -> tuple[Any, Any]:
        basis, constants = rest

        def push(one: Any) -> Any:
            pieces = zip(jnp.split(one, ends[:-1]), places, strict=True)
            tangents = [
                jnp.broadcast_to(piece.reshape(*shape[:axis], 1, *shape[axis + 1 :]), shape)
                for piece, (_, shape, axis) in pieces
            ]
            tangent = tree.unflatten(x, tangents)
            return jax.jvp(lambda x: target.function(x, *constants), (x,), (tangent,))[1]

        columns = jax.vmap(push)(basis).reshape(-1, batch, k)
        blocks = columns.transpose(1, 2, 0)
        return among_zeros(blocks), blocks

    def apart(x: Any, blocks: Any, rest: tuple[Any, ...], t: Any) -> tuple[Any, Any]:
        _, constants = rest
        one = jax.jvp(lambda x: target.function(x, *constants), (x,), (t,))[1].reshape(batch, k)
        pieces = [
            jnp.moveaxis(leaf, axis, 0).reshape(batch, -1)
            for leaf, (_, _, axis) in zip(tree.leaves(t), places, strict=True)
        ]
        along = jnp.concatenate(pieces, axis=1)
        terms = blocks * along[:, None, :]
        return jnp.sum(terms, axis=2) - one, jnp.sum(jnp.abs(terms), axis=2) + jnp.abs(one)

    made = Structured(
        notes={"way": "jvp", **found.notes}, everywhere=found.everywhere, side="columns"
    )
    return guarded.compiled(
        target,
        made,
        whole,
        (basis, target.constants),
        apart,
        functools.partial(coloured.drawn, target, "columns"),
    )


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
