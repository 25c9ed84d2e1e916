"""A cotangent times the Jacobian: one pass back.

Reference: https://docs.pytorch.org/docs/stable/generated/torch.func.vjp.html
"""

from __future__ import annotations

from typing import Any

import torch
from torch.func import jacrev, vjp

from jacbench.backend import Chunking, Prepared, Target
from jacbench.core import tree
from jacbench_torch.isolation import BACK, BOTH, tracked
from jacbench_torch.method import (
    TorchMethod,
    detached,
    gradients,
    of_leaves,
    prepared,
    unary,
    without_graph,
)


class Grad(TorchMethod):
    """``torch.autograd.grad(y, x, v)``."""

    def prepare(self, target: Target) -> Prepared:
        """Bind v."""
        of_x, v = unary(target), target.vector

        def call(x: Any) -> Any:
            leaves = detached(x)
            y = of_x(tree.unflatten(x, leaves))
            return tree.unflatten(x, gradients(y, leaves, v))

        return prepared(call, target)


class Backward(TorchMethod):
    """``y.backward(v, inputs=leaves)``, ``.grad`` read.

    Without ``inputs=`` the tensors that the function closes over, a model's parameters, get their
    ``.grad`` too, or more of it. A reentrant checkpoint refuses it.
    """

    def prepare(self, target: Target) -> Prepared:
        """Bind v."""
        of_x, v = unary(target), target.vector

        def call(x: Any) -> Any:
            leaves = detached(x)
            y = of_x(tree.unflatten(x, leaves))
            if y.requires_grad:
                y.backward(v, inputs=leaves)
            return tree.unflatten(x, [_grad(leaf) for leaf in leaves])

        return prepared(call, target)


def _grad(leaf: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(leaf) if leaf.grad is None else leaf.grad


class FuncVjp(TorchMethod):
    """``torch.func.vjp`` and one call of its pull-back."""

    differentiable = BOTH

    def prepare(self, target: Target) -> Prepared:
        """Bind v; torch traces anew in every call."""
        of_x, v = unary(target), target.vector

        def call(x: Any) -> Any:
            pull: Any = vjp(of_x, x)[1]
            return pull(v)[0]

        return prepared(without_graph(call, target), target)


class FunctionalVjp(TorchMethod):
    """``torch.autograd.functional.vjp``; a tree goes in as a tuple of leaves."""

    differentiable = BACK

    def prepare(self, target: Target) -> Prepared:
        """Bind v."""
        spread, v = of_leaves(target), target.vector

        def call(x: Any) -> Any:
            leaves = tuple(tree.leaves(x))
            _, products = torch.autograd.functional.vjp(spread, leaves, v, tracked(x))
            return tree.unflatten(x, products)

        return prepared(call, target)


class VjpByJacrev(TorchMethod):
    """The whole Jacobian by ``jacrev``, contracted with v: m passes in place of one."""

    chunking: Chunking = "chunked"
    differentiable = BOTH

    def prepare(self, target: Target) -> Prepared:
        """Build the transform."""
        jacobian, v = jacrev(unary(target), chunk_size=target.chunk_size), target.vector

        def call(x: Any) -> Any:
            # of a y in another dtype than x, J is in that of x and v in that of y
            return tree.map_leaves(
                lambda J: torch.tensordot(v.to(J.dtype), J, dims=v.ndim), jacobian(x)
            )

        return prepared(without_graph(call, target), target)


METHODS = (
    Grad("torch.autograd.grad"),
    Backward("torch.backward"),
    FuncVjp("torch.func.vjp"),
    FunctionalVjp("torch.functional.vjp"),
    VjpByJacrev("torch.vjp-by-jacrev"),
)
