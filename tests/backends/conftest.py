"""What the tests of the backends share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture
def jax_float64() -> Iterator[None]:
    """Let JAX keep float64, and put its option back."""
    jax = pytest.importorskip("jax")
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)
