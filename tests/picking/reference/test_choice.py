"""Every entry where the Jacobian is small, and products where it is not."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from jacbench.checking.evidence.judgement import Judgement
from jacbench.checking.evidence.mode_products import Products
from jacbench.checking.reference import Reference
from jacbench.core.errors import JacbenchError, NothingRightError
from jacbench.picking.examining.examination import examine
from jacbench.picking.reference import choice
from jacbench.picking.reference.evidence import truth
from tests.picking.gathering import (
    BACKENDS,
    exact,
    gathered,
    in_autograd,
    in_jax,
    in_torch,
    of,
    off,
    smooth,
)
from tests.picking.planted import A, X, configured, subject

anp = pytest.importorskip("autograd.numpy")

# torch's own: the first use of forward mode
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")


@pytest.mark.parametrize("backend", BACKENDS)
def test_small_and_consensus(backend: str) -> None:
    found = of(backend)
    assert found.whole
    assert found.reference.kind == "consensus"
    assert np.allclose(found.reference.here.jacobian, exact(X), rtol=0, atol=1e-14)
    assert len(found.products.names) == 2
    assert found.products.agreement is not None
    assert found.products.agreement < 1e-14
    assert found.judgement.confirmed is not None
    assert found.judgement.confirmed < 1e-8
    assert found.doubt is None
    assert found.told.startswith("two independent methods in float64 (")
    assert "confirm them to" in found.told
    assert "\n" not in found.told
    assert off(found, exact(X)) < 1e-14


def test_a_neutral_function_has_the_complex_step() -> None:
    asked = subject(smooth(anp), native={}, function=lambda xp, x: xp.tanh(xp.sum(x) * x))
    found = truth(asked, "autograd", examine(asked, "autograd"))
    assert found.reference.kind == "complex-step"
    assert found.told.startswith("the complex step is right; two independent methods")


def test_without_an_examination_it_makes_one() -> None:
    found = truth(subject(smooth(configured("autograd").xp)), "autograd")
    assert found.whole
    assert found.judgement.confirmed is not None


def test_a_hand_written_jacobian_is_checked() -> None:
    right = gathered(smooth(configured("autograd").xp), jacobian=exact)
    assert right.reference.kind == "analytic"
    assert right.told.startswith("the hand-written Jacobian is right; two independent methods")
    with pytest.raises(JacbenchError, match=r"its own jacobian= is the odd one out"):
        gathered(smooth(configured("autograd").xp), jacobian=lambda x: exact(x) * 1.001)


def test_what_takes_too_long_is_seen_through_products() -> None:
    asked = subject(smooth(configured("autograd").xp))
    found = truth(asked, "autograd", examine(asked, "autograd"), budget_s=0.0)
    assert not found.whole


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_large_by_products(backend: str, dtype: str) -> None:
    f = {"torch": in_torch, "jax": in_jax, "autograd": in_autograd}[backend]
    pytest.importorskip(backend)
    configured(backend)
    x = {"w": np.array([0.3, -0.4]), "b": np.array(0.9)}
    asked = subject(f, x, backend=backend, dtype=dtype, constants=(A,))
    found = truth(asked, backend, examine(asked, backend))
    assert not found.whole
    assert "in float64" in found.told
    assert found.reference.error == 0.0
    at = {name: leaf.astype(dtype).astype(float) for name, leaf in x.items()}
    c = A.astype(dtype).astype(float)
    v = np.concatenate([at["b"].reshape(1), at["w"]])
    J = (1 - np.tanh(c @ v) ** 2)[:, None] * c
    assert off(found, J) < 1e-14
    J[1, 2] += 1e-9
    assert off(found, J) > 1e-11
    assert "on 3 random products from either side" in found.told


@pytest.mark.usefixtures("large")
def test_a_large_jacobian_is_never_held() -> None:
    n = 200_000
    found = gathered(lambda x: x**2 * anp.roll(x, 1), np.linspace(0.5, 1.5, n))
    assert (found.reference.m, found.reference.here.jacobian.shape) == (n, (n, 3))
    rows = np.arange(n)
    sparse = pytest.importorskip("scipy.sparse")
    x = found.reference.here.x
    values = np.concatenate([2 * x * np.roll(x, 1), x**2])
    columns = np.concatenate([rows, (rows - 1) % n])
    J = sparse.csr_array((values, (np.tile(rows, 2), columns)), shape=(n, n))
    assert off(found, J) < 1e-14
    J.data[12345] *= 1.01
    assert off(found, J) > 1e-7


# --- by hand: products of J and J + off, the second by the reverse mode ---


RIGHT = exact(X)


def chosen(
    apart: float, judgement: Judgement, J: Any = RIGHT, precision: str = "float32"
) -> Reference:
    """Return what is chosen where the two modes are ``apart``."""
    m, n = J.shape
    V, U = np.eye(n)[:, :3], np.eye(m)[:3]
    found = Products(
        forward="sim.forward",
        reverse="sim.reverse",
        tangents=V,
        cotangents=U,
        along=[V, V],
        pushed=[J @ V] * 2,
        pushed_along=[J @ V] * 2,
        pulled=[U @ J * (1 + apart)] * 2,
    )
    ground: Any = SimpleNamespace(
        precision=precision,
        limit=1e-4 if precision == "float32" else 1e-11,
        noise=0.0,
        calls=SimpleNamespace(who="f", device="cpu", name="sim"),
        problem=SimpleNamespace(constants=(), jacobian=lambda x: J, function=None, native={}, n=n),
        points=(np.zeros(n), np.ones(n)),
        y=(np.zeros(m), np.zeros(m)),
    )
    gathering: Any = SimpleNamespace(
        ground=ground,
        found=found,
        judgement=judgement,
        witnesses=SimpleNamespace(reasons=()),
    )
    return choice.choose(gathering, precision, budget_s=9.0)[0]


BOTH = Judgement(("forward", "reverse"))


def test_how_far_one_that_is_disbelieved_is_away_widens_no_tolerance() -> None:
    for alone in (Judgement(("forward",)), Judgement(("reverse",))):
        assert chosen(0.5, alone).error == 1e-4
    assert 3e-5 < chosen(1e-4, BOTH).error < 1e-3


def test_where_two_modes_agree_to_little_nothing_is_picked() -> None:
    for apart in (0.1, 3.0, math.nan):
        with pytest.raises(NothingRightError, match="tells no right Jacobian from a wrong"):
            chosen(apart, BOTH)


def test_a_large_jacobian_is_not_compared_entry_by_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> Reference:
        raise AssertionError("the whole matrix was asked for")

    monkeypatch.setattr(choice, "reference", never)
    J = np.broadcast_to(1.0, (2_001, 1_000))
    assert chosen(0.0, BOTH, J, "float64").kind == "consensus"
    with pytest.raises(AssertionError, match="the whole matrix"):
        chosen(0.0, BOTH, J[1:], "float64")
