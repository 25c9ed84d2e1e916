"""What torch's methods share: names, one-hot bases, passes back and synchronisation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch

from jacbench.backend import Method, MethodInfo, Prepared, Target
from jacbench.core import layouts, tree
from jacbench_torch import descriptor
from jacbench_torch.isolation import NEITHER, isolated, tracked

if TYPE_CHECKING:
    from jacbench.core.layouts import Layout


def info(name: str) -> MethodInfo:
    """Return what the descriptor says of the method ``name``."""
    return next(info for info in descriptor.methods if info.name == name)


class TorchMethod(Method):
    """A method whose result is laid out like that of ``torch.func.jacrev`` unless it says so.

    Attributes
    ----------
    differentiable
        By which modes the result can be differentiated once more, where x is part of a graph. By
        none: it is put outside of the graph, and says so when asked for a derivative.
    """

    differentiable = NEITHER

    def __init_subclass__(cls) -> None:
        """Keep what a method prepares apart from what surrounds its call, whoever wrote it."""
        super().__init_subclass__()
        cls.prepare = isolated(cls.prepare)  # type: ignore[assignment,method-assign,type-var]

    def __init__(self, name: str) -> None:
        self.info = info(name)

    def layout(self, target: Target) -> Layout:
        """Return y.shape + leaf.shape for each leaf."""
        del target
        return layouts.OUTPUT_BY_INPUT


def unary(target: Target) -> Callable[[Any], Any]:
    """Return the target's function of x alone, its constants bound."""
    function, constants = target.function, target.constants

    def of_x(x: Any) -> Any:
        return function(x, *constants)

    return of_x


def of_leaves(target: Target) -> Callable[..., Any]:
    """Return the target's function of the leaves of x, one argument each, in tree order."""
    of_x, like = unary(target), tree.map_leaves(lambda _: None, target.x)

    def spread(*leaves: Any) -> Any:
        return of_x(tree.unflatten(like, leaves))

    return spread


def prepared(call: Callable[[Any], Any], target: Target, **notes: str | int) -> Prepared:
    """Return ``call`` as prepared, synchronised where the device computes asynchronously."""
    if not target.device.startswith("cuda"):
        return Prepared(call, notes)
    device = torch.device(target.device)

    def synchronised(x: Any) -> Any:
        result = call(x)
        torch.cuda.synchronize(device)
        return result

    return Prepared(synchronised, notes)


def without_graph(call: Callable[..., Any], target: Target) -> Callable[..., Any]:
    """Return ``call``, under ``no_grad`` where else what it returns would be part of a graph.

    ``torch.func`` gives results that can be differentiated once more by whatever the function
    closes over. ``no_grad`` around a transform leaves the transform alone; it costs 3 us a call,
    so that one evaluation here finds out whether it is needed. Of an x that is part of a graph the
    result is too.
    """
    value = target.function(tree.map_leaves(torch.Tensor.detach, target.x), *target.constants)
    if not any(leaf.requires_grad for leaf in tree.leaves(value)):
        return call
    without = torch.no_grad()(call)
    return lambda x, *more: call(x, *more) if tracked(x) else without(x, *more)


def output_basis(target: Target) -> torch.Tensor:
    """Return the m one-hot vectors of the output, of shape (m,) + y.shape."""
    m = math.prod(target.y_shape)
    leaf = tree.leaves(target.x)[0]
    return torch.eye(m, dtype=leaf.dtype, device=leaf.device).reshape(m, *target.y_shape)


def input_basis(target: Target) -> Any:
    """Return the n one-hot trees of the input: each leaf of shape (n,) + leaf.shape."""
    leaves = tree.leaves(target.x)
    n = sum(leaf.numel() for leaf in leaves)
    eye = torch.eye(n, dtype=leaves[0].dtype, device=leaves[0].device)
    columns = eye.split([leaf.numel() for leaf in leaves], dim=1)
    one_hot = [c.reshape(n, *leaf.shape) for c, leaf in zip(columns, leaves, strict=True)]
    return tree.unflatten(target.x, one_hot)


def detached(x: Any) -> list[torch.Tensor]:
    """Return the leaves of x as leaves of a new graph, over the same memory."""
    return [leaf.detach().requires_grad_() for leaf in tree.leaves(x)]


def gradients(
    y: torch.Tensor, leaves: Sequence[torch.Tensor], vector: Any, *, retain_graph: bool = False
) -> Sequence[torch.Tensor]:
    """Return ``vector`` pulled back from y to each leaf; zeros where y does not depend on it.

    ``materialize_grads`` sees to an unused leaf; of a y without a graph autograd only says so.
    """
    if not y.requires_grad:
        return [torch.zeros_like(leaf) for leaf in leaves]
    return torch.autograd.grad(y, leaves, vector, retain_graph=retain_graph, materialize_grads=True)


def rows(
    y: torch.Tensor, leaves: Sequence[torch.Tensor], basis: Iterable[torch.Tensor]
) -> list[torch.Tensor]:
    """Return (number of vectors,) + leaf.shape for each leaf: one pass back per vector."""
    passes = [gradients(y, leaves, vector, retain_graph=True) for vector in basis]
    return [torch.stack(row) for row in zip(*passes, strict=True)]


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Say whether two results differ by rounding alone: forward mode ignores ``no_grad``."""
    norm = torch.linalg.vector_norm
    limit = math.sqrt(torch.finfo(one.dtype).eps)
    return bool(norm(one - other) <= limit * norm(one))
