"""What a function is given: x, constants, trees, plain numbers; or one line says what is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from jacbench.core import tree
from jacbench.picking.loading import arguments, subject
from jacbench.picking.loading.inputs import Inputs
from tests.picking import subjects
from tests.picking.subjects import OWN, X, evaluated, host, jax_f, pasted, refusal, torch_f

torch = pytest.importorskip("torch")
jnp = pytest.importorskip("jax.numpy")
anp = pytest.importorskip("autograd.numpy")

pytestmark = [
    # torch's own, at the first use of forward mode
    pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning"),
]

float64 = subjects.float64


@pytest.mark.parametrize("library", OWN)
def test_other_arguments_are_constants(library: str) -> None:
    module = {"torch": torch, "jax": jnp, "autograd": anp}[library]
    array = OWN[library][1]

    def f(a: Any, tree: Any, b: Any, flag: str, *, shift: float) -> Any:
        assert flag == "on"
        assert isinstance(tree["steps"], int)
        return module.sin(b) * a * tree["w"] + shift

    values = {"a": array(X), "tree": {"w": array(X), "steps": 3}, "b": array(2 * X), "flag": "on"}
    given = Inputs(
        arguments=tuple(values.values()),
        names=tuple(values),
        argnum=2,
        keywords={"shift": 1.0},
    )
    found = subject.of(f, given)
    assert found.backends == (library,)
    expected = np.sin(2 * X) * X * X + 1
    assert len(found.problem.constants) == 2
    assert np.allclose(evaluated(found), expected)
    y, x = pasted(found.spelling, f=f, shift=1.0, **values)
    assert np.allclose(host(y), expected)
    assert np.allclose(host(x), 2 * X)


def test_a_function_that_takes_its_arguments_in_order_is_left_as_it_is() -> None:
    def f(x: Any, w: Any) -> Any:
        return torch.sin(x) * w["w"]

    given = Inputs(arguments=(torch.tensor(X), {"w": torch.tensor(X)}), names=("x", "w"))
    found = subject.of(f, given)
    assert found.problem.native["torch"] is f
    assert np.allclose(evaluated(found), np.sin(X) * X)


@pytest.mark.parametrize("library", OWN)
def test_a_tree(library: str) -> None:
    module, array = {"torch": torch, "jax": jnp, "autograd": anp}[library], OWN[library][1]

    def f(x: Any) -> Any:
        return module.sin(x["w"][0]) * x["c"]

    x = {"w": [array(X)], "c": array(X)}
    for given in (x, {"w": [X], "c": X}):
        found = subject.of(f, given)
        assert found.backends == (library,)
        assert tree.names(found.problem.x) == ["['c']", "['w'][0]"]
        y, _ = pasted(found.spelling, f=f, x=given)
        assert np.allclose(host(y), np.sin(X) * X)


def test_plain_numbers() -> None:
    found = subject.of(torch_f, X.tolist())
    assert found.notes == ("x is a list of plain numbers: taken as an array",)
    assert found.problem.x.shape == (3,)
    y, _ = pasted(found.spelling, torch_f=torch_f, x=X.tolist())
    assert np.allclose(host(y), np.sin(X) * X)
    assert subject.of(jax_f, 2).problem.x.shape == ()
    found = subject.of(lambda x: jnp.sin(x["a"]) * x["b"], {"a": 1.0, "b": 2.0})
    assert tree.names(found.problem.x) == ["['a']", "['b']"]


@pytest.mark.parametrize(
    ("x", "told"),
    [
        (np.arange(3), "x is of dtype int64, which has no derivative: pass floats, or make it a "),
        (X.astype("float16"), "x is of dtype float16: Jacobians are computed in float64 or "),
        (X + 1j, "x is of dtype complex128: a complex input has no real Jacobian"),
        ("text", "x is a str, not an array: pass an array, or a dict, list or tuple of them"),
        ({"a": X, "b": object()}, "x['b'] is an object, not an array"),
        (np.array([]), "problem 'torch_f': x is empty"),
        (np.array([np.nan]), "problem 'torch_f': x is not finite"),
    ],
    ids=["int", "half", "complex", "text", "object", "empty", "nan"],
)
def test_an_x_without_a_derivative(x: Any, told: str) -> None:
    assert told in refusal(torch_f, x)


def test_what_is_no_function() -> None:
    assert refusal(3, X) == (
        "an int is no function: pass a function of x, a module of a library, or a jacbench.Problem"
    )
    assert refusal(torch.nn.Linear, X).startswith("Linear is a class: pass an instance of it")
    assert refusal(torch_f) == "torch_f: there is no x: pass the point at which to differentiate"
    assert refusal(torch_f, X, dtype="float16") == "dtype 'float16': give float64 or float32"


def test_masks_and_sizes_that_jax_code_uses_as_python_values_are_closed_over() -> None:
    jax = pytest.importorskip("jax")
    jnp = jax.numpy
    x, mask, size = np.array([0.5, -1.0, 2.0]), np.array([True, False, True]), np.int64(4)

    def masked(x: Any, mask: Any, size: Any) -> Any:
        return jnp.zeros(size).at[: x[mask].size].set(jnp.sin(x[mask]))

    given = Inputs(arguments=(x, mask, size), names=("x", "mask", "size"), convertible=True)
    found = subject.of(masked, given)
    function = found.problem.bound("jax", jnp)
    J = jax.jit(jax.jacrev(function))(x.astype("float32"), *found.problem.constants)
    assert np.allclose(J[:2], np.diag(np.cos(x))[[0, 2]], atol=1e-6)
    assert any("are closed over" in note for note in found.notes)
    assert not any(line.startswith(("mask =", "size =")) for line in found.spelling.setup)


def test_what_can_be_traced_stays_an_argument() -> None:
    jax = pytest.importorskip("jax")
    order = np.array([1, 0])
    given = Inputs(arguments=(np.ones(2), order), names=("x", "order"), convertible=True)
    found = subject.of(lambda x, order: jax.numpy.sin(x)[order], given)
    assert len(found.problem.constants) == 1


def test_arguments_without_a_hash_make_a_function_that_has_one() -> None:
    pytest.importorskip("autograd")
    given = Inputs(arguments=(0.0, np.ones(2), {"k": 3.0}), names=("t", "y", "args"), argnum=1)
    parts = arguments.split(lambda t, y, args: args["k"] * y, given, "f")
    assert isinstance(hash(parts.function), int)
