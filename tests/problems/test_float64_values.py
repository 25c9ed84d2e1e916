"""A problem's function on NumPy arrays, whichever library computes it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from jacbench.core.cell import Cell, Verdict
from jacbench.core.errors import JacbenchError
from jacbench.core.function_types import untapped
from jacbench.problems.counted_function import Calls, home
from jacbench.problems.problem import Problem
from jacbench.running.prepared_cells import Harness, Limits

X = {"w": np.array([0.3, -0.4]), "b": (np.array(0.9),)}
C = (np.array([2.0, 5.0]), np.array([1, 0]))


def neutral(xp: Any, x: Any, c: Any, tap: Any = untapped) -> Any:
    scale, ids = c
    z = tap("z", xp.take(x["w"], ids, axis=0) * scale)
    return xp.tanh(z) + x["b"][0]


def by_hand(x: Any, c: Any) -> np.ndarray:
    return np.tanh(x["w"][c[1]] * c[0]) + x["b"][0]


def in_torch(x: Any, c: Any, tap: Any = untapped) -> Any:
    scale, ids = c
    return (tap("z", x["w"][ids] * scale)).tanh() + x["b"][0]


def in_jax(x: Any, c: Any, tap: Any = untapped) -> Any:
    import jax.numpy as jnp

    scale, ids = c
    return jnp.tanh(tap("z", x["w"][ids] * scale)) + x["b"][0]


def make(**parts: Any) -> Problem:
    known = {"name": "mine", "function": neutral, "x": X, "constants": (C,), "tapped": True}
    return Problem(**known | parts)


NATIVE = {"torch": in_torch, "jax": in_jax}


@pytest.mark.parametrize("backend", ["numpy", "torch", "jax", "autograd"])
@pytest.mark.parametrize("native", [{}, NATIVE])
def test_every_library_gives_the_same_float64_numbers(backend: str, native: Any) -> None:
    pytest.importorskip(backend)
    calls = Calls(make(native=native), backend)
    calls.backend.configure(1)  # JAX would compute in float32
    y = calls.value(X, (C,))
    assert type(y) is np.ndarray
    assert y.dtype == np.float64
    assert np.allclose(y, by_hand(X, C), rtol=1e-15)
    assert np.array_equal(calls.value(X), y)


@pytest.mark.parametrize("backend", ["numpy", "torch", "autograd"])
def test_taps_see_and_change_what_passes(backend: str) -> None:
    pytest.importorskip(backend)
    calls = Calls(make(), backend)
    seen = {}

    def tap(name: str, value: Any) -> Any:
        seen[name] = calls.backend.to_numpy(value)
        return 0 * value

    y = calls.value(X, (C,), tap=tap)
    assert np.allclose(seen["z"], X["w"][C[1]] * C[0])
    assert np.array_equal(y, np.full(2, 0.9))


def test_the_reference_s_home_is_numpy_wherever_the_function_is_neutral() -> None:
    assert home(make(native=NATIVE), "torch") == "numpy"
    assert home(make(function=None, native=NATIVE), "torch") == "torch"
    assert home(make(function=None, native=NATIVE), "jax") == "jax"


def test_a_native_form_for_numpy_is_used_where_there_is_no_other() -> None:
    alone = make(function=None, native={"numpy": by_hand}, tapped=False)
    assert np.array_equal(Calls(alone, "numpy").value(X, (C,)), by_hand(X, C))
    beside = make(native={"numpy": lambda x, c: 0 * by_hand(x, c)}, tapped=False)
    assert np.array_equal(Calls(beside, "numpy").value(X, (C,)), by_hand(X, C))
    own = Harness(1, Limits(), {"mine": alone}, verify_pins=False)
    found = own.settle(
        Cell("mine", "jacobian", "numpy.complex-step", "numpy", "cpu", "float64", 1)
    ).result
    assert (found.verdict, found.reference) == (Verdict.AGREES, "central-difference")


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_a_function_that_writes_to_its_arguments_spoils_nothing_and_is_told(backend: str) -> None:
    pytest.importorskip(backend)

    def writes(x: Any, c: Any) -> Any:
        y = x["w"] * c[0]
        x["w"][:], c[0][:] = 0, 0
        return y

    x, c = {"w": np.array([3.0, 4.0]), "b": (np.array(0.0),)}, (np.array([2.0, 5.0]), np.array([1]))
    problem = make(function=None, native={backend: writes}, x=x, constants=(c,), tapped=False)
    with pytest.raises(JacbenchError, match=r"writes into its argument: x\['w'\] is another one"):
        Calls(problem, backend).value(x, (c,))
    assert x["w"].tolist() == [3, 4]
    assert c[0].tolist() == [2, 5]


# --- what stands beside y ---


@pytest.mark.parametrize("backend", ["numpy", "torch", "autograd"])
def test_aux_comes_as_numpy_arrays_in_its_structure(backend: str) -> None:
    pytest.importorskip(backend)

    def function(xp: Any, x: Any) -> Any:
        return xp.sum(x), {"squares": (x * x,), "above": x > 1, "kind": 7}

    problem = Problem(name="aux", function=function, x=np.array([1.0, 2.0]), has_aux=True)
    y, aux = Calls(problem, backend).value_and_aux(problem.x, ())
    assert (y.shape, float(y)) == ((), 3)
    assert aux["squares"][0].tolist() == [1, 4]
    assert aux["above"].tolist() == [False, True]
    assert aux["kind"].tolist() == 7
    assert all(type(a) is np.ndarray for a in (aux["squares"][0], aux["above"], aux["kind"]))
    assert Calls(problem, backend).value(problem.x, ()) == 3


def test_without_aux_there_is_none() -> None:
    assert Calls(make(), "numpy").value_and_aux(X, (C,))[1] is None


@pytest.mark.parametrize(
    ("returned", "name"), [(np.ones(2), "ndarray"), ([1, 2], "list"), ((1, 2, 3), "tuple")]
)
def test_a_function_that_returns_no_pair_is_told(returned: Any, name: str) -> None:
    problem = Problem(name="aux", function=lambda xp, x: returned, x=np.ones(2), has_aux=True)
    with pytest.raises(JacbenchError) as caught:
        Calls(problem, "numpy").value(problem.x, ())
    assert str(caught.value) == (
        f"problem 'aux': has_aux is True and its function returned a {name}: return (y, aux)"
    )


def test_what_the_function_raised_is_the_cause() -> None:
    def broken(xp: Any, x: Any) -> Any:
        raise KeyError("gone\nfor good")

    problem = Problem(name="broken", function=broken, x=np.ones(2))
    with pytest.raises(JacbenchError, match="its function raised KeyError: 'gone") as caught:
        Calls(problem, "numpy").value(problem.x, ())
    assert isinstance(caught.value.__cause__, KeyError)
    assert "\n" not in str(caught.value)
