"""The Jacobian times a tangent: one pass forward, or two back.

Reference: https://docs.pytorch.org/tutorials/intermediate/forward_ad_usage.html
"""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd import forward_ad
from torch.func import jacfwd, jvp, linearize

from jacbench.backend import Chunking, Prepared, Target
from jacbench.core import tree
from jacbench_torch.isolation import BACK, BOTH, tracked
from jacbench_torch.method import TorchMethod, of_leaves, prepared, unary, without_graph


class FuncJvp(TorchMethod):
    """``torch.func.jvp``."""

    differentiable = BOTH

    def prepare(self, target: Target) -> Prepared:
        """Bind the tangent."""
        of_x, tangent = unary(target), target.vector

        def call(x: Any) -> Any:
            return jvp(of_x, (x,), (tangent,))[1]

        return prepared(without_graph(call, target), target)


class ForwardAd(TorchMethod):
    """Dual numbers by hand: ``torch.autograd.forward_ad``, which torch still calls beta."""

    differentiable = BOTH

    def prepare(self, target: Target) -> Prepared:
        """Bind the tangent."""
        of_x, tangents = unary(target), tree.leaves(target.vector)

        def call(x: Any) -> Any:
            with forward_ad.dual_level():
                duals = map(forward_ad.make_dual, tree.leaves(x), tangents)
                y = of_x(tree.unflatten(x, tuple(duals)))
                primal, tangent = forward_ad.unpack_dual(y)
                return torch.zeros_like(primal) if tangent is None else tangent

        return prepared(without_graph(call, target), target)


class FunctionalJvp(TorchMethod):
    """``torch.autograd.functional.jvp``: two reverse passes, as v J is linear in v.

    Reference: J. Townsend, A new trick for calculating Jacobian vector products (2017),
    https://j-towns.github.io/2017/06/12/A-new-trick.html
    """

    differentiable = BACK

    def prepare(self, target: Target) -> Prepared:
        """Bind the tangent."""
        spread, tangents = of_leaves(target), tuple(tree.leaves(target.vector))

        def call(x: Any) -> Any:
            leaves = tuple(tree.leaves(x))
            return torch.autograd.functional.jvp(spread, leaves, tangents, tracked(x))[1]

        return prepared(call, target)


class LinearizeJvp(TorchMethod):
    """``linearize`` (a traced graph, for one x) and one push-forward through it."""

    def prepare(self, target: Target) -> Prepared:
        """Bind the tangent."""
        of_x, tangent = unary(target), target.vector

        def call(x: Any) -> Any:
            _, push = linearize(of_x, x)
            return push(tangent)

        return prepared(without_graph(call, target), target)


class JvpByJacfwd(TorchMethod):
    """The whole Jacobian by ``jacfwd``, contracted with the tangent: n passes in place of one."""

    chunking: Chunking = "whole"
    differentiable = BOTH

    def prepare(self, target: Target) -> Prepared:
        """Build the transform."""
        jacobian, tangents = jacfwd(unary(target)), tree.leaves(target.vector)

        def call(x: Any) -> Any:
            blocks = zip(tree.leaves(jacobian(x)), tangents, strict=True)
            # J is in the dtype of y, t in that of x
            first, *rest = [torch.tensordot(J, t.to(J.dtype), dims=t.ndim) for J, t in blocks]
            return sum(rest, start=first)

        return prepared(without_graph(call, target), target)


METHODS = (
    FuncJvp("torch.func.jvp"),
    ForwardAd("torch.forward-ad"),
    FunctionalJvp("torch.functional.jvp"),
    LinearizeJvp("torch.func.linearize-jvp"),
    JvpByJacfwd("torch.jvp-by-jacfwd"),
)
