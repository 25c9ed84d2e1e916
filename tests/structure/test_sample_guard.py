"""Samples that begin to see each other after a Jacobian per sample was prepared."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jacbench
from jacbench.backend import registry
from jacbench.core.errors import JacbenchError

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")

X = 0.3 * np.random.default_rng(0).standard_normal((4, 3))
OPEN = 7.3
"""Where the gate is, narrow: no point that is tried beforehand comes near it."""
METHODS = [
    info.name
    for descriptor in registry.descriptors().values()
    if descriptor.absent() is None and descriptor.name != "numpy"
    for info in descriptor.methods
    if info.operator == "batch_jacobian"
]


def gated(name: str) -> Any:
    """Return a function whose samples see each other where their mean is close to ``OPEN``."""
    xp = registry.load(registry.descriptor_of(name).name).xp

    def f(x: Any) -> Any:
        off = xp.abs(xp.mean(x, axis=0) - OPEN)
        return x**2 + 3 * xp.maximum(0.05 - off, 0.0 * x[0])

    return f


@pytest.fixture(autouse=True)
def _float64() -> Any:
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        yield


def native(name: str, x: np.ndarray) -> Any:
    backend = registry.load(registry.descriptor_of(name).name)
    return backend.put(x, "cpu", "float64")


@pytest.mark.parametrize("name", METHODS)
def test_samples_that_begin_to_see_each_other_are_no_blocks(name: str) -> None:
    f = gated(name)
    backend = registry.load(registry.descriptor_of(name).name)
    prepared = jacbench.prepare(f, native(name, X), name, in_axis=0)
    own = backend.to_numpy(prepared(native(name, X)))
    right = np.zeros((4, 3, 3))
    right[:, range(3), range(3)] = 2 * X
    np.testing.assert_allclose(own, right, atol=1e-14)
    with pytest.raises(JacbenchError, match="samples interact at this x"):
        prepared(native(name, X - X.mean(axis=0) + OPEN + 0.02))


@pytest.mark.parametrize("name", METHODS)
def test_samples_that_stay_apart_are_never_doubted(name: str) -> None:
    backend = registry.load(registry.descriptor_of(name).name)
    xp = backend.xp
    prepared = jacbench.prepare(
        lambda x: xp.stack([xp.sum(x**3, axis=1), xp.sin(x[:, 0] * x[:, 1])], axis=1),
        native(name, X),
        name,
        in_axis=0,
        guard_every=1,
    )
    for shift in (0.0, 1.0, -7.0):
        x = X + shift
        right = np.zeros((4, 2, 3))
        right[:, 0] = 3 * x**2
        right[:, 1, 0] = np.cos(x[:, 0] * x[:, 1]) * x[:, 1]
        right[:, 1, 1] = np.cos(x[:, 0] * x[:, 1]) * x[:, 0]
        np.testing.assert_allclose(backend.to_numpy(prepared(native(name, x))), right, atol=1e-10)


def test_samples_that_interact_are_refused_when_prepared() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(JacbenchError, match="samples interact"):
        jacbench.prepare(lambda x: x - x.mean(0), torch.tensor(X), "torch.sum-trick", in_axis=0)
    off = jacbench.prepare(
        lambda x: x - x.mean(0), torch.tensor(X), "torch.sum-trick", in_axis=0, guard="off"
    )
    assert off(torch.tensor(X)).abs().max() < 1e-15


@pytest.mark.parametrize("surrounding", ["no_grad", "inference_mode"])
def test_samples_are_not_doubted_where_gradients_are_switched_off(surrounding: str) -> None:
    torch = pytest.importorskip("torch")

    def f(x: Any) -> Any:
        return x**2 if float(x.detach().sum()) < 1e9 else x  # no program of it holds for every x

    prepared = jacbench.prepare(f, torch.tensor(X), "torch.sum-trick", in_axis=0)
    assert prepared.notes["guard"] == "every call: raise"
    assert prepared.notes["guard_cost"] >= 1
    with getattr(torch, surrounding)():
        J = prepared(torch.tensor(X + 1))
    np.testing.assert_allclose(J.diagonal(dim1=1, dim2=2).numpy(), 2 * (X + 1))


@pytest.mark.parametrize("scale", [1e-8, 1e-20])
def test_samples_that_see_each_other_in_a_small_output_are_no_blocks(scale: float) -> None:
    torch = pytest.importorskip("torch")

    def f(x: Any) -> Any:
        if abs(float(x.detach().mean()) - OPEN) > 0.05:
            return torch.stack([x[:, 0], scale * x[:, 0]], dim=1)
        return torch.stack([x[:, 0], scale * x[:, 0] + scale * x[:, 0].mean()], dim=1)

    prepared = jacbench.prepare(f, torch.tensor(X), "torch.sum-trick", in_axis=0)
    prepared(torch.tensor(X + 1))
    with pytest.raises(JacbenchError, match="samples interact at this x"):
        prepared(torch.tensor(X - X.mean() + OPEN))


def test_a_rule_that_couples_samples_is_seen_in_a_single_call() -> None:
    pytest.importorskip("autograd")
    from autograd.extend import defvjp, primitive

    batch = np.arange(6.0).reshape(3, 2)
    copied = primitive(lambda x: x * 1.0)
    defvjp(copied, lambda ans, x: lambda g: g + np.roll(g, 1, axis=0))
    with pytest.raises(JacbenchError, match="samples interact at this x"):
        jacbench.batch_jacobian(copied, batch, "autograd.sum-trick")
    found = jacbench.batch_jacobian(copied, batch, "autograd.sum-trick", check=False)
    assert found.shape == (3, 2, 2)
