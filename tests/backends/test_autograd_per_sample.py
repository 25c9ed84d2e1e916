"""HIPS autograd's per-sample Jacobian, in both modes, against the complex step and by passes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("autograd")

import autograd
import autograd.numpy as anp
from autograd.extend import defvjp, primitive
from jacbench_autograd import per_sample

import jacbench as jb
from jacbench.backend import UnfitError, registry
from jacbench.core.errors import JacbenchError
from tests.backends import guarded_samples
from tests.backends.per_sample import (
    DTYPES,
    PROBLEMS,
    check,
    check_interactions_are_declined,
    check_no_samples_is_declined,
    of_function,
)

METHOD = "autograd.per-sample"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("way", ["vjp", "jvp"])
@pytest.mark.parametrize("name", PROBLEMS)
def test_blocks_among_zeros(
    name: str, way: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(per_sample, "fastest", lambda ways, same: way if way in ways else "vjp")
    notes = check("autograd", PROBLEMS[name], dtype).notes
    assert notes["way"] == (way if name.startswith("more outputs") else "vjp")


def test_one_of_the_ways_is_chosen_by_itself() -> None:
    for name, problem in PROBLEMS.items():
        ways = {"vjp", "jvp"} if name.startswith("more outputs") else {"vjp"}
        assert check("autograd", problem).notes["way"] in ways


def test_as_many_passes_as_one_sample_has_outputs() -> None:
    passes = []

    @primitive
    def square(x: Any) -> Any:
        return x**2

    def pull(ans: Any, x: Any) -> Any:
        def pulled(g: Any) -> Any:
            passes.append(1)
            return 2 * x * g

        return pulled

    defvjp(square, pull)
    x = np.random.default_rng(0).standard_normal((50, 3))
    asked = of_function("autograd", square, x)
    call = registry.method(METHOD).prepare(asked).call
    passes.clear()
    assert np.array_equal(call(asked.x), np.diag(2 * x.ravel()))
    assert len(passes) == 3 + 1  # the guard's


def test_what_has_no_forward_mode_goes_back() -> None:
    @primitive
    def square(x: Any) -> Any:
        return x**2

    defvjp(square, lambda ans, x: lambda g: 2 * x * g)
    x = np.random.default_rng(0).standard_normal((4, 1))
    asked = of_function("autograd", lambda x: square(x) * np.arange(1.0, 6.0), x)
    prepared = registry.method(METHOD).prepare(asked)
    assert prepared.notes["way"] == "vjp"
    expected = autograd.jacobian(asked.function)(x).reshape(20, 4)
    assert np.allclose(prepared.call(x), expected, rtol=1e-15, atol=0)


# --- what is declined ---


def test_samples_that_see_each_other_are_declined() -> None:
    check_interactions_are_declined(
        "autograd",
        lambda x: x - anp.mean(x, axis=0),
        lambda x: x + anp.maximum(anp.sum(x) - 100, 0),
    )


def test_what_has_no_samples_is_declined() -> None:
    check_no_samples_is_declined("autograd")


def test_of_a_native_function_the_axis_is_found() -> None:
    x = np.random.default_rng(0).standard_normal((3, 4))
    W = np.random.default_rng(1).standard_normal((3, 2))

    def f(x: Any) -> Any:
        return anp.tanh(anp.dot(x.T, W))

    J = jb.jacobian(f, x, METHOD)
    assert J.shape == (4, 2, 3, 4)
    assert np.allclose(J, autograd.jacobian(f)(x), rtol=1e-13)
    with pytest.raises((UnfitError, JacbenchError), match="samples interact along axis 0"):
        jb.jacobian(lambda x: x - anp.mean(x, axis=0), x, METHOD)


def test_samples_that_start_to_see_each_other() -> None:
    guarded_samples.check("autograd")
