"""A function that float64 makes another one of is settled and timed as the user has JAX set."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from jacbench.backend import registry
from jacbench.picking.benches.local import LocalBench
from jacbench.picking.examining.examination import examine
from jacbench.picking.loading import subject as subjects
from jacbench.picking.loading.inputs import Inputs
from jacbench.picking.reference.evidence import truth
from tests.picking.gathering import off

jax = pytest.importorskip("jax")
X = np.array([0.5, -1.0, 2.0, 0.25])


def noisy(x: Any) -> Any:
    return x * (1 + 0.1 * jax.random.normal(jax.random.PRNGKey(3), x.shape))


@pytest.fixture
def as_jax_comes() -> Any:
    before = registry.load("jax").state()
    jax.config.update("jax_enable_x64", False)
    yield
    registry.load("jax").restore(before)


@pytest.mark.usefixtures("as_jax_comes")
@pytest.mark.parametrize("name", ["noisy", "smooth"])
def test_the_function_is_the_one_at_the_users_settings(name: str) -> None:
    f = {"noisy": noisy, "smooth": jax.numpy.tanh}[name]
    found = subjects.of(f, Inputs(arguments=(X,), convertible=True))
    assert found.as_set == (name == "noisy")
    own = np.diag(jax.jacrev(f)(jax.numpy.asarray(X, dtype="float32")))
    bench = LocalBench(found, "jax")
    try:
        assert jax.config.jax_enable_x64 == (name != "noisy")
        right = truth(found, "jax", examine(found, "jax"))
        assert off(right, np.diag(own.astype(float))) < 1e-5
        if name == "noisy":
            assert right.doubt is None
            assert right.told.startswith("two independent methods in float32")
            assert any("with jax_enable_x64 on it is another function" in n for n in found.notes)
            assert not any("x64" in line for line in found.spelling.setup)
            # the same with float64 switched on would be wrong by a fifth
            with jax.enable_x64(True):
                other = np.diag(jax.jacrev(f)(jax.numpy.asarray(X)))
            assert off(right, np.diag(other)) > 0.1
    finally:
        bench.close()
