"""The small functions with which one starts: their Jacobians fit on a page."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np

from jacbench.core.arrays import Array
from jacbench.core.function_types import Namespace, Tap, untapped
from jacbench.problems import Entry
from jacbench.problems.problem import Problem


def _layers(rng: np.random.Generator, widths: list[int]) -> tuple[tuple[Array, Array], ...]:
    """Return seeded weights (fan_in, fan_out) and biases (fan_out,) of unit output scale."""
    return tuple(
        (
            rng.standard_normal((fan_in, fan_out)) / np.sqrt(fan_in),
            0.1 * rng.standard_normal(fan_out),
        )
        for fan_in, fan_out in itertools.pairwise(widths)
    )


# --- basics/mlp-weights ---


def mlp_weights(entry: Entry) -> Problem:
    """Build a tanh network 6-4-3-1 as a function of its weights: 20 x 47."""
    rng = np.random.default_rng(2601)
    return Problem(
        name=entry.name,
        summary=entry.summary,
        source=entry.source,
        function=_tanh_network,
        x=_layers(rng, [6, 4, 3, 1]),
        constants=(rng.standard_normal((entry.parameters["batch"], 6)),),
        jacobian=_tanh_network_by_weights,
        in_axes=(None, 0),
    )


def _tanh_network(xp: Namespace, x: Any, batch: Any) -> Any:
    for W, b in x:
        batch = xp.tanh(batch @ W + b)
    return batch


def _tanh_network_by_weights(x: Any, batch: Array) -> Array:
    inputs = [batch]
    for W, b in x:
        inputs.append(np.tanh(inputs[-1] @ W + b))
    # d is the derivative of a sample's output by the pre-activations of a layer, from the last one
    y = inputs.pop()
    d = 1 - y**2
    blocks: list[Array] = []
    for (W, _), a in zip(reversed(x), reversed(inputs), strict=True):
        by_W = a[:, :, None] * d[:, None, :]
        blocks[:0] = [by_W.reshape(len(a), -1), d]
        d = (d @ W.T) * (1 - a**2)
    return np.concatenate(blocks, axis=1)


# --- basics/linear-sum ---


def linear_sum(entry: Entry) -> Problem:
    """Build sum(Z), Z = XW + B, as a function of X: 1 x 6."""
    return Problem(
        name=entry.name,
        summary=entry.summary,
        source=entry.source,
        function=_linear_sum,
        x=np.array([[0.5, 0.3, 2.1], [0.2, 0.1, 1.1]]),
        constants=(np.array([[2.1, 1.5], [-1.4, 0.5], [0.2, 1.1]]), np.array([1.1, -0.3])),
        jacobian=_linear_sum_by_x,
        tapped=True,
    )


def linear_sum_by_z(entry: Entry) -> Problem:
    """Build sum(Z) as a function of the intermediate value Z = XW + B: 1 x 4, all ones."""
    by_x = linear_sum(replace(entry, name="basics/linear-sum"))
    by_z = by_x.at("Z", jacobian=lambda shift, *_: np.ones((1, shift.size), shift.dtype))
    return replace(by_z, name=entry.name, summary=entry.summary, source=entry.source)


def _linear_sum(xp: Namespace, x: Any, W: Any, B: Any, tap: Tap = untapped) -> Any:
    Z = tap("Z", x @ W + B)
    return xp.sum(Z)


def _linear_sum_by_x(x: Array, W: Array, B: Array) -> Array:
    del B
    return np.tile(W.sum(axis=1), len(x))[None, :]


# --- basics/shifted-square ---


def shifted_square(entry: Entry) -> Problem:
    """Build (x + 1)^2 at the identity: 25 x 25."""
    return Problem(
        name=entry.name,
        summary=entry.summary,
        source=entry.source,
        function=_shifted_square,
        x=np.eye(entry.parameters["size"]),
        jacobian=_shifted_square_by_x,
    )


def _shifted_square(xp: Namespace, x: Any) -> Any:
    return xp.square(x + 1)


def _shifted_square_by_x(x: Array) -> Array:
    return np.diag(2 * (x.ravel() + 1))


# --- basics/logistic-loss ---


def logistic_loss(entry: Entry) -> Problem:
    """Build the mean binary cross-entropy of x @ w + b as a function of (w, b): 1 x 18."""
    rng = np.random.default_rng(2602)
    return Problem(
        name=entry.name,
        summary=entry.summary,
        source=entry.source,
        function=_logistic_loss,
        x=(rng.standard_normal((5, 3)), rng.standard_normal(3)),
        constants=(np.ones(5), np.zeros(3)),
        jacobian=_logistic_loss_by_weights,
    )


def _logistic_loss(xp: Namespace, x: Any, features: Any, labels: Any) -> Any:
    w, b = x
    z = features @ w + b
    return xp.mean(xp.softplus(z) - labels * z)


def _logistic_loss_by_weights(x: Any, features: Array, labels: Array) -> Array:
    w, b = x
    z = features @ w + b
    by_z = (1 / (1 + np.exp(-z)) - labels) / z.size
    return np.concatenate([np.outer(features, by_z).ravel(), by_z])[None, :]


# --- basics/generator ---


def generator(entry: Entry) -> Problem:
    """Build a leaky ReLU network 2-100-100-100-2 as a function of a batch: 200 x 200."""
    rng = np.random.default_rng(2613)
    problem = Problem(
        name=entry.name,
        summary=entry.summary,
        source=entry.source,
        function=_generator,
        x=rng.standard_normal((entry.parameters["batch"], 2)),
        constants=(_layers(rng, [2, 100, 100, 100, 2]),),
        jacobian=_generator_by_x,
        in_axes=(0, None),
    )
    points = (problem.x, problem.elsewhere)
    nearest = min(_distance_to_kink(x, *problem.constants) for x in points)
    return replace(problem, kink_distance=nearest)


def _distance_to_kink(x: Any, layers: Any) -> float:
    """Return how far one input can move, to first order, until a unit changes its slope."""
    *hidden, _ = layers
    batch, n_in = x.shape
    by_x = np.broadcast_to(np.eye(n_in), (batch, n_in, n_in))
    nearest = np.inf
    for V, c in hidden:
        z = x @ V + c
        by_x = by_x @ V
        nearest = min(nearest, float(np.min(np.abs(z) / np.abs(by_x).max(axis=1))))
        slope = np.where(z >= 0, 1.0, 0.2)
        x, by_x = slope * z, by_x * slope[:, None, :]
    return nearest


def _generator(xp: Namespace, x: Any, layers: Any) -> Any:
    *hidden, (W, b) = layers
    for V, c in hidden:
        x = xp.leaky_relu(x @ V + c, 0.2)
    return xp.tanh(x @ W + b)


def _generator_by_x(x: Array, layers: Any) -> Array:
    *hidden, (W, b) = layers
    batch, n_in = x.shape
    # by_x[s, i, k] is the derivative of unit k of sample s by input i of the same sample
    by_x = np.broadcast_to(np.eye(n_in, dtype=x.dtype), (batch, n_in, n_in))
    for V, c in hidden:
        z = x @ V + c
        slope = np.where(z >= 0, z.dtype.type(1), z.dtype.type(0.2))
        x = slope * z
        by_x = (by_x @ V) * slope[:, None, :]
    y = np.tanh(x @ W + b)
    by_x = (by_x @ W) * (1 - y**2)[:, None, :]
    # samples do not see each other: their blocks stand on the diagonal
    J = np.zeros((*y.shape, batch, n_in), dtype=y.dtype)
    samples = np.arange(batch)
    J[samples, :, samples, :] = by_x.transpose(0, 2, 1)
    return J.reshape(y.size, -1)
