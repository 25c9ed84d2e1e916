"""JAX's methods as lines to paste: f and x are the user's, and J gets y.shape + leaf.shape.

What is compiled is defined once, and called as often as it takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jacbench.backend.recipes import (
    BLOCKS,
    ONCE,
    Paste,
    Recipe,
    indented,
    of_array,
    to_array,
    written,
)
from jacbench.backend.user_code import Spelling
from jacbench_jax.staged import MAP_BATCH

IMPORTS = {"jax": "import jax", "jnp": "import jax.numpy as jnp"}


def of(
    method: str, spelling: Spelling, chunk_size: int | None, facts: Mapping[str, Any]
) -> list[str] | None:
    """Return the lines for ``method``, or None where it has no plain form."""
    recipe = RECIPES.get(method)
    return recipe and written(recipe, IMPORTS, spelling, chunk_size, facts)


def _compiled(p: Paste, body: list[str]) -> list[str]:
    """Return the definition of ``jacobian(x)`` under ``jit``, and its call."""
    define = [ONCE, "@jax.jit", "def jacobian(x):", *indented(body)]
    return [*define, "", "", f"J = jacobian({p.x})"]


_BASIS = "basis = jnp.eye(y.size, dtype=y.dtype).reshape(-1, *y.shape)"


def _each_leaf(p: Paste, rows: str, shaped: str) -> str:
    """Return ``shaped``, an expression of ``rows``, for each leaf of a tree."""
    return f"jax.tree.map(lambda rows: {shaped}, {rows})" if p.tree else shaped


# --- jacobian ---


def _transform(name: str) -> Recipe:
    return lambda p: [ONCE, f"jacobian = jax.jit(jax.{name}({p.f}))", f"J = jacobian({p.x})"]


def _eager(name: str) -> Recipe:
    return lambda p: [f"J = jax.{name}({p.f})({p.x})"]


def _vjp_loop(p: Paste) -> list[str]:
    lines = [
        f"y, pull = jax.vjp({p.f}, {p.x})",
        _BASIS,
        "rows = [pull(one_hot)[0] for one_hot in basis]",
    ]
    if not p.tree:
        return [*lines, f"J = jnp.stack(rows).reshape(y.shape + {p.x}.shape)"]
    stacked = "rows = jax.tree.map(lambda *leaf: jnp.stack(leaf), *rows)"
    return [*lines, stacked, f"J = {_each_leaf(p, 'rows', _SHAPED)}"]


_SHAPED = "rows.reshape(y.shape + rows.shape[1:])"


def _linearize(p: Paste) -> list[str]:
    body = [
        f"y, push = jax.linearize({p.f}, x)",
        "basis = jnp.eye(x.size, dtype=x.dtype).reshape(-1, *x.shape)",
        "columns = jax.vmap(push)(basis)",
        "return jnp.moveaxis(columns, 0, -1).reshape(y.shape + x.shape)",
    ]
    return _compiled(p, body)


def _map_vjp(p: Paste) -> list[str]:
    size = p.chunk_size or MAP_BATCH
    body = [
        f"y, pull = jax.vjp({p.f}, x)",
        _BASIS,
        f"rows = jax.lax.map(lambda one_hot: pull(one_hot)[0], basis, batch_size={size})",
        f"return {_each_leaf(p, 'rows', _SHAPED)}",
    ]
    return _compiled(p, body)


# --- batch_jacobian: f takes the whole batch ---


def _of_one(p: Paste) -> list[str]:
    batch = f"jnp.expand_dims(sample, {p.axis})"
    if p.tree:
        batch = f"jax.tree.map(lambda leaf: jnp.expand_dims(leaf, {p.axis}), sample)"
    return ["def one(sample):", f"    return {p.f}({batch})[0]", "", ""]


def _vmapped(name: str) -> Recipe:
    def lines(p: Paste) -> list[str] | None:
        if not p.alone:
            return None
        mapped = f"jax.jit(jax.vmap(jax.{name}(one), in_axes={p.axis}))"
        return [*_of_one(p), ONCE, f"jacobian = {mapped}", f"J = jacobian({p.x})"]

    return lines


def _sample_loop(p: Paste) -> list[str] | None:
    if not p.alone:
        return None
    size = "" if p.chunk_size is None else f", batch_size={p.chunk_size}"
    body = [
        f"samples = jnp.moveaxis(x, {p.axis}, 0)",
        f"return jax.lax.map(jax.jacrev(one), samples{size})",
    ]
    return [*_of_one(p), *_compiled(p, body)]


def _component_rows(p: Paste) -> list[str]:
    return [
        f"y, pull = jax.vjp({p.f}, x)",
        "basis = jnp.eye(y[0].size, dtype=y.dtype).reshape(-1, 1, *y.shape[1:])",
        "rows = jax.vmap(lambda one: pull(jnp.broadcast_to(one, y.shape))[0])(basis)",
        f"rows = jnp.moveaxis(rows, {p.after_rows}, 0)",
    ]


def _sum_trick(p: Paste) -> list[str]:
    return _compiled(p, [*_component_rows(p), "return rows.reshape(y.shape + rows.shape[2:])"])


# --- the blocks, and zeros ---


def _per_sample(p: Paste) -> list[str]:
    body = [
        *(_pushed_blocks(p) if p.way == "jvp" else _pulled_blocks(p)),
        BLOCKS,
        "samples = jnp.arange(len(y))",
        "J = jnp.zeros((len(y), *blocks.shape), y.dtype).at[samples, samples].set(blocks)",
        f"return jnp.moveaxis(J, 1, {p.after_y})",
    ]
    return _compiled(p, body)


def _pulled_blocks(p: Paste) -> list[str]:
    blocks = "blocks = rows.reshape(y.shape + rows.shape[2:])"
    return [*_component_rows(p), blocks]


def _pushed_blocks(p: Paste) -> list[str]:
    one = f"jnp.broadcast_to(jnp.expand_dims(t, {p.axis}), x.shape)"
    return [
        f"y, push = jax.linearize({p.f}, x)",
        f"sample = jnp.take(x, 0, axis={p.axis})",
        "tangents = jnp.eye(sample.size, dtype=x.dtype).reshape(-1, *sample.shape)",
        f"columns = jax.vmap(lambda t: push({one}))(tangents)",
        "blocks = jnp.moveaxis(columns, 0, -1).reshape(y.shape + sample.shape)",
    ]


RECIPES: dict[str, Recipe] = {
    "jax.jacrev": _transform("jacrev"),
    "jax.jacfwd": _transform("jacfwd"),
    "jax.jacrev-eager": _eager("jacrev"),
    "jax.jacfwd-eager": _eager("jacfwd"),
    "jax.vjp-loop": to_array(_vjp_loop),
    "jax.linearize": of_array(_linearize),
    "jax.map-vjp": to_array(_map_vjp),
    "jax.vmap-jacrev": to_array(_vmapped("jacrev")),
    "jax.vmap-jacfwd": to_array(_vmapped("jacfwd")),
    "jax.sum-trick": of_array(_sum_trick),
    "jax.sample-loop": of_array(_sample_loop),
    "jax.per-sample": of_array(_per_sample),
}
