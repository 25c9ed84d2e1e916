"""The Jacobian of each sample's outputs by its own inputs, or by parameters that samples share.

Reference: https://docs.pytorch.org/tutorials/intermediate/per_sample_grads.html
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.func import jacfwd, jacrev, vmap

from jacbench.backend import Chunking, Prepared, Target
from jacbench.core import tree
from jacbench.structure.sample_methods import SumTrickMethod
from jacbench_torch.isolation import BOTH
from jacbench_torch.method import TorchMethod, detached, gradients, prepared, rows, without_graph


class Vmapped(TorchMethod):
    """``vmap`` over samples of ``jacrev`` or ``jacfwd`` of the function on a batch of one."""

    chunking: Chunking = "chunked"
    differentiable = BOTH

    def __init__(self, name: str, transform: Callable[..., Any]) -> None:
        super().__init__(name)
        self.transform = transform

    def prepare(self, target: Target) -> Prepared:
        """Build the transform; ``chunk_size`` is that of vmap, in samples."""
        per_sample, constants = self.transform(_of_sample(target)), target.constants
        mapped = vmap(per_sample, in_dims=target.in_axes, chunk_size=target.chunk_size)

        def call(x: Any) -> Any:
            return mapped(x, *constants)

        return prepared(without_graph(call, target), target)


def _of_sample(target: Target) -> Callable[..., Any]:
    """Return the function of one sample: the target's, which takes batches, on a batch of one."""
    function, axes = target.function, target.in_axes

    def of_sample(*arguments: Any) -> Any:
        return function(*map(_batch_of_one, arguments, axes))[0]

    return of_sample


def _batch_of_one(argument: Any, axis: int | None) -> Any:
    if axis is None:
        return argument
    return tree.map_leaves(lambda leaf: leaf.unsqueeze(axis), argument)


class SumTrick(SumTrickMethod, TorchMethod):
    """``torch.autograd.grad(y[:, k], x, ones)``: all samples of one output component per pass.

    That is the derivative of the sum over samples, and each sample's own only as long as no sample
    sees another: batch norm in training mode makes it wrong without a word.
    """

    def prepare(self, target: Target) -> Prepared:
        """Make, for each output component, ones for that component of every sample."""
        function, constants, y_shape = target.function, target.constants, target.y_shape
        axis = self.batch_axis(target)
        one_hot = _component_basis(target)
        ones = one_hot.unsqueeze(1).expand(len(one_hot), *y_shape).contiguous().unbind(0)

        def stacked(passes: tuple[torch.Tensor, ...]) -> torch.Tensor:
            by_sample = torch.stack([one.movedim(axis, 0) for one in passes], dim=1)
            return by_sample.reshape(*y_shape, *by_sample.shape[2:])

        def call(x: Any) -> Any:
            leaves = detached(x)
            y = function(tree.unflatten(x, leaves), *constants)
            passes = [gradients(y, leaves, one, retain_graph=True) for one in ones]
            return tree.unflatten(x, [stacked(parts) for parts in zip(*passes, strict=True)])

        return prepared(call, target)


class SampleLoop(TorchMethod):
    """A Python loop over samples, and in it one ``torch.autograd.grad`` per output component."""

    def prepare(self, target: Target) -> Prepared:
        """Make the one-hot vectors of one sample, and cut the constants into samples."""
        function, y_shape, axis = target.function, target.y_shape, target.in_axes[0]
        basis = _component_basis(target).unbind(0)
        constants = [
            [_sample(c, a, b) for c, a in zip(target.constants, target.in_axes[1:], strict=True)]
            for b in range(y_shape[0])
        ]

        def call(x: Any) -> Any:
            jacobians = []
            for b, own in enumerate(constants):
                leaves = detached(_sample(x, axis, b))
                y = function(tree.unflatten(x, leaves), *own)[0]
                jacobians.append([_without(J, axis) for J in rows(y, leaves, basis)])
            stacked = [torch.stack(parts) for parts in zip(*jacobians, strict=True)]
            parts = [part.reshape(*y_shape, *part.shape[2:]) for part in stacked]
            return tree.unflatten(x, parts)

        return prepared(call, target)


def _sample(argument: Any, axis: int | None, index: int) -> Any:
    """Return sample ``index`` as a batch of one; what samples share as it is."""
    if axis is None:
        return argument
    return tree.map_leaves(lambda leaf: leaf.narrow(axis, index, 1), argument)


def _without(J: torch.Tensor, axis: int | None) -> torch.Tensor:
    """Return J without the batch axis of x, before which it has one axis of its own."""
    if axis is None:
        return J
    return J.squeeze(axis + 1 if axis >= 0 else axis)


def _component_basis(target: Target) -> torch.Tensor:
    """Return the one-hot vectors of one sample's output, of shape (m / B,) + y.shape[1:]."""
    shape = target.y_shape[1:]
    leaf, m = tree.first(target.x), math.prod(shape)
    return torch.eye(m, dtype=leaf.dtype, device=leaf.device).reshape(m, *shape)


METHODS = (
    Vmapped("torch.vmap-jacrev", jacrev),
    Vmapped("torch.vmap-jacfwd", jacfwd),
    SumTrick("torch.sum-trick"),
    SampleLoop("torch.sample-loop"),
)
