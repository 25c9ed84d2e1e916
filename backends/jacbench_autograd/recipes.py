"""HIPS autograd's methods as lines to paste: f and x are the user's, J gets y.shape + x.shape.

A tree x has no short form in any of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jacbench.backend.recipes import BLOCKS, Paste, Recipe, indented, of_array, written
from jacbench.backend.user_code import Spelling

# by its whole name: np is autograd.numpy in the code of most of its users
IMPORTS = {"autograd": "import autograd", "numpy": "import numpy"}


def of(
    method: str, spelling: Spelling, chunk_size: int | None, facts: Mapping[str, Any]
) -> list[str] | None:
    """Return the lines for ``method``, or None where it has no plain form."""
    recipe = RECIPES.get(method)
    return recipe and written(recipe, IMPORTS, spelling, chunk_size, facts)


# --- jacobian ---


def _jacobian(p: Paste) -> list[str]:
    return [f"J = autograd.jacobian({p.f})({p.x})"]


_BASIS = "basis = numpy.eye(y.size, dtype=y.dtype).reshape(-1, *y.shape)"


def _vjp_loop(p: Paste) -> list[str]:
    return [
        f"pull, y = autograd.make_vjp({p.f})({p.x})",
        _BASIS,
        "rows = [pull(one_hot) for one_hot in basis]",
        f"J = numpy.stack(rows).reshape(y.shape + {p.x}.shape)",
    ]


def _jvp(p: Paste) -> list[str]:
    return [
        f"push = autograd.make_jvp({p.f})({p.x})",
        f"basis = numpy.eye({p.x}.size, dtype={p.x}.dtype).reshape(-1, *{p.x}.shape)",
        "columns = numpy.stack([push(one_hot)[1] for one_hot in basis], axis=-1)",
        f"J = columns.reshape(columns.shape[:-1] + {p.x}.shape)",
    ]


# --- batch_jacobian: f takes the whole batch ---


def _component_rows(p: Paste) -> list[str]:
    return [
        f"pull, y = autograd.make_vjp({p.f})({p.x})",
        "basis = numpy.eye(y[0].size, dtype=y.dtype).reshape(-1, 1, *y.shape[1:])",
        "rows = numpy.stack([pull(numpy.repeat(one, len(y), axis=0)) for one in basis])",
        f"rows = numpy.moveaxis(rows, {p.after_rows}, 0)",
    ]


def _sum_trick(p: Paste) -> list[str]:
    return [*_component_rows(p), "J = rows.reshape(y.shape + rows.shape[2:])"]


def _sample_loop(p: Paste) -> list[str] | None:
    if not p.alone:
        return None
    of_sample = [
        f"sample = numpy.take({p.x}, [b], axis={p.axis})",
        f"pull, y = autograd.make_vjp({p.f})(sample)",
        _BASIS,
        f"rows = [numpy.squeeze(pull(one_hot), axis={p.axis}) for one_hot in basis]",
        "blocks.append(numpy.stack(rows).reshape(y.shape[1:] + rows[0].shape))",
    ]
    loop = [f"for b in range({p.x}.shape[{p.axis}]):", *indented(of_sample)]
    return ["blocks = []", *loop, "J = numpy.stack(blocks)"]


# --- the blocks, and zeros ---


def _per_sample(p: Paste) -> list[str]:
    return [
        *(_pushed_blocks(p) if p.way == "jvp" else _pulled_blocks(p)),
        BLOCKS,
        "samples = numpy.arange(len(y))",
        f"J = numpy.zeros(y.shape + {p.x}.shape, dtype=y.dtype)",
        f"numpy.moveaxis(J, {p.after_y}, 1)[samples, samples] = blocks",
    ]


def _pulled_blocks(p: Paste) -> list[str]:
    blocks = "blocks = rows.reshape(y.shape + rows.shape[2:])"
    return [*_component_rows(p), blocks]


def _pushed_blocks(p: Paste) -> list[str]:
    return [
        f"sample = numpy.take({p.x}, 0, axis={p.axis})",
        f"basis = numpy.eye(sample.size, dtype={p.x}.dtype).reshape(-1, *sample.shape)",
        f"tangents = numpy.expand_dims(basis, {p.after_rows}) * numpy.ones_like({p.x})",
        f"push = autograd.make_jvp({p.f})({p.x})",
        "columns = numpy.stack([push(t)[1] for t in tangents], axis=-1)",
        "y = columns[..., 0]",
        "blocks = columns.reshape(y.shape + sample.shape)",
    ]


RECIPES: dict[str, Recipe] = {
    "autograd.jacobian": of_array(_jacobian),
    "autograd.vjp-loop": of_array(_vjp_loop),
    "autograd.jvp": of_array(_jvp),
    "autograd.sample-loop": of_array(_sample_loop),
    "autograd.sum-trick": of_array(_sum_trick),
    "autograd.per-sample": of_array(_per_sample),
}
