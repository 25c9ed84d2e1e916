"""A function of PyTorch that is told of each pass through it, of one vector or of many at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def sine(passes: list[int]) -> Callable[[Any], Any]:
    """Return ``sin``, which adds to ``passes`` in each pass back and in each pass forward."""
    import torch

    class Sine(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x: Any) -> Any:
            return x.sin()

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.save_for_backward(*inputs)
            ctx.save_for_forward(*inputs)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            passes.append(1)
            return g * ctx.saved_tensors[0].cos()

        jvp = backward

    return Sine.apply
