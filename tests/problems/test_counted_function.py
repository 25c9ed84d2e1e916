"""A user's function on NumPy arrays: what is placed, what is compiled, what is counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from jacbench.core.errors import JacbenchError
from jacbench.picking.examining.examination import examine
from jacbench.problems.counted_function import Calls, rounded
from jacbench.problems.problem import Problem
from tests.picking.planted import X, configured, subject

anp = pytest.importorskip("autograd.numpy")


def calls(f: Callable[..., Any], **parts: Any) -> Calls:
    asked = subject(f, **parts)
    return Calls(asked.problem, "autograd", dtype=asked.dtype, device="cpu")


def test_calls_are_counted_and_get_copies() -> None:
    asked = calls(lambda x, c: x * c, constants=(np.arange(3),))
    first, second = asked(X), asked(X)
    assert asked.count == 2
    assert asked.last_s > 0
    assert np.array_equal(first, X * np.arange(3))
    assert first is not second


def test_aux_is_left_out() -> None:
    assert np.array_equal(calls(lambda x: (x, 1), has_aux=True)(X), X)


def test_what_the_library_cannot_hold_in_this_dtype_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def narrow(self: Any, array: Any, device: str, dtype: str) -> Any:
        return np.asarray(array).astype(np.float32)

    monkeypatch.setattr(type(configured("autograd")), "put", narrow)
    with pytest.raises(JacbenchError, match="is float64 and the library made it float32"):
        calls(lambda x: x)(X)


@pytest.mark.parametrize("lifted", [True, False])
def test_float32_values_are_lifted_where_that_is_asked(lifted: bool) -> None:
    torch = pytest.importorskip("torch")
    W = torch.ones(2, 3)
    problem = subject(lambda x: W @ x, backend="torch").problem
    called = Calls(problem, "torch", dtype="float64", device="cpu", lifted=lifted)
    if lifted:
        assert called(X).dtype == np.float64
    else:
        with pytest.raises(JacbenchError, match="RuntimeError"):
            called(X)


def test_rounding_keeps_float64_and_integers() -> None:
    kept = rounded([np.array([0.1]), np.array([7])], "float32")
    assert kept[0].dtype == np.float64
    assert kept[0][0] == np.float32(0.1)
    assert kept[1].dtype.kind == "i"


def compiling(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the backend keep what a function gives at its first call, as a compiler keeps numbers."""
    made: list[str] = []

    def staged(self: Any, function: Callable[..., Any]) -> Callable[..., Any]:
        drawn: list[float] = []

        def call(x: Any) -> Any:
            if not drawn:
                made.append("compiled")
                drawn.append(float(function(np.zeros_like(x))[0]))
            return anp.tanh(x) + drawn[0]

        return call

    monkeypatch.setattr(type(configured("autograd")), "staged", staged, raising=False)
    return made


def test_what_can_be_compiled_is(monkeypatch: pytest.MonkeyPatch) -> None:
    made = compiling(monkeypatch)
    asked = calls(anp.tanh)
    assert np.array_equal(asked(X), asked(X))
    assert made == ["compiled"]
    asked.begin_anew()
    asked(X)
    assert made == ["compiled"] * 2


def test_numbers_drawn_while_compiling_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    compiling(monkeypatch)
    rng = np.random.default_rng(0)
    with pytest.raises(JacbenchError, match="two calls at the same x differ"):
        examine(subject(lambda x: anp.tanh(x) + rng.uniform()), "autograd")
    assert examine(subject(anp.tanh), "autograd").findings == ()


def test_a_function_that_writes_into_its_input_is_told() -> None:
    def writes(x: Any) -> Any:
        x += 1.0
        return x * 2.0

    problem = Problem(name="f", native={"numpy": writes}, x=np.array([1.0, 2.0]))
    made = Calls(problem, "numpy", dtype="float64", device="cpu")
    with pytest.raises(JacbenchError, match="f: its function writes into its argument: x is "):
        made.watched(problem.x)
    assert np.array_equal(problem.x, [1.0, 2.0])
