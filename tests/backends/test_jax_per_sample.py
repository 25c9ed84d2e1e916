"""JAX's per-sample Jacobian, in both modes, against the complex step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import jacbench as jb
from jacbench.backend import UnfitError, registry
from jacbench.core.errors import JacbenchError
from tests.backends import guarded_samples
from tests.backends.per_sample import (
    DTYPES,
    PROBLEMS,
    check,
    check_a_nan_stays_with_its_sample,
    check_interactions_are_declined,
    check_no_samples_is_declined,
    of_function,
    refused,
)

jax = pytest.importorskip("jax")
jnp = jax.numpy

pytestmark = pytest.mark.usefixtures("jax_float64")

METHOD = "jax.per-sample"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", PROBLEMS)
def test_blocks_among_zeros(name: str, dtype: str) -> None:
    notes = check("jax", PROBLEMS[name], dtype).notes
    forward = name.startswith("more outputs") or name == "a number for each"
    assert notes["way"] == ("jvp" if forward else "vjp")
    assert int(notes["temp_bytes"]) >= 0


def test_the_other_mode_takes_over_where_one_has_no_rule() -> None:
    def looped(x: Any) -> Any:  # no reverse mode: the number of steps is not known
        steps = jnp.int32(jnp.abs(x).max() * 0) + 3
        return jax.lax.fori_loop(0, steps, lambda _, y: jnp.sin(y), x).sum(1)

    @jax.custom_vjp
    def reverse_alone(x: Any) -> Any:
        return x**2

    reverse_alone.defvjp(lambda x: (x**2, x), lambda x, g: (2 * x * g,))

    x = np.random.default_rng(0).standard_normal((4, 2))
    for function, way in (
        (looped, "jvp"),
        (lambda x: jnp.tile(reverse_alone(x), (1, 3)), "vjp"),
    ):
        asked = of_function("jax", function, x)
        prepared = registry.method(METHOD).prepare(asked)
        assert prepared.notes["way"] == way
        J = np.asarray(prepared.call(asked.x))
        other = jax.jacfwd if way == "jvp" else jax.jacrev
        assert np.allclose(J, other(function)(asked.x).reshape(J.shape), rtol=1e-13, atol=0)


def test_what_neither_mode_can_do_is_said_as_the_first_says_it() -> None:
    def of_numpy(x: Any) -> Any:
        shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
        return jax.pure_callback(lambda x: np.asarray(x) ** 2, shape, x)

    asked = of_function("jax", of_numpy, np.ones((3, 2)))
    with pytest.raises(ValueError, match="callbacks do not support JVP") as caught:
        registry.method(METHOD).prepare(asked)
    assert "JAX says" in (registry.load("jax").declined(caught.value) or "")


def test_a_nan_stays_with_its_sample() -> None:
    check_a_nan_stays_with_its_sample("jax", jnp.sqrt)


# --- what is declined ---


def test_samples_that_see_each_other_are_declined() -> None:
    check_interactions_are_declined(
        "jax", lambda x: x - x.mean(0), lambda x: x + jax.nn.relu(x.sum() - 100)
    )


def test_what_has_no_samples_is_declined() -> None:
    check_no_samples_is_declined("jax")
    refused(
        of_function("jax", jnp.sum, np.ones((4, 3))), "jax", "no Jacobian per sample: y is a number"
    )


def test_of_a_native_function_the_axis_is_found() -> None:
    x = jnp.asarray(np.random.default_rng(0).standard_normal((3, 4)))
    W = jnp.asarray(np.random.default_rng(1).standard_normal((3, 2)))
    J = jb.jacobian(lambda x: jnp.tanh(x.T @ W), x, METHOD)
    assert J.shape == (4, 2, 3, 4)
    assert np.allclose(J, jax.jacrev(lambda x: jnp.tanh(x.T @ W))(x), rtol=1e-13)
    with pytest.raises((UnfitError, JacbenchError), match="samples interact along axis 0"):
        jb.jacobian(lambda x: x - x.mean(0), x, METHOD)


def test_samples_that_start_to_see_each_other() -> None:
    guarded_samples.check("jax")


def test_a_callable_without_a_hash_and_constants_without_one() -> None:
    @dataclass
    class Arm:
        k: float = 3.0

        def __call__(self, y: Any) -> Any:
            return self.k * jnp.sin(y) + y**2

    y = np.array([0.3, -0.2, 0.5])
    J = jb.jacobian(Arm(), jnp.asarray(y), METHOD)
    np.testing.assert_allclose(J, np.diag(3 * np.cos(y) + 2 * y), rtol=1e-5)
