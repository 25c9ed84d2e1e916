"""The value beside the Jacobian, from one evaluation.

Reference: https://docs.pytorch.org/docs/stable/generated/torch.func.jacrev.html, ``has_aux``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch.func import jacfwd, jacrev, vjp, vmap

from jacbench.backend import Chunking, Prepared, Target
from jacbench.core import layouts, tree
from jacbench_torch.isolation import BOTH
from jacbench_torch.method import (
    TorchMethod,
    detached,
    output_basis,
    prepared,
    rows,
    unary,
    without_graph,
)

if TYPE_CHECKING:
    from jacbench.core.layouts import Layout


class JacobianAux(TorchMethod):
    """``jacrev`` or ``jacfwd`` with ``has_aux=True``: the value comes back as what is aux."""

    differentiable = BOTH

    def __init__(self, name: str, transform: Callable[..., Any], chunking: Chunking) -> None:
        super().__init__(name)
        self.transform = transform
        self.chunking = chunking

    def prepare(self, target: Target) -> Prepared:
        """Build the transform; torch traces it anew in every call."""
        options = {"chunk_size": target.chunk_size} if self.chunking == "chunked" else {}
        transformed = self.transform(_beside_itself(target), has_aux=True, **options)

        def call(x: Any) -> Any:
            J, value = transformed(x)
            return value, J

        return prepared(without_graph(call, target), target)


def _beside_itself(target: Target) -> Callable[[Any], Any]:
    """Return x -> (y, value), where the value is y, or (y, aux)."""
    of_x = unary(target)
    if not target.has_aux:

        def twice(x: Any) -> Any:
            y = of_x(x)
            return y, y

        return twice

    def with_aux(x: Any) -> Any:
        y, aux = of_x(x)
        return y, (y, aux)

    return with_aux


class ValueAndVmapVjp(TorchMethod):
    """``vjp``, which gives y, and its pull-back mapped over the one-hot rows."""

    chunking: Chunking = "chunked"
    differentiable = BOTH

    def layout(self, target: Target) -> Layout:
        """Return (m,) + leaf.shape for each leaf."""
        del target
        return layouts.ROWS

    def prepare(self, target: Target) -> Prepared:
        """Make the one-hot rows."""
        of_x, basis, chunk = unary(target), output_basis(target), target.chunk_size
        has_aux = target.has_aux

        def call(x: Any) -> Any:
            y, pull, *aux = vjp(of_x, x, has_aux=has_aux)
            (J,) = vmap(pull, chunk_size=chunk)(basis)
            return ((y, *aux) if has_aux else y), J

        return prepared(without_graph(call, target), target)


class ValueAndGradLoop(TorchMethod):
    """The graph once, ``torch.autograd.grad`` per one-hot vector, and y detached from it."""

    def layout(self, target: Target) -> Layout:
        """Return (m,) + leaf.shape for each leaf."""
        del target
        return layouts.ROWS

    def prepare(self, target: Target) -> Prepared:
        """Make the one-hot vectors."""
        of_x, has_aux = unary(target), target.has_aux
        basis = output_basis(target).unbind(0)

        def call(x: Any) -> Any:
            leaves = detached(x)
            value = of_x(tree.unflatten(x, leaves))
            J = rows(value[0] if has_aux else value, leaves, basis)
            return tree.map_leaves(torch.Tensor.detach, value), tree.unflatten(x, J)

        return prepared(call, target)


METHODS = (
    JacobianAux("torch.func.jacrev-aux", jacrev, "chunked"),
    JacobianAux("torch.func.jacfwd-aux", jacfwd, "whole"),
    ValueAndVmapVjp("torch.value-and-vmap-vjp"),
    ValueAndGradLoop("torch.value-and-grad-loop"),
)
