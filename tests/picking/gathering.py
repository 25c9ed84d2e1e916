"""Evidence of planted functions: what its tests ask for, and the answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from jacbench.checking import matrix_error
from jacbench.checking.random_products import ByProducts
from jacbench.picking.examining.examination import examine
from jacbench.picking.reference.evidence import Truth, truth
from tests.picking.planted import A, X, configured, subject

BACKENDS = ("torch", "jax", "autograd")


def smooth(xp: Any) -> Callable[[Any], Any]:
    return lambda x: xp.tanh(xp.matmul(xp.asarray(A), x))


def exact(x: np.ndarray) -> np.ndarray:
    return (1 - np.tanh(A @ x) ** 2)[:, None] * A


def gathered(f: Callable[..., Any], x: Any = X, **options: Any) -> Truth:
    asked = subject(f, x, **options)
    backend = asked.backends[0]
    return truth(asked, backend, examine(asked, backend))


def off(found: Truth, J: np.ndarray) -> float:
    """Return the normwise error of a Jacobian at x, or what products see of it."""
    known = found.reference
    if isinstance(known, ByProducts):
        return known.distance(J).error
    return matrix_error.compare(J, known.here.jacobian).error


def of(backend: str, **options: Any) -> Truth:
    pytest.importorskip(backend)
    return gathered(smooth(configured(backend).xp), backend=backend, **options)


def in_torch(x: Any, A: Any) -> Any:
    import torch

    return torch.tanh(A @ torch.cat([x["b"].reshape(1), x["w"]]))


def in_jax(x: Any, A: Any) -> Any:
    import jax.numpy as jnp

    return jnp.tanh(A @ jnp.concatenate([x["b"].reshape(1), x["w"]]))


def in_autograd(x: Any, A: Any) -> Any:
    import autograd.numpy as anp

    return anp.tanh(anp.dot(A, anp.concatenate([anp.reshape(x["b"], (1,)), x["w"]])))
