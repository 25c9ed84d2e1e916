"""A graph that is cut is told as cut, by what and where; zeros are right where y stands still."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jacbench as jb
from jacbench.backend import registry
from jacbench.core.errors import JacbenchError

torch = pytest.importorskip("torch")

# torch's own, at the first use of forward mode
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.* is deprecated:DeprecationWarning")

X = torch.tensor([0.3, 1.2], dtype=torch.float64)
REVERSE = ["torch.grad-loop", "torch.backward-loop", "torch.func.jacrev", "torch.functional"]


def rebuilt(v: Any) -> Any:
    return torch.tensor([v[0] * 2, v[1] ** 2])


def detached(v: Any) -> Any:
    return torch.sin(v.detach())


def through_data(v: Any) -> Any:
    return torch.sin(v.data)


@torch.no_grad()
def without_grad(v: Any) -> Any:
    return torch.sin(v)


def in_inference_mode(v: Any) -> Any:
    with torch.inference_mode():
        return torch.sin(v)


def by_numbers(v: Any) -> Any:
    return torch.stack([torch.tensor(v[0].item()), torch.tensor(3.0)]).double()


def metric(v: Any) -> Any:
    J = torch.autograd.functional.jacobian(lambda x: x**2, v)
    return J.T @ J


CUTS = {
    rebuilt: "torch.tensor(...)",
    detached: ".detach()",
    through_data: ".data",
    without_grad: "torch.no_grad()",
    in_inference_mode: "torch.inference_mode()",
    by_numbers: ".item()",
    metric: "torch.autograd.functional.jacobian without create_graph=True",
}


def line_of(f: Callable[[Any], Any], what: str) -> str:
    """Return the file and the line where ``f`` does what cuts."""
    source, first = inspect.getsourcelines(f)
    word = {"torch.no_grad()": "sin", "torch.inference_mode()": "sin"}.get(what)
    word = word or re.split(r"[( ]", what.removeprefix("."))[0] or what
    at = next(i for i, line in enumerate(source) if word in line and "def " not in line)
    return f"{Path(__file__).name}:{first + at}"


@pytest.mark.parametrize("f", CUTS, ids=lambda f: f.__name__)
def test_the_place_of_a_cut_is_told(f: Callable[[Any], Any]) -> None:
    found = registry.load("torch").cuts(f, X)
    assert str(found[0]) == f"{CUTS[f]} at {line_of(f, CUTS[f])}"
    with torch.no_grad():
        assert registry.load("torch").cuts(f, X) == found


@pytest.mark.parametrize("method", REVERSE)
@pytest.mark.parametrize("f", [rebuilt, without_grad, through_data], ids=lambda f: f.__name__)
def test_zeros_of_a_cut_graph_are_refused(f: Callable[[Any], Any], method: str) -> None:
    told = f"y moves with x: the graph from x to y is cut, by {CUTS[f]} at {line_of(f, CUTS[f])}"
    for call in (jb.jacobian, jb.prepare):
        with pytest.raises(JacbenchError, match=re.escape(told)):
            call(f, X, method)


def test_products_of_a_cut_graph_are_refused_and_those_that_are_zero_by_right_are_not() -> None:
    with pytest.raises(JacbenchError, match=r"torch\.no_grad\(\)"):
        jb.vjp(without_grad, X, torch.ones(2, dtype=X.dtype), "torch.autograd.grad")
    assert not jb.vjp(torch.sin, X, torch.zeros(2, dtype=X.dtype), "torch.autograd.grad").any()


def test_forward_mode_goes_through_no_grad() -> None:
    J = jb.jacobian(without_grad, X, "torch.func.jacfwd")
    assert torch.allclose(J, torch.diag(X.cos()))


@pytest.mark.parametrize("method", ["torch.grad-loop", "torch.func.jacrev", "torch.func.jacfwd"])
def test_zeros_are_right_where_y_stands_still(method: str) -> None:
    closed_over = torch.ones(3, dtype=X.dtype, requires_grad=True)
    for f in (
        lambda v: closed_over.sin(),
        torch.round,
        lambda v: torch.relu(v - 5),
        torch.ones_like,
    ):
        J = jb.jacobian(f, X, method)
        assert not J.any()
        assert not jb.prepare(f, X, method)(X).any()


def test_what_is_cut_in_part_is_as_it_was_written() -> None:
    def held(v: Any) -> Any:
        return torch.sin(v.data) * v

    assert torch.allclose(jb.jacobian(held, X, "torch.grad-loop"), torch.diag(X.sin()))
    (cut,) = registry.load("torch").cuts(held, X)
    assert (cut.what, cut.meant) == (".data", True)
    assert registry.load("torch").cuts(torch.sin, X) == ()


@pytest.mark.parametrize(
    ("library", "method"), [("jax", "jax.jacrev"), ("autograd", "autograd.vjp-loop")]
)
@pytest.mark.filterwarnings("ignore:Output seems independent of input")
def test_zeros_of_other_libraries_are_refused_too(library: str, method: str) -> None:
    pytest.importorskip(library)
    x = np.array([0.5, 2.0], dtype=np.float32)
    if library == "jax":
        import jax

        def f(v: Any) -> Any:
            return jax.lax.stop_gradient(jax.numpy.sin(v))
    else:
        from autograd.tracer import getval

        def f(v: Any) -> Any:
            return np.sin(getval(v))

    with pytest.raises(
        JacbenchError, match=r"y moves with x: (something cuts x off|.* by stop_grad)"
    ):
        jb.jacobian(f, x, method)


# --- what a function keeps ---


def test_a_look_at_a_function_leaves_what_it_keeps_as_it_was() -> None:
    norm = torch.nn.BatchNorm1d(2).double()
    x = torch.linspace(-1, 1, 6, dtype=torch.float64).reshape(3, 2)
    alone = torch.nn.BatchNorm1d(2).double()
    alone(x)

    def called(v: Any) -> Any:
        return norm(v)

    for f in (norm, norm.forward, called):
        norm.reset_running_stats()
        state = torch.get_rng_state()
        prepared = jb.prepare(f, x, "torch.grad-loop")
        assert int(norm.num_batches_tracked) == 0
        assert torch.equal(torch.get_rng_state(), state)
        prepared(x)
        # that of the call itself is the function's own
        assert torch.equal(norm.running_mean, alone.running_mean)


def test_looks_draw_no_random_numbers() -> None:
    def noisy(v: Any) -> Any:
        return v * torch.rand(2, dtype=v.dtype)

    torch.manual_seed(3)
    expected = torch.rand(2, dtype=X.dtype)
    torch.manual_seed(3)
    assert torch.equal(jb.jacobian(noisy, X, "torch.grad-loop"), torch.diag(expected))
