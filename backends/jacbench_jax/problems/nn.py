"""The networks of :mod:`jacbench.problems.nn` as JAX users write them."""

from __future__ import annotations

from typing import TypeAlias

import jax
import jax.numpy as jnp
from jax import Array, lax

from jacbench.problems.nn import HEAD_WIDTH

Named: TypeAlias = dict[str, Array]

_EPS = 1e-5


def _dense(layer: str, parameters: Named, inputs: Array) -> Array:
    return inputs @ parameters[f"{layer}.weight"].T + parameters[f"{layer}.bias"]


def digits_cnn(x: Named, images: Array) -> Array:
    """Return the logits (B, 10) of images (B, 1, 8, 8)."""
    hidden = images
    for layer in ("conv1", "conv2"):
        # the default dimension numbers are torch's: NCHW, OIHW
        z = lax.conv_general_dilated(hidden, x[f"{layer}.weight"], (1, 1), "SAME")
        a = jnp.tanh(z + x[f"{layer}.bias"][:, None, None])
        hidden = lax.reduce_window(a, 0.0, lax.add, (1, 1, 2, 2), (1, 1, 2, 2), "VALID") / 4
    return _dense("dense", x, hidden.reshape(len(hidden), -1))


def attention(x: Array, parameters: Named) -> Array:
    """Return self-attention with a residual, of the shape (B, seq, width) of x.

    Written out: ``jax.nn.dot_product_attention`` computes its softmax in float32 even of float64.
    """
    batch, seq, width = x.shape
    z = x @ parameters["in_proj_weight"].T + parameters["in_proj_bias"]
    heads = z.reshape(batch, seq, 3, width // HEAD_WIDTH, HEAD_WIDTH)
    queries, keys, values = jnp.moveaxis(heads, 2, 0)
    scores = jnp.einsum("bqhd,bkhd->bhqk", queries, keys) / HEAD_WIDTH**0.5
    weights = jax.nn.softmax(scores, axis=-1)
    merged = jnp.einsum("bhqk,bkhd->bqhd", weights, values).reshape(batch, seq, width)
    return x + _dense("out_proj", parameters, merged)


attention_fused = attention
"""It is torch's kernel that differs."""


def _standardised(z: Array, axis: int) -> Array:
    mean = jnp.mean(z, axis=axis, keepdims=True)
    variance = jnp.var(z, axis=axis, keepdims=True)
    return (z - mean) * lax.rsqrt(variance + _EPS)


def layernorm(x: Named, inputs: Array) -> Array:
    """Return the feed-forward block's output (B, width)."""
    normed = _standardised(inputs, -1) * x["norm.weight"] + x["norm.bias"]
    a = jax.nn.gelu(_dense("dense1", x, normed), approximate=True)
    return inputs + _dense("dense2", x, a)


def batch_norm(x: Array, parameters: Named, buffers: Named) -> Array:
    """Return the output (B, outputs) with the batch's own statistics."""
    del buffers
    return _after_norm(_standardised(_dense("dense1", parameters, x), 0), parameters)


def batch_norm_eval(x: Array, parameters: Named, buffers: Named) -> Array:
    """Return the output (B, outputs) with the running statistics."""
    z = _dense("dense1", parameters, x)
    scale = lax.rsqrt(buffers["norm.running_var"] + _EPS)
    return _after_norm((z - buffers["norm.running_mean"]) * scale, parameters)


def _after_norm(u: Array, parameters: Named) -> Array:
    a = jnp.tanh(u * parameters["norm.weight"] + parameters["norm.bias"])
    return _dense("dense2", parameters, a)
