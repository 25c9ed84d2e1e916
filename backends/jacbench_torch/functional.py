"""``torch.autograd.functional.jacobian``, in its three strategies.

Reference: https://docs.pytorch.org/docs/stable/generated/torch.autograd.functional.jacobian.html
"""

from __future__ import annotations

from typing import Any

from torch.autograd.functional import jacobian

from jacbench import tree
from jacbench.backend import Prepared, Target
from jacbench_torch.method import TorchMethod, prepared


class Functional(TorchMethod):
    """``functional.jacobian`` with its options fixed; a tree goes in as a tuple of leaves."""

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(name)
        self.options = options
        self.chunking = "whole" if options.get("vectorize") else "loop"

    def prepare(self, target: Target) -> Prepared:
        """Bind the constants; nothing can be traced ahead."""
        function, constants, options = target.function, target.constants, self.options
        if tree.is_leaf(target.x):

            def of_array(x: Any) -> Any:
                return function(x, *constants)

            return prepared(lambda x: jacobian(of_array, x, **options), target)

        like = tree.map_leaves(lambda _: None, target.x)

        def of_leaves(*leaves: Any) -> Any:
            return function(tree.unflatten(like, leaves), *constants)

        return prepared(lambda x: jacobian(of_leaves, tuple(tree.leaves(x)), **options), target)


METHODS = (
    Functional("torch.functional"),
    Functional("torch.functional-vectorized", vectorize=True),
    Functional("torch.functional-forward", vectorize=True, strategy="forward-mode"),
)
