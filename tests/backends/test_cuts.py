"""What stops gradients in a program, and on which line."""

from __future__ import annotations

from typing import Any

import pytest

from jacbench import registry
from tests.picking.planted import configured


def torch_stops(f: Any) -> str:
    torch = pytest.importorskip("torch")
    return registry.load("torch").stops(f, torch.ones(2, dtype=torch.float64))


def test_torch_names_the_call_and_its_line() -> None:
    torch = pytest.importorskip("torch")

    def f(x: Any) -> Any:
        with torch.no_grad():
            shift = x.max()
        return x.detach() * x.data + shift

    assert torch_stops(f) == (
        "torch.no_grad (test_cuts.py, line 22), detach (test_cuts.py, line 24), "
        ".data (test_cuts.py, line 24)"
    )
    assert torch_stops(torch.no_grad()(torch.sin)).startswith("torch.no_grad")


def test_torch_that_stops_nothing_says_nothing() -> None:
    torch = pytest.importorskip("torch")
    layer = torch.nn.Linear(2, 2, dtype=torch.float64)
    assert torch_stops(lambda x: torch.softmax(layer(x), -1) * torch.ones(2)) == ""


def test_jax_looks_into_inner_programs() -> None:
    jax = pytest.importorskip("jax")
    configured("jax")
    stops, x = registry.load("jax").stops, jax.numpy.ones(2)

    def inner(x: Any) -> Any:
        return jax.lax.stop_gradient(x)

    found = stops(lambda x: jax.lax.map(jax.jit(inner), x) * x, x)
    assert found == "stop_gradient (test_cuts.py, line 45)"
    assert stops(jax.nn.relu, x) == ""


def test_autograd_has_none() -> None:
    pytest.importorskip("autograd")
    assert registry.load("autograd").stops(lambda x: x, 1.0) == ""
