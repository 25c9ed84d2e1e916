"""float32 constants, lifted: the evidence of float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from jacbench.picking.examining.examination import examine
from tests.picking.gathering import gathered, off
from tests.picking.planted import A, X, configured, subject

anp = pytest.importorskip("autograd.numpy")

# torch's own: the first use of forward mode
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")


def test_float32_constants_have_the_evidence_of_float64() -> None:
    torch = pytest.importorskip("torch")
    W = torch.tensor(A, dtype=torch.float32)
    found = gathered(lambda x: torch.tanh(W @ x), backend="torch", dtype="float32")
    assert found.whole
    assert "methods in float64 (" in found.told
    assert found.told.startswith("two independent methods in float64 (")
    assert "its float32 constants were lifted to float64 for the reference" in found.told
    single = A.astype(np.float32).astype(float)
    x = X.astype(np.float32).astype(float)
    J = (1 - np.tanh(single @ x) ** 2)[:, None] * single
    assert off(found, J) < 1e-15
    assert found.judgement.confirmed is not None
    assert found.judgement.confirmed < 1e-8


@pytest.mark.usefixtures("large")
def test_a_module_in_float32_has_it_too() -> None:
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))
    found = gathered(module, backend="torch", dtype="float32")
    assert not found.whole
    assert "methods in float64 (" in found.told
    assert found.products.agreement is not None
    assert found.products.agreement < 1e-14
    assert found.reference.error == 0.0


def test_jax_lifts_by_itself() -> None:
    jnp = pytest.importorskip("jax.numpy")
    configured("jax")
    W = jnp.asarray(A, dtype="float32")
    found = gathered(lambda x: jnp.tanh(W @ x), backend="jax", dtype="float32")
    assert found.whole
    assert "methods in float64 (" in found.told
    assert "lifted" not in found.told


def test_autograd_lifts_by_itself() -> None:
    W = A.astype(np.float32)
    found = gathered(lambda x: anp.tanh(anp.dot(W, x)), dtype="float32")
    assert found.whole
    assert "methods in float64 (" in found.told


def test_where_a_mode_cannot_lift_both_are_asked_in_float32() -> None:
    torch = pytest.importorskip("torch")
    W = torch.tensor(A, dtype=torch.float32)

    class Product(torch.autograd.Function):
        """A rule that runs where no mode sees it."""

        generate_vmap_rule = True

        @staticmethod
        def forward(x: Any) -> Any:
            return W @ x

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            pass

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g @ W

        @staticmethod
        def jvp(ctx: Any, t: Any) -> Any:
            return W @ t

    f = Product.apply
    assert examine(subject(f, backend="torch", dtype="float32"), "torch").lifted
    found = gathered(f, backend="torch", dtype="float32")
    assert "methods in float32 (" in found.told
    assert len(found.products.names) == 2
    assert "methods in float32" in found.told
    assert "lifted" not in found.told
