"""In which dtype a function is computed, and what is told of it."""

from __future__ import annotations

from typing import Any

import pytest

from jacbench.picking.loading import subject
from jacbench.picking.loading.inputs import Inputs
from tests.picking import subjects
from tests.picking.subjects import OWN, X, as_jax_comes, evaluated, jax_f, pasted, refusal, torch_f

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
jnp = pytest.importorskip("jax.numpy")
anp = pytest.importorskip("autograd.numpy")

pytestmark = [
    # torch's own, at the first use of forward mode
    pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning"),
]

float64 = subjects.float64


def narrow(library: str) -> Any:
    """Return a function that holds float32 values."""
    module, array = {"torch": torch, "jax": jnp, "autograd": anp}[library], OWN[library][1]
    w = array(X.astype("float32"))
    if library == "torch":
        return lambda x: w @ x.to(torch.float32) * torch.sin(x).to(torch.float32)
    return lambda x: (module.sin(x) * w).astype("float32")


def held(x: Any) -> Any:
    """Compute with float32 values, which torch does not multiply by float64 ones."""
    return torch.tensor(X, dtype=torch.float32) @ x * torch.sin(x)


@pytest.mark.parametrize("library", OWN)
def test_a_function_without_a_value_in_float64(library: str) -> None:
    found = subject.of(narrow(library), OWN[library][1](X.astype("float32")))
    assert found.dtype == "float32"
    assert not found.evaluates_float64
    (note,) = found.notes
    assert note.startswith("it has no value in float64 (")
    assert note.endswith("): what is right is settled in float32")


@pytest.mark.parametrize("library", OWN)
def test_it_takes_numpys_numbers_all_the_same(library: str) -> None:
    found = subject.of(narrow(library), X)
    assert found.dtype == "float32"
    assert not found.evaluates_float64
    y, x = pasted(found.spelling, f=narrow(library), x=X)
    assert str(x.dtype).endswith("float32")
    assert str(y.dtype).endswith("float32")


def test_what_is_held_in_float32_is_lifted_for_what_is_right() -> None:
    found = subject.of(held, X)
    assert (found.dtype, found.evaluates_float64) == ("float32", True)
    assert found.notes == ("it takes float32 and not float64: x is converted",)
    found = subject.of(held, torch.tensor(X, dtype=torch.float32))
    assert (found.dtype, found.evaluates_float64, found.notes) == ("float32", True, ())


def test_float64_where_it_was_asked_for() -> None:
    assert "its function raised RuntimeError" in refusal(held, X, dtype="float64")
    found = subject.of(torch_f, X, dtype="float32")
    assert found.dtype == "float32"
    assert found.evaluates_float64
    assert found.notes == ()
    _, x = pasted(found.spelling, torch_f=torch_f, x=X)
    assert x.dtype == torch.float32


@pytest.mark.parametrize("library", OWN)
def test_float32_stays(library: str) -> None:
    f, array, _ = OWN[library]
    found = subject.of(f, array(X.astype("float32")))
    assert found.dtype == "float32"
    assert found.evaluates_float64
    assert found.notes == ()
    assert found.problem.x.dtype == "float64"


def test_a_function_that_holds_float64_values() -> None:
    w = jnp.asarray(X)
    found = subject.of(lambda x: jnp.sin(x) * w, jnp.asarray(X, dtype="float32"))
    assert found.dtype == "float64"
    assert found.notes == ("its value is float64 where x is float32: computed in float64",)


def test_leaves_of_two_dtypes() -> None:
    found = subject.of(lambda x: jnp.sin(x[0]) * x[1], (X, X.astype("float32")))
    assert found.dtype == "float64"
    assert found.notes == ("x holds float32 and float64: computed in float64",)


@as_jax_comes
def test_jax_as_it_comes() -> None:
    found = subject.of(jax_f, X)
    assert found.dtype == "float32"
    assert found.evaluates_float64
    assert found.notes == ("JAX makes float32 of x here: jax_enable_x64 is off",)
    assert evaluated(found).dtype == "float64"
    assert not jax.config.jax_enable_x64
    asked = subject.of(jax_f, X, dtype="float64")
    assert asked.dtype == "float64"
    assert asked.spelling.setup[:2] == (
        "import jax",
        'jax.config.update("jax_enable_x64", True)',
    )
    y, _ = pasted(asked.spelling, jax_f=jax_f, x=X)
    assert y.dtype == "float64"


@as_jax_comes
def test_arrays_that_widen_once_float64_is_on() -> None:
    def f(x: Any) -> Any:
        return jnp.sin(x) * jnp.ones(3)

    x = jnp.asarray(X)
    here = subject.of(f, x)
    assert (here.dtype, here.notes) == ("float32", ())
    there = subject.of(f, Inputs(arguments=(x,), convertible=True))
    assert there.dtype == "float64"
    assert there.notes == (
        "with jax_enable_x64 on, as it is while measuring, its value is float64 for a float32 x: "
        "computed in float64",
    )
    assert 'jax.config.update("jax_enable_x64", True)' in there.spelling.setup
    assert there.evaluates_float64
