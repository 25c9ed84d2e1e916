"""One network, whose Jacobian is small, tall, wide, square or a single row."""

from __future__ import annotations

from typing import Any

import numpy as np

from jacbench.core.arrays import Array
from jacbench.core.function_types import Namespace
from jacbench.problems import Entry
from jacbench.problems.problem import Problem


def _layer(rng: np.random.Generator, fan_in: int, fan_out: int) -> tuple[Array, Array]:
    W = rng.standard_normal((fan_in, fan_out)) / np.sqrt(fan_in)
    return W, rng.standard_normal(fan_out)


def hidden_layer(entry: Entry) -> Problem:
    """Build y = tanh(x W1 + b1) W2 + b2 with x of shape (n,) and y of shape (m,)."""
    m, n, width = (entry.parameters[key] for key in ("m", "n", "width"))
    rng = np.random.default_rng([2604, m, n])
    return Problem(
        name=entry.name,
        summary=entry.summary,
        source=entry.source,
        function=_function,
        x=rng.standard_normal(n),
        constants=(_layer(rng, n, width), _layer(rng, width, m)),
        jacobian=_jacobian,
    )


def _function(xp: Namespace, x: Any, first: Any, second: Any) -> Any:
    (W1, b1), (W2, b2) = first, second
    return xp.tanh(x @ W1 + b1) @ W2 + b2


def _jacobian(x: Array, first: Any, second: Any) -> Array:
    (W1, b1), (W2, _) = first, second
    slope = 1 - np.tanh(x @ W1 + b1) ** 2
    # The slope goes with the smaller factor, and the products are of rows as they lie in memory:
    # twice as fast on 2048 x 32 as (W2.T * slope) @ W1.T.
    by_input: Array = (W1 * slope) @ W2 if len(W1) < len(W2.T) else W1 @ (slope[:, None] * W2)
    return by_input.T
