"""What derivatives are taken with respect to: trees, unused inputs, parameters, single samples."""

from __future__ import annotations

from typing import Any

import numpy as np

from jacbench.core.arrays import Array
from jacbench.core.function_types import Namespace
from jacbench.problems import Entry
from jacbench.problems.problem import Problem

# --- wrt/dict-of-parameters ---


def dict_of_parameters(entry: Entry) -> Problem:
    """Build s (tanh((u * gain + shift) W1 + b1) W2 + b2) by everything but u: 4 x 21.

    x is a dict whose keys do not stand in their sorted order, which is that of the columns.
    """
    rng = np.random.default_rng(2702)
    return Problem(
        name=entry.name,
        summary=entry.summary,
        source=entry.source,
        function=_nested,
        x={
            "scale": np.array(1.3),
            "layers": [
                (rng.standard_normal((3, 2)), rng.standard_normal(2)),
                (rng.standard_normal((2, 2)), rng.standard_normal(2)),
            ],
            "input": {"shift": rng.standard_normal(3), "gain": rng.standard_normal(3)},
        },
        constants=(rng.standard_normal((2, 3)),),
        jacobian=_nested_by_x,
    )


def _nested(xp: Namespace, x: Any, u: Any) -> Any:
    (W1, b1), (W2, b2) = x["layers"]
    v = u * x["input"]["gain"] + x["input"]["shift"]
    return x["scale"] * (xp.tanh(v @ W1 + b1) @ W2 + b2)


def _nested_by_x(x: Any, u: Array) -> Array:
    (W1, b1), (W2, b2) = x["layers"]
    scale = x["scale"]
    v = u * x["input"]["gain"] + x["input"]["shift"]
    h = np.tanh(v @ W1 + b1)
    outputs = np.eye(W2.shape[1], dtype=u.dtype)
    # by_z[s, o, k] is the derivative of output o of sample s by unit k before its tanh
    by_z = scale * (1 - h**2)[:, None, :] * W2.T
    by_v = by_z @ W1.T
    blocks = [
        by_v * u[:, None, :],
        by_v,
        np.einsum("si,sok->soik", v, by_z),
        by_z,
        scale * np.einsum("sk,op->sokp", h, outputs),
        np.broadcast_to(scale * outputs, (len(u), *outputs.shape)),
        h @ W2 + b2,
    ]
    m = len(u) * len(outputs)
    return np.concatenate([block.reshape(m, -1) for block in blocks], axis=1)


# --- wrt/several-inputs ---


def several_inputs(entry: Entry) -> Problem:
    """Build exp(a) b + a^2 by (a, b, c), where a is used twice and c is not used: 3 x 8."""
    return Problem(
        name=entry.name,
        summary=entry.summary,
        source=entry.source,
        function=_several_inputs,
        x=(np.array([0.7, -0.4, 1.1]), np.array([0.5, 1.3, -0.8]), np.array([2.0, -1.0])),
        jacobian=_several_inputs_by_x,
    )


def _several_inputs(xp: Namespace, x: Any) -> Any:
    a, b, _ = x
    return xp.exp(a) * b + xp.square(a)


def _several_inputs_by_x(x: Any) -> Array:
    a, b, c = x
    unused = np.zeros((a.size, c.size), dtype=a.dtype)
    return np.concatenate([np.diag(np.exp(a) * b + 2 * a), np.diag(np.exp(a)), unused], axis=1)


# --- wrt/detached-input ---


def detached_input(entry: Entry) -> Problem:
    """Build sin(a) b by (a, b), where b is cut from differentiation: 3 x 6, half of it zeros."""
    return Problem(
        name=entry.name,
        summary=entry.summary,
        source=entry.source,
        function=_detached_input,
        x=(np.array([0.7, -0.4, 1.1]), np.array([0.5, 1.3, -0.8])),
        jacobian=_detached_input_by_x,
        stops_gradient=True,
    )


def _detached_input(xp: Namespace, x: Any) -> Any:
    a, b = x
    return xp.sin(a) * xp.stop_gradient(b)


def _detached_input_by_x(x: Any) -> Array:
    a, b = x
    return np.concatenate([np.diag(np.cos(a) * b), np.zeros((a.size, b.size), a.dtype)], axis=1)


# --- wrt/auxiliary ---


def auxiliary(entry: Entry) -> Problem:
    """Build a logistic loss that returns its logits and the number of hits beside it: 1 x 4."""
    rng = np.random.default_rng(2703)
    return Problem(
        name=entry.name,
        summary=entry.summary,
        source=entry.source,
        function=_loss_and_more,
        x=(rng.standard_normal(3), np.array(0.2)),
        constants=(rng.standard_normal((5, 3)), np.array([1.0, 0.0, 1.0, 1.0, 0.0])),
        has_aux=True,
        jacobian=_loss_by_x,
    )


def _loss_and_more(xp: Namespace, x: Any, features: Any, labels: Any) -> Any:
    w, b = x
    z = features @ w + b
    hits = (z > 0) == (labels > 0)
    return xp.mean(xp.softplus(z) - labels * z), {"logits": z, "count": xp.sum(hits)}


def _loss_by_x(x: Any, features: Array, labels: Array) -> Array:
    w, b = x
    by_z = (1 / (1 + np.exp(-(features @ w + b))) - labels) / len(labels)
    return np.concatenate([by_z @ features, by_z.sum(keepdims=True)])[None, :]


# --- wrt/per-sample, wrt/per-sample-parameters ---


def per_sample(entry: Entry) -> Problem:
    """Build a tanh network 3-2-2 by a batch of inputs: 2 batch x 3 batch, block-diagonal."""
    batch, layers = _batch_and_layers(entry.parameters["batch"])
    return Problem(
        name=entry.name,
        summary=entry.summary,
        source=entry.source,
        function=_by_inputs,
        x=batch,
        constants=(layers,),
        in_axes=(0, None),
        jacobian=_network_by_inputs,
    )


def per_sample_parameters(entry: Entry) -> Problem:
    """Build the same network by its parameters, for each sample: 2 batch x 14."""
    batch, layers = _batch_and_layers(entry.parameters["batch"])
    return Problem(
        name=entry.name,
        summary=entry.summary,
        source=entry.source,
        function=_by_parameters,
        x=layers,
        constants=(batch,),
        in_axes=(None, 0),
        jacobian=_network_by_parameters,
    )


def _batch_and_layers(samples: int) -> tuple[Array, tuple[tuple[Array, Array], ...]]:
    rng = np.random.default_rng(2704)
    layers = (
        (rng.standard_normal((3, 2)), rng.standard_normal(2)),
        (rng.standard_normal((2, 2)), rng.standard_normal(2)),
    )
    return rng.standard_normal((samples, 3)), layers


def _by_inputs(xp: Namespace, x: Any, layers: Any) -> Any:
    return _by_parameters(xp, layers, x)


def _by_parameters(xp: Namespace, x: Any, batch: Any) -> Any:
    (W1, b1), (W2, b2) = x
    return xp.tanh(batch @ W1 + b1) @ W2 + b2


def _network_by_inputs(x: Array, layers: Any) -> Array:
    (W1, b1), (W2, _) = layers
    slope = 1 - np.tanh(x @ W1 + b1) ** 2
    by_sample = (slope[:, None, :] * W2.T) @ W1.T
    samples = np.arange(len(x))
    J = np.zeros((len(x), W2.shape[1], len(x), x.shape[1]), dtype=x.dtype)
    J[samples, :, samples] = by_sample
    return J.reshape(-1, x.size)


def _network_by_parameters(x: Any, batch: Array) -> Array:
    (W1, b1), (W2, _) = x
    h = np.tanh(batch @ W1 + b1)
    outputs = np.eye(W2.shape[1], dtype=batch.dtype)
    by_z = (1 - h**2)[:, None, :] * W2.T
    blocks = [
        np.einsum("si,sok->soik", batch, by_z),
        by_z,
        np.einsum("sk,op->sokp", h, outputs),
        np.broadcast_to(outputs, (len(batch), *outputs.shape)),
    ]
    m = len(batch) * len(outputs)
    return np.concatenate([block.reshape(m, -1) for block in blocks], axis=1)


# --- wrt/scalar-input ---


def scalar_input(entry: Entry) -> Problem:
    """Build (sin x, x^2, exp(-x)) by a single number x, an array without axes: 3 x 1."""
    return Problem(
        name=entry.name,
        summary=entry.summary,
        source=entry.source,
        function=_curve,
        x=np.array(0.7),
        elsewhere=np.array(-0.4),
        jacobian=_curve_by_x,
    )


def _curve(xp: Namespace, x: Any) -> Any:
    return xp.stack([xp.sin(x), xp.square(x), xp.exp(-x)])


def _curve_by_x(x: Array) -> Array:
    return np.stack([np.cos(x), 2 * x, -np.exp(-x)])[:, None]
