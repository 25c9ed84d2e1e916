"""The family ``awkward`` as PyTorch's users write it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from jacbench.core.arrays import Array

_SEED = 2701


def in_place(x: Tensor) -> Tensor:
    """Write into a copy of x: an entry, a slice, all of it."""
    y = x.clone()
    y[0] = x[1] * x[2]
    y[1:] *= x[0]
    y.mul_(torch.cos(x))
    return y


def item_branch(x: Tensor) -> Tensor:
    """Branch on a Python number."""
    if x.sum().item() > 0:
        return x * torch.sin(x)
    return x**3


# --- log(1 + exp(x)) with rules by hand ---


class _Softplus(torch.autograd.Function):
    """In the older form: ``forward`` gets the context, and no transform of torch.func takes it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.logaddexp(x, torch.zeros_like(x))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grad * torch.sigmoid(x)


class _SoftplusSetup(torch.autograd.Function):
    """In the form that torch.func takes, with a derived rule for vmap and no forward mode."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return torch.logaddexp(x, torch.zeros_like(x))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        del output
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grad * torch.sigmoid(x)


class _SoftplusBothWays(_SoftplusSetup):
    """With a forward rule besides."""

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return tangent * torch.sigmoid(x)


def custom_vjp(x: Tensor, A: Tensor) -> Tensor:
    """Apply a Function without ``setup_context``."""
    y: Tensor = A @ _Softplus.apply(x)  # type: ignore[no-untyped-call]
    return y


def custom_vjp_setup_context(x: Tensor, A: Tensor) -> Tensor:
    """Apply a Function with ``setup_context``."""
    y: Tensor = A @ _SoftplusSetup.apply(x)  # type: ignore[no-untyped-call]
    return y


def custom_jvp(x: Tensor, A: Tensor) -> Tensor:
    """Apply a Function with ``setup_context`` and ``jvp``."""
    y: Tensor = A @ _SoftplusBothWays.apply(x)  # type: ignore[no-untyped-call]
    return y


def dropout(x: Tensor, A: Tensor) -> Tensor:
    """Drop half of the units by a mask from a generator of its own.

    Drawn on the CPU the mask is the same on every device and in every dtype, and torch's global
    generator stays as it was.
    """
    generator = torch.Generator().manual_seed(_SEED)
    keep = torch.rand(x.shape, generator=generator) < 0.5
    return A @ (torch.tanh(x) * keep.to(x.device) * 2)


def dropout_drawn_again(x: Array, A: Array) -> Array:
    """Return the Jacobian with the mask that the same generator gives next, in NumPy."""
    generator = torch.Generator().manual_seed(_SEED)
    _, again = (torch.rand(x.shape, generator=generator) for _ in range(2))
    J: Array = A * (2 * (again < 0.5).numpy() * (1 - np.tanh(x) ** 2))
    return J


def no_grad(x: Tensor) -> Tensor:
    """Multiply by a copy that was made under ``torch.no_grad``."""
    with torch.no_grad():
        frozen = x.clone()
    return x * frozen


def linalg(X: Tensor, b: Tensor) -> Tensor:
    """Return X^-1 b, det X and log |det X|."""
    determinants = torch.stack([torch.linalg.det(X), torch.linalg.slogdet(X)[1]])
    return torch.cat([torch.linalg.inv(X) @ b, determinants])


def trace(X: Tensor) -> Tensor:
    """Put the trace of X X beside the product of two rows."""
    return torch.cat([X[0] * X[1], torch.trace(X @ X).reshape(1)])
