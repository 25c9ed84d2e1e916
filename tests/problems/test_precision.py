"""In which precision a function computes, and whether float64 can say what is right for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from jacbench.problems import precision
from jacbench.problems.precision import Precision
from tests.picking.planted import A, X, configured, subject

SINGLE = A.astype(np.float32)


def found(f: Callable[[Any], Any], backend: str, asked: str = "float32") -> Precision:
    configured(backend)
    problem = subject(f, X, backend=backend).problem
    return precision.of(problem, backend, "cpu", asked, flexible=True)


def held(backend: str) -> Any:
    """Return float32 values of the library."""
    return {
        "torch": lambda: pytest.importorskip("torch").from_numpy(SINGLE),
        "jax": lambda: pytest.importorskip("jax.numpy").asarray(SINGLE),
        "autograd": lambda: SINGLE,
    }[backend]()


@pytest.mark.parametrize("backend", ["torch", "jax", "autograd"])
def test_float32_values_that_are_held_leave_float64_for_what_is_right(backend: str) -> None:
    if backend == "autograd":
        pytest.importorskip("autograd")
    W, product = held(backend), configured(backend).xp.matmul
    told = found(lambda x: product(W, x), backend)
    assert (told.dtype, told.evaluates_float64, told.notes) == ("float32", True, ())


def test_torch_is_asked_as_the_function_is_written_first() -> None:
    torch = pytest.importorskip("torch")
    seen: list[Any] = []

    def f(x: Any) -> Any:
        seen.append(x.dtype)
        return torch.tanh(x)

    assert found(f, "torch").evaluates_float64
    assert seen == [torch.float32, torch.float64]


@pytest.mark.parametrize("cast", [lambda torch, x: x.float(), lambda torch, x: x.to(torch.float32)])
def test_float32_by_name_is_no_float64(cast: Callable[[Any, Any], Any]) -> None:
    torch = pytest.importorskip("torch")
    W = torch.from_numpy(SINGLE)
    told = found(lambda x: W @ cast(torch, x), "torch")
    assert (told.dtype, told.evaluates_float64) == ("float32", False)
    assert told.notes == (
        "it has no value in float64 (it is float32 for a float64 x): what is right is settled in "
        "float32",
    )


def test_x_is_rounded_for_a_function_that_takes_float32_alone() -> None:
    torch = pytest.importorskip("torch")
    W = torch.from_numpy(SINGLE)
    told = found(lambda x: W @ x, "torch", "float64")
    assert (told.dtype, told.evaluates_float64) == ("float32", True)
    assert told.notes == ("it takes float32 and not float64: x is converted",)


def test_the_value_that_is_lifted_is_of_the_same_numbers() -> None:
    torch = pytest.importorskip("torch")
    W = torch.from_numpy(SINGLE)
    problem = subject(lambda x: W @ x, X, backend="torch").problem
    y = precision.value_of(problem, "torch", "cpu", "float64", exact=True, lifted=True)
    assert y.dtype == np.float64
    assert np.allclose(y, SINGLE.astype(float) @ X, rtol=1e-15, atol=1e-16)
