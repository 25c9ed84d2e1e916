"""What stops gradients in a program, and on which line."""

from __future__ import annotations

from typing import Any

import pytest

from jacbench.backend import registry
from tests.picking.planted import configured


def torch_cuts(f: Any) -> list[str]:
    torch = pytest.importorskip("torch")
    found = registry.load("torch").cuts(f, torch.ones(2, dtype=torch.float64))
    return [str(cut) for cut in found]


def test_torch_names_the_call_and_its_line() -> None:
    torch = pytest.importorskip("torch")

    def f(x: Any) -> Any:
        with torch.no_grad():
            shift = x.max()
        return x.detach() * x.data + shift

    assert torch_cuts(f) == [
        "torch.no_grad() at test_cuts.py:24",
        ".detach() at test_cuts.py:25",
        ".data at test_cuts.py:25",
    ]
    assert torch_cuts(torch.no_grad()(torch.sin)) == ["torch.no_grad()"]


def test_torch_that_stops_nothing_says_nothing() -> None:
    torch = pytest.importorskip("torch")
    layer = torch.nn.Linear(2, 2, dtype=torch.float64)
    assert not torch_cuts(lambda x: torch.softmax(layer(x), -1) * torch.ones(2))


def test_jax_looks_into_inner_programs() -> None:
    jax = pytest.importorskip("jax")
    configured("jax")
    cuts, x = registry.load("jax").cuts, jax.numpy.ones(2)

    def inner(x: Any) -> Any:
        return jax.lax.stop_gradient(x)

    (found,) = cuts(lambda x: jax.lax.map(jax.jit(inner), x) * x, x)
    assert str(found).startswith("stop_gradient at test_cuts.py:")
    assert found.meant
    assert not cuts(jax.nn.relu, x)


def test_jax_tells_of_what_carries_x_to_y_alone() -> None:
    jax = pytest.importorskip("jax")
    configured("jax")
    stop, x = jax.lax.stop_gradient, jax.numpy.ones(2)

    def printed(x: Any) -> Any:
        jax.debug.callback(lambda _: None, stop(x))
        return x * stop(jax.numpy.ones(2))

    assert not registry.load("jax").cuts(printed, x)
    assert not registry.load("jax").cuts(lambda x, c: x * stop(c), x, x)
    assert registry.load("jax").cuts(lambda x, c: x * stop(c * x), x, x)


def unused(x: Any) -> Any:
    seen.append(x.detach().sum().item())
    return 2 * x


def shifted(x: Any) -> Any:
    y = (x - x.max().detach()).exp()
    return y / y.sum()


def branched(x: Any) -> Any:
    return x if x[0].item() > 0 else -x


def of_a_weight(x: Any) -> Any:
    return x * weight().detach()


def straight_through(x: Any) -> Any:
    return x + (x.round() - x).detach()


def at_zero(x: Any) -> Any:
    return x * (x - 1).detach()


def by_number(x: Any) -> Any:
    return x * x[0].item()


seen: list[float] = []


def weight() -> Any:
    torch = pytest.importorskip("torch")
    return torch.full((2,), 3.0, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("f", [unused, shifted, branched, of_a_weight])
def test_torch_tells_nothing_of_what_carries_no_x_to_y(f: Any) -> None:
    assert torch_cuts(f) == []


@pytest.mark.parametrize("f", [straight_through, at_zero, by_number])
def test_torch_tells_of_what_carries_x_to_y(f: Any) -> None:
    torch = pytest.importorskip("torch")
    (cut,) = registry.load("torch").cuts(f, torch.ones(2, dtype=torch.float64))
    assert cut.meant == (f is not by_number)


def test_autograd_has_none() -> None:
    pytest.importorskip("autograd")
    assert registry.load("autograd").cuts(lambda x: x, 1.0) == ()
