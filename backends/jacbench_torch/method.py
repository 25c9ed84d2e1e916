"""What torch's methods share: names, one-hot bases and synchronisation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from jacbench import layout, tree
from jacbench.backend import Method, MethodInfo, Prepared, Target
from jacbench_torch import descriptor

if TYPE_CHECKING:
    from jacbench.layout import Layout


def info(name: str) -> MethodInfo:
    """Return what the descriptor says of the method ``name``."""
    return next(info for info in descriptor.methods if info.name == name)


class TorchMethod(Method):
    """A method whose result is laid out like that of ``torch.func.jacrev`` unless it says so."""

    def __init__(self, name: str) -> None:
        self.info = info(name)

    def layout(self, target: Target) -> Layout:
        """Return y.shape + leaf.shape for each leaf."""
        del target
        return layout.OUTPUT_BY_INPUT


def unary(target: Target) -> Callable[[Any], Any]:
    """Return the target's function of x alone, its constants bound."""
    function, constants = target.function, target.constants

    def of_x(x: Any) -> Any:
        return function(x, *constants)

    return of_x


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
