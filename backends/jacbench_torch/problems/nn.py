"""The networks of :mod:`jacbench.problems.nn` as ``torch.nn.Module``.

A module is built once per size and called by ``torch.func.functional_call``, with the parameters
and buffers handed in. Its own lie on the meta device and hold no data, so that nothing can be
computed with them by mistake.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.func import functional_call

from jacbench.problems.nn import HEAD_WIDTH

Named: TypeAlias = dict[str, Tensor]

_BUILT: dict[tuple[object, ...], nn.Module] = {}


def module(build: Callable[..., nn.Module], *sizes: int) -> nn.Module:
    """Return the module of these sizes, built at the first call.

    The dict is looked up and not hidden in ``functools.cache``, whose wrapper dynamo ignores: the
    module would be built again within the graph.
    """
    key = (build, *sizes)
    if key not in _BUILT:
        with torch.device("meta"):
            _BUILT[key] = build(*sizes)
    return _BUILT[key]


def digits_cnn(x: Named, images: Tensor) -> Tensor:
    """Return the logits (B, 10) of images (B, 1, 8, 8)."""
    logits: Tensor = functional_call(module(build_cnn, len(x["conv1.bias"])), x, (images,))
    return logits


def build_cnn(channels: int) -> nn.Module:
    """Return the convolutional network."""
    return _sequential(
        conv1=nn.Conv2d(1, channels, 3, padding=1),
        tanh1=nn.Tanh(),
        pool1=nn.AvgPool2d(2),
        conv2=nn.Conv2d(channels, 2 * channels, 3, padding=1),
        tanh2=nn.Tanh(),
        pool2=nn.AvgPool2d(2),
        flatten=nn.Flatten(),
        dense=nn.Linear(2 * channels * 4, 10),
    )


def _sequential(**layers: nn.Module) -> nn.Module:
    chain = nn.Sequential()
    for name, layer in layers.items():
        chain.add_module(name, layer)
    return chain


class Attention(nn.MultiheadAttention):
    """Self-attention with a residual, as ``nn.MultiheadAttention`` is called by default.

    It stays in train mode, without dropout: in eval mode torch takes a fast path that has no
    forward-mode derivative.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width, width // HEAD_WIDTH, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Return x plus what its tokens see of each other, of the same shape."""
        return x + super().forward(x, x, x)[0]


class FusedAttention(nn.MultiheadAttention):
    """The same without the weights: torch then calls ``scaled_dot_product_attention``.

    Its kernel for the CPU has no forward-mode derivative and no batching rule (torch 2.13).
    """

    def __init__(self, width: int) -> None:
        super().__init__(width, width // HEAD_WIDTH, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Return x plus what its tokens see of each other, of the same shape."""
        return x + super().forward(x, x, x, need_weights=False)[0]


def attention(x: Tensor, parameters: Named) -> Tensor:
    """Return self-attention with a residual, of the shape (B, seq, width) of x."""
    y: Tensor = functional_call(module(Attention, x.shape[-1]), parameters, (x,))
    return y


def attention_fused(x: Tensor, parameters: Named) -> Tensor:
    """Return the same from torch's fused kernel."""
    y: Tensor = functional_call(module(FusedAttention, x.shape[-1]), parameters, (x,))
    return y


class FeedForward(nn.Module):
    """A transformer's feed-forward block: layer norm, dense, gelu (tanh form), dense, residual."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.dense1 = nn.Linear(width, hidden)
        self.gelu = nn.GELU(approximate="tanh")
        self.dense2 = nn.Linear(hidden, width)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the block's output, of the inputs' shape."""
        a = self.gelu(self.dense1(self.norm(inputs)))
        y: Tensor = inputs + self.dense2(a)
        return y


def layernorm(x: Named, inputs: Tensor) -> Tensor:
    """Return the feed-forward block's output (B, width)."""
    hidden, width = x["dense1.weight"].shape
    y: Tensor = functional_call(module(FeedForward, width, hidden), x, (inputs,))
    return y


def build_batch_norm(features: int, hidden: int, outputs: int) -> nn.Module:
    """Return dense, batch norm, tanh, dense in train mode."""
    return _sequential(
        dense1=nn.Linear(features, hidden),
        norm=nn.BatchNorm1d(hidden),
        tanh=nn.Tanh(),
        dense2=nn.Linear(hidden, outputs),
    )


def build_batch_norm_eval(features: int, hidden: int, outputs: int) -> nn.Module:
    """Return the same in eval mode."""
    return build_batch_norm(features, hidden, outputs).eval()


def batch_norm(x: Tensor, parameters: Named, buffers: Named) -> Tensor:
    """Return the output (B, outputs) with the batch's own statistics.

    Train mode writes to the running statistics. They are copied within the function: ``torch.func``
    refuses a write to a tensor from outside of it, and a call may leave nothing behind.
    """
    own = {name: buffer.clone() for name, buffer in buffers.items()}
    return _batch_norm(build_batch_norm, x, parameters, own)


def batch_norm_eval(x: Tensor, parameters: Named, buffers: Named) -> Tensor:
    """Return the output (B, outputs) with the running statistics."""
    return _batch_norm(build_batch_norm_eval, x, parameters, buffers)


def _batch_norm(
    build: Callable[..., nn.Module], x: Tensor, parameters: Named, buffers: Named
) -> Tensor:
    hidden, features = parameters["dense1.weight"].shape
    network = module(build, features, hidden, len(parameters["dense2.bias"]))
    y: Tensor = functional_call(network, (parameters, buffers), (x,))
    return y
