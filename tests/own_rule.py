"""A sine of PyTorch whose derivative rules are one's own: wrong, slow, or counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Rule = Callable[[Any, Any], Any]
"""From what comes in, a cotangent or a tangent, and the cosine of x to what goes out."""


def sine(back: Rule, push: Rule | None = None) -> Callable[[Any], Any]:
    """Return ``sin`` with the reverse rule ``back`` and the forward rule ``push``, or the same."""
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
            return back(g, ctx.saved_tensors[0].cos())

        @staticmethod
        def jvp(ctx: Any, t: Any) -> Any:
            return (push or back)(t, ctx.saved_tensors[0].cos())

    return Sine.apply


def counted(passes: list[int]) -> Callable[[Any], Any]:
    """Return ``sin``, which adds to ``passes`` in each pass, of one vector or of many at once."""

    def right(given: Any, cosine: Any) -> Any:
        passes.append(1)
        return given * cosine

    return sine(right)
