"""The networks of :mod:`jacbench.problems.nn` as ``torch.nn.Module``.

A module is called by ``torch.func.functional_call``, with the parameters and buffers handed in. Its
own lie on the meta device and hold no data, so that nothing can be computed with them by mistake.

A function is named after its network and the sizes that the module is built for: ``layernorm_8_16``
is :class:`FeedForward` of 8 and 16. It is built once, when the name is first looked up: within a
call it could not be, since ``torch.func`` refuses what a module's ``__init__`` does.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.func import functional_call

from jacbench.problems.nn import HEAD_WIDTH

Named: TypeAlias = dict[str, Tensor]
Function: TypeAlias = Callable[..., Any]

_SIZED = re.compile(r"(?P<network>[a-z_]+)(?P<sizes>(_\d+)+)")


def __getattr__(name: str) -> Function:
    """Return the function called ``name``: a network and its sizes, ``batch_norm_5_8_3``."""
    found = _SIZED.fullmatch(name)
    if found is None or found["network"] not in _NETWORKS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _function(found["network"], *map(int, found["sizes"][1:].split("_")))


@functools.cache
def _function(network: str, *sizes: int) -> Function:
    build, call = _NETWORKS[network]
    with torch.device("meta"):
        return call(build(*sizes))


def _by_parameters(network: nn.Module) -> Function:
    def function(x: Named, inputs: Tensor) -> Any:
        return functional_call(network, x, (inputs,))

    return function


def _by_inputs(network: nn.Module) -> Function:
    def function(x: Tensor, *named: Named) -> Any:
        return functional_call(network, named, (x,))

    return function


def _by_inputs_in_train_mode(network: nn.Module) -> Function:
    """Return a function that writes to copies of the buffers, and so leaves nothing behind.

    They are made within it: ``torch.func`` refuses a write to a tensor from outside of it.
    """

    def function(x: Tensor, parameters: Named, buffers: Named) -> Any:
        own = {name: buffer.clone() for name, buffer in buffers.items()}
        return functional_call(network, (parameters, own), (x,))

    return function


def _sequential(**layers: nn.Module) -> nn.Module:
    chain = nn.Sequential()
    for name, layer in layers.items():
        chain.add_module(name, layer)
    return chain


def _digits_cnn(channels: int) -> nn.Module:
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


class Attention(nn.MultiheadAttention):
    """Self-attention with a residual, as ``nn.MultiheadAttention`` is called by default.

    It stays in train mode, which without dropout is the same function: in eval mode torch may take
    a fast path that has no forward-mode derivative.
    """

    weights = True

    def __init__(self, width: int) -> None:
        super().__init__(width, width // HEAD_WIDTH, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Return x plus what its tokens see of each other, of the same shape."""
        return x + super().forward(x, x, x, need_weights=self.weights)[0]


class FusedAttention(Attention):
    """The same without returning weights: torch then calls ``scaled_dot_product_attention``.

    Its kernel for the CPU has no forward-mode derivative and no batching rule (torch 2.13).
    """

    weights = False


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
        y: Tensor = inputs + self.dense2(self.gelu(self.dense1(self.norm(inputs))))
        return y


def _batch_norm(features: int, hidden: int, outputs: int) -> nn.Module:
    return _sequential(
        dense1=nn.Linear(features, hidden),
        norm=nn.BatchNorm1d(hidden),
        tanh=nn.Tanh(),
        dense2=nn.Linear(hidden, outputs),
    )


def _batch_norm_eval(features: int, hidden: int, outputs: int) -> nn.Module:
    return _batch_norm(features, hidden, outputs).eval()


_NETWORKS: dict[str, tuple[Callable[..., nn.Module], Callable[[nn.Module], Function]]] = {
    "digits_cnn": (_digits_cnn, _by_parameters),
    "attention": (Attention, _by_inputs),
    "attention_fused": (FusedAttention, _by_inputs),
    "layernorm": (FeedForward, _by_parameters),
    "batch_norm": (_batch_norm, _by_inputs_in_train_mode),
    "batch_norm_eval": (_batch_norm_eval, _by_inputs),
}
