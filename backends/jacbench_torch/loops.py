"""One reverse pass per output through a graph that is built once: the loops people write."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import torch

from jacbench.backend import Chunking, Prepared, Target
from jacbench.core import layouts, tree
from jacbench_torch.method import TorchMethod, output_basis, prepared

if TYPE_CHECKING:
    from jacbench.core.layouts import Layout


class OneGraph(TorchMethod):
    """Build the graph of y once, then pull one-hot vectors back through it."""

    def layout(self, target: Target) -> Layout:
        """Return (m,) + leaf.shape for each leaf."""
        del target
        return layouts.ROWS

    @abstractmethod
    def pull(self, y: torch.Tensor, leaves: list[torch.Tensor], basis: Any) -> list[torch.Tensor]:
        """Return, for each leaf, the gradients for all one-hot vectors of ``basis``, stacked."""

    def basis(self, target: Target) -> Any:
        """Return the one-hot vectors as ``pull`` takes them: here one tensor per output."""
        return output_basis(target).unbind(0)

    def prepare(self, target: Target) -> Prepared:
        """Make the one-hot vectors."""
        function, constants, pull = target.function, target.constants, self.pull
        basis, m = self.basis(target), math.prod(target.y_shape)

        def zeros(leaves: list[torch.Tensor]) -> list[torch.Tensor]:
            # of a y that does not depend on x, backward only says that it has no graph
            return [leaf.new_zeros(m, *leaf.shape) for leaf in leaves]

        if tree.is_leaf(target.x):

            def of_array(x: Any) -> Any:
                leaf = x.detach().requires_grad_()
                y = function(leaf, *constants)
                return pull(y, [leaf], basis)[0] if y.requires_grad else zeros([leaf])[0]

            return prepared(of_array, target)

        def of_tree(x: Any) -> Any:
            leaves = [leaf.detach().requires_grad_() for leaf in tree.leaves(x)]
            y = function(tree.unflatten(x, leaves), *constants)
            return pull(y, leaves, basis) if y.requires_grad else zeros(leaves)

        return prepared(of_tree, target)


class BackwardLoop(OneGraph):
    """``y.backward(one_hot, retain_graph=True, inputs=leaves)``; ``.grad`` is read and cleared.

    Without ``inputs=`` the parameters of a model get their ``.grad`` too, or more of it.
    """

    def pull(self, y: torch.Tensor, leaves: list[torch.Tensor], basis: Any) -> list[torch.Tensor]:
        """Accumulate into ``.grad``, as ``backward`` does, and take it away again."""
        rows: list[list[torch.Tensor]] = [[] for _ in leaves]
        for one_hot in basis:
            y.backward(one_hot, retain_graph=True, inputs=leaves)
            for leaf, row in zip(leaves, rows, strict=True):
                row.append(torch.zeros_like(leaf) if leaf.grad is None else leaf.grad)
                leaf.grad = None
        return [torch.stack(row) for row in rows]


class GradLoop(OneGraph):
    """``torch.autograd.grad`` per one-hot vector: no ``.grad`` is touched."""

    def pull(self, y: torch.Tensor, leaves: list[torch.Tensor], basis: Any) -> list[torch.Tensor]:
        """Stack one gradient per output; an unused leaf gives zeros."""
        rows = [
            torch.autograd.grad(y, leaves, one_hot, retain_graph=True, materialize_grads=True)
            for one_hot in basis
        ]
        return [torch.stack(row) for row in zip(*rows, strict=True)]


class GradBatched(OneGraph):
    """``torch.autograd.grad(is_grads_batched=True)``: all one-hot vectors in vmapped passes."""

    chunking: Chunking = "chunked"

    def basis(self, target: Target) -> Any:
        """Return chunks of one-hot vectors, each of shape (chunk,) + y.shape."""
        whole = output_basis(target)
        return whole.split(target.chunk_size or len(whole))

    def pull(self, y: torch.Tensor, leaves: list[torch.Tensor], basis: Any) -> list[torch.Tensor]:
        """Pull each chunk back at once; an unused leaf gives zeros."""
        chunks = [
            [
                # materialize_grads would make zeros of the leaf's shape, without the chunk's axis
                leaf.new_zeros(len(chunk), *leaf.shape) if part is None else part
                for leaf, part in zip(leaves, _pulled(y, leaves, chunk), strict=True)
            ]
            for chunk in basis
        ]
        if len(chunks) == 1:
            return chunks[0]
        return [torch.cat(parts) for parts in zip(*chunks, strict=True)]


def _pulled(y: torch.Tensor, leaves: list[torch.Tensor], chunk: Any) -> Any:
    return torch.autograd.grad(
        y, leaves, chunk, retain_graph=True, allow_unused=True, is_grads_batched=True
    )


METHODS = (
    BackwardLoop("torch.backward-loop"),
    GradLoop("torch.grad-loop"),
    GradBatched("torch.grad-batched"),
)
