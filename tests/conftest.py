"""Settings of every test."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator

import hypothesis
import pytest

from jacbench.measuring import threads

# before any test imports NumPy: on a small or busy machine two threads per product cost far more
# than they give (66 s against 2.4 s for one cell)
threads.pin(1)

# a busy machine is no failure: nothing here is a test of time
hypothesis.settings.register_profile("jacbench", deadline=None)
hypothesis.settings.load_profile("jacbench")


@pytest.fixture(scope="module", autouse=True)
def _compiled_code_is_let_go() -> Iterator[None]:
    """Forget what JAX compiled for one file: a process that runs many would grow to gigabytes."""
    yield
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()
        gc.collect()
