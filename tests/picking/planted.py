"""Functions with one thing wrong, as the pick sees them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jacbench.backend import registry
from jacbench.backend.user_code import Spelling
from jacbench.picking.loading.subject import Subject
from jacbench.problems.problem import Problem

A = np.array([[1.0, -2.0, 0.5], [0.3, 0.7, -1.1]])
X = np.array([0.3, -0.4, 0.9])


def subject(
    f: Callable[..., Any],
    x: Any = X,
    *,
    backend: str = "autograd",
    dtype: str = "float64",
    evaluates_float64: bool = True,
    **parts: Any,
) -> Subject:
    """Return ``f``, native to ``backend``, as the pick's subject."""
    known: dict[str, Any] = {"name": "f", "native": {backend: f}, "x": x}
    return Subject(
        problem=Problem(**known | parts),
        backends=(backend,),
        dtype=dtype,
        device="cpu",
        kind=f"{backend} function",
        spelling=Spelling(setup=(), f="f", x="x", library=backend),
        evaluates_float64=evaluates_float64,
    )


def configured(backend: str) -> Any:
    """Return the backend as a worker has it: JAX with float64."""
    library = registry.load(backend)
    library.configure(1)
    return library


def attending() -> tuple[Callable[..., Any], np.ndarray]:
    """Return a plain torch function over a frozen encoder in eval mode, one position padded.

    Where no gradient is wanted torch gives zeros there. The function is smooth at the point.
    """
    import torch

    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(4, 2, 4, activation="gelu", batch_first=True)
    encoder = torch.nn.TransformerEncoder(layer, 1).double().eval().requires_grad_(False)
    padded = torch.tensor([[False, False, True]])
    x = np.random.default_rng(0).standard_normal((1, 3, 4))
    return lambda x: encoder(x, src_key_padding_mask=padded), x
