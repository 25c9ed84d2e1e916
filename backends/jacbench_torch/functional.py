"""``torch.autograd.functional.jacobian``, in its three strategies.

Reference: https://docs.pytorch.org/docs/stable/generated/torch.autograd.functional.jacobian.html
"""

from __future__ import annotations

from typing import Any

from torch.autograd.functional import jacobian

from jacbench.backend import Prepared, Target
from jacbench.core import tree
from jacbench_torch.isolation import BACK, NEITHER, tracked
from jacbench_torch.method import TorchMethod, of_leaves, prepared, unary


class Functional(TorchMethod):
    """``functional.jacobian`` with its options fixed; a tree goes in as a tuple of leaves.

    ``create_graph`` is on where x is part of a graph: without, the result would be cut from it.
    """

    differentiable = BACK

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(name)
        self.options = options
        self.chunking = "whole" if options.get("vectorize") else "loop"

    def prepare(self, target: Target) -> Prepared:
        """Bind the constants; nothing can be traced ahead."""
        options = self.options
        if tree.is_leaf(target.x):
            of_x = unary(target)
            return prepared(lambda x: jacobian(of_x, x, tracked(x), **options), target)
        spread = of_leaves(target)

        def call(x: Any) -> Any:
            return jacobian(spread, tuple(tree.leaves(x)), tracked(x), **options)

        return prepared(call, target)


_WRONG_SIZE = "Trying to set a forward gradient that has a different size"


class FunctionalForward(Functional):
    """Forward mode; it runs on torch's legacy vmap, which lacks some functions.

    A vector-matrix product plus a bias is one of them (torch 2.13); another is in
    https://github.com/pytorch/pytorch/issues/94115. It has no ``create_graph``.
    """

    differentiable = NEITHER

    def declined(self, exc: Exception) -> str | None:
        """Recognise the legacy vmap's way of saying that it cannot batch something."""
        if str(exc).startswith(_WRONG_SIZE):
            return (
                "functional.jacobian's forward mode runs on torch's legacy vmap, which cannot "
                f"batch this function (torch.func.jacfwd can); torch says: {_WRONG_SIZE}"
            )
        return super().declined(exc)


METHODS = (
    Functional("torch.functional"),
    Functional("torch.functional-vectorized", vectorize=True),
    FunctionalForward("torch.functional-forward", vectorize=True, strategy="forward-mode"),
)
