"""PyTorch's methods as lines to paste: f and x are the user's, and J gets y.shape + x.shape.

A tree x is left to ``torch.func`` where that takes one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jacbench.backend.recipes import BLOCKS, ONCE, Paste, Recipe, indented, of_array, written
from jacbench.backend.user_code import Spelling

IMPORTS = {"torch": "import torch"}


def of(
    method: str, spelling: Spelling, chunk_size: int | None, facts: Mapping[str, Any]
) -> list[str] | None:
    """Return the lines for ``method``, or None where it has no plain form."""
    recipe = RECIPES.get(method)
    return recipe and written(recipe, IMPORTS, spelling, chunk_size, facts)


# --- jacobian ---


def _functional(options: str) -> Recipe:
    return of_array(
        lambda p: ["J = torch.autograd.functional.jacobian(", f"    {p.f}, {p.x}{options}", ")"]
    )


def _graph(p: Paste) -> list[str]:
    lines = [f"leaf = {p.x}.detach().requires_grad_()", f"y = {p.f}(leaf)"]
    # torch refuses to differentiate a y that has no graph, as one has that is constant
    return [*lines, "y = y + leaf.flatten()[:0].sum()  # 0, and a graph"] if p.zero else lines


_BASIS = "basis = torch.eye(y.numel(), dtype=y.dtype, device=y.device).reshape(-1, *y.shape)"
_ROWS = "J = torch.stack(rows).reshape(y.shape + leaf.shape)"


def _backward_loop(p: Paste) -> list[str]:
    return [
        *(*_graph(p), _BASIS, "rows = []", "for one_hot in basis:"),
        "    y.backward(one_hot, retain_graph=True, inputs=[leaf])",
        "    rows.append(leaf.grad)",
        "    leaf.grad = None",
        _ROWS,
    ]


def _grad_loop(p: Paste) -> list[str]:
    return [
        *(*_graph(p), _BASIS, "rows = ["),
        "    torch.autograd.grad(y, leaf, one_hot, retain_graph=True)[0] for one_hot in basis",
        *("]", _ROWS),
    ]


def _pulled_at_once(p: Paste) -> list[str]:
    """Pull the whole basis back, or chunks of it."""
    if p.chunk_size is None:
        return ["(rows,) = torch.autograd.grad(y, leaf, basis, is_grads_batched=True)"]
    return [
        "rows = [",
        "    torch.autograd.grad(y, leaf, chunk, retain_graph=True, is_grads_batched=True)[0]",
        f"    for chunk in basis.split({p.chunk_size})",
        "]",
        "rows = torch.cat(rows)",
    ]


def _grad_batched(p: Paste) -> list[str]:
    return [*_graph(p), _BASIS, *_pulled_at_once(p), "J = rows.reshape(y.shape + leaf.shape)"]


def _vmap_vjp(p: Paste) -> list[str]:
    return [
        f"y, pull = torch.func.vjp({p.f}, {p.x})",
        _BASIS,
        f"(rows,) = torch.func.vmap(pull{p.chunked})(basis)",
        f"J = rows.reshape(y.shape + {p.x}.shape)",
    ]


def _columns(p: Paste, push: str) -> list[str]:
    return [
        f"basis = torch.eye({p.x}.numel(), dtype={p.x}.dtype, device={p.x}.device)",
        f"columns = torch.func.vmap({push}{p.chunked})(basis.reshape(-1, *{p.x}.shape))",
        f"J = columns.movedim(0, -1).reshape(columns.shape[1:] + {p.x}.shape)",
    ]


def _vmap_jvp(p: Paste) -> list[str]:
    define = ["def push(t):", f"    return torch.func.jvp({p.f}, ({p.x},), (t,))[1]", "", ""]
    return [*define, *_columns(p, "push")]


def _linearize(p: Paste) -> list[str]:
    return [f"y, push = torch.func.linearize({p.f}, {p.x})", *_columns(p, "push")]


def _transform(name: str, *, chunked: bool) -> Recipe:
    return lambda p: [f"J = torch.func.{name}({p.f}{p.chunked if chunked else ''})({p.x})"]


def _compiled(name: str, *, chunked: bool) -> Recipe:
    return lambda p: [
        ONCE,
        "@torch.compile(dynamic=False)",
        "def jacobian(x):",
        f"    return torch.func.{name}({p.f}{p.chunked if chunked else ''})(x)",
        *("", "", f"J = jacobian({p.x})"),
    ]


# --- batch_jacobian: f takes the whole batch ---


def _vmapped(name: str) -> Recipe:
    def lines(p: Paste) -> list[str] | None:
        if not p.alone:
            return None
        return [
            "def jacobian(sample):",
            f"    return torch.func.{name}(lambda one: {p.f}(one.unsqueeze({p.axis}))[0])(sample)",
            *("", ""),
            f"J = torch.func.vmap(jacobian, in_dims={p.axis}{p.chunked})({p.x})",
        ]

    return of_array(lines)


_COMPONENTS = (
    "basis = torch.eye(y[0].numel(), dtype=y.dtype, device=y.device)",
    "basis = basis.reshape(-1, 1, *y.shape[1:]).expand(-1, *y.shape)",
)


def _component_loop(p: Paste) -> list[str]:
    return [
        *(*_graph(p), *_COMPONENTS, "rows = ["),
        "    torch.autograd.grad(y, leaf, one, retain_graph=True)[0] for one in basis",
        *("]", f"rows = torch.stack(rows).movedim({p.after_rows}, 0)"),
    ]


def _sum_trick(p: Paste) -> list[str]:
    return [*_component_loop(p), "J = rows.reshape(y.shape + rows.shape[2:])"]


def _sample_loop(p: Paste) -> list[str] | None:
    if not p.alone:
        return None
    of_sample = [
        "leaf = sample.detach().requires_grad_()",
        f"y = {p.f}(leaf)[0]",
        *(_BASIS, "rows = ["),
        "    torch.autograd.grad(y, leaf, one_hot, retain_graph=True)[0] for one_hot in basis",
        "]",
        f"block = torch.stack(rows).squeeze({p.after_rows})",
        "blocks.append(block.reshape(y.shape + block.shape[1:]))",
    ]
    loop = [f"for sample in {p.x}.split(1, dim={p.axis}):", *indented(of_sample)]
    return ["blocks = []", *loop, "J = torch.stack(blocks)"]


# --- the blocks, and zeros ---


def _per_sample(p: Paste) -> list[str]:
    return [
        *(_pushed_blocks(p) if p.way == "jvp" else _pulled_blocks(p)),
        BLOCKS,
        "samples = torch.arange(len(y))",
        f"J = {p.x}.new_zeros(y.shape + {p.x}.shape)",
        f"J.movedim({p.after_y}, 1)[samples, samples] = blocks",
    ]


def _pulled_blocks(p: Paste) -> list[str]:
    blocks = "blocks = rows.reshape(y.shape + rows.shape[2:])"
    if p.way != "grad-batched":
        return [*_component_loop(p), blocks]
    moved = f"rows = rows.movedim({p.after_rows}, 0)"
    return [*_graph(p), *_COMPONENTS, *_pulled_at_once(p), moved, blocks]


def _pushed_blocks(p: Paste) -> list[str]:
    return [
        "def push(t):",
        f"    return torch.func.jvp({p.f}, ({p.x},), (t.expand_as({p.x}),))[1]",
        *("", ""),
        f"sample = {p.x}.select({p.axis}, 0)",
        "basis = torch.eye(sample.numel(), dtype=sample.dtype, device=sample.device)",
        f"tangents = basis.reshape(-1, *sample.shape).unsqueeze({p.after_rows})",
        f"columns = torch.func.vmap(push{p.chunked})(tangents)",
        "y = columns[0]",
        "blocks = columns.movedim(0, -1).reshape(y.shape + sample.shape)",
    ]


RECIPES: dict[str, Recipe] = {
    "torch.functional": _functional(""),
    "torch.functional-vectorized": _functional(", vectorize=True"),
    "torch.functional-forward": _functional(', vectorize=True, strategy="forward-mode"'),
    "torch.backward-loop": of_array(_backward_loop),
    "torch.grad-loop": of_array(_grad_loop),
    "torch.grad-batched": of_array(_grad_batched),
    "torch.vmap-vjp": of_array(_vmap_vjp),
    "torch.vmap-jvp": of_array(_vmap_jvp),
    "torch.func.jacrev": _transform("jacrev", chunked=True),
    "torch.func.jacfwd": _transform("jacfwd", chunked=False),
    "torch.func.linearize": of_array(_linearize),
    "torch.compile-jacrev": _compiled("jacrev", chunked=True),
    "torch.compile-jacfwd": _compiled("jacfwd", chunked=False),
    "torch.vmap-jacrev": _vmapped("jacrev"),
    "torch.vmap-jacfwd": _vmapped("jacfwd"),
    "torch.sum-trick": of_array(_sum_trick),
    "torch.sample-loop": of_array(_sample_loop),
    "torch.per-sample": of_array(_per_sample),
}
