"""``torch.autograd.functional.jacobian``, in its three strategies.

Reference: https://docs.pytorch.org/docs/stable/generated/torch.autograd.functional.jacobian.html
"""

from __future__ import annotations

from typing import Any

from torch.autograd.functional import jacobian

from jacbench import tree
from jacbench.backend import Prepared, Target
from jacbench_torch.method import TorchMethod, prepared, unary


class Functional(TorchMethod):
    """``functional.jacobian`` with its options fixed; a tree goes in as a tuple of leaves."""

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(name)
        self.options = options
        self.chunking = "whole" if options.get("vectorize") else "loop"

    def prepare(self, target: Target) -> Prepared:
        """Bind the constants; nothing can be traced ahead."""
        of_x, options = unary(target), self.options
        if tree.is_leaf(target.x):
            return prepared(lambda x: jacobian(of_x, x, **options), target)

        like = tree.map_leaves(lambda _: None, target.x)

        def of_leaves(*leaves: Any) -> Any:
            return of_x(tree.unflatten(like, leaves))

        return prepared(lambda x: jacobian(of_leaves, tuple(tree.leaves(x)), **options), target)


_WRONG_SIZE = "Trying to set a forward gradient that has a different size"


class FunctionalForward(Functional):
    """Forward mode; it runs on torch's legacy vmap, which lacks some functions.

    A vector-matrix product plus a bias is one of them (torch 2.13); another is in
    https://github.com/pytorch/pytorch/issues/94115.
    """

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
