"""What a native function is called with: arguments, containers of any kind, constants in them."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np
import pytest

import jacbench as jb
from jacbench import JacbenchError
from tests.derivatives.test_functions import LIBRARIES, Library, close, every_method, pytestmark
from tests.derivatives.test_outputs import FIRST

__all__ = ["pytestmark"]

X, Z = np.array([0.3, -0.2]), np.array([2.0, 5.0])


@pytest.fixture
def library(request: pytest.FixtureRequest) -> Library:
    return Library(request.param)


every_library = pytest.mark.parametrize("library", LIBRARIES, indirect=True)


@dataclasses.dataclass(frozen=True)
class State:
    x: Any
    z: Any
    steps: Any = None
    name: str = "s"


class Pair(NamedTuple):
    x: Any
    z: Any


def of_state(s: Any) -> Any:
    assert s.__class__ is State
    assert s.name == "s"
    return s.x * s.z


@every_method
def test_a_dataclass_as_x(library: Library, method: str) -> None:
    x = State(library.array(X), library.array(Z), np.arange(3))
    J = jb.jacobian(of_state, x, method=method)
    assert type(J) is State
    assert J.steps is None
    assert J.name is None
    assert close(library, method, J.x, np.diag(Z))
    assert close(library, method, J.z, np.diag(X))


@every_library
def test_containers_stay_what_they_are(library: Library) -> None:
    method = FIRST["jacobian"][library.name]

    def ordered(p: Any) -> Any:
        assert type(p) is OrderedDict
        return p["z"] * p["x"]

    J = jb.jacobian(ordered, OrderedDict(z=library.array(Z), x=library.array(X)), method=method)
    assert type(J) is OrderedDict
    assert list(J) == ["z", "x"]
    assert close(library, method, J["x"], np.diag(Z))
    J = jb.jacobian(lambda p: p.x * p.z, Pair(library.array(X), library.array(Z)), method=method)
    assert type(J) is Pair
    assert close(library, method, J.z, np.diag(X))


@every_library
def test_argnums_choose_among_arguments(library: Library) -> None:
    method = FIRST["jacobian"][library.name]
    x, z = library.array(X), {"z": library.array(Z)}

    def f(x: Any, k: int, z: Any) -> Any:
        return k * x * z["z"]

    assert close(
        library, method, jb.jacobian(f, (x, 3, z), method=method, argnums=0), 3 * np.diag(Z)
    )
    J = jb.jacobian(f, (x, 3, z), method=method, argnums=-1)
    assert close(library, method, J["z"], 3 * np.diag(X))
    by_z, by_x = jb.jacobian(f, (x, 3, z), method=method, argnums=(2, 0))
    assert close(library, method, by_z["z"], 3 * np.diag(X))
    assert close(library, method, by_x, 3 * np.diag(Z))
    derivative = jb.prepare(f, (x, 3, z), method, argnums=0)
    assert close(library, method, derivative((x, 3, z)), 3 * np.diag(Z))


@pytest.mark.parametrize("library", [n for n in LIBRARIES if n != "numpy"], indirect=True)
def test_argnums_of_products(library: Library) -> None:
    x, z = library.array(X), library.array(Z)

    def f(x: Any, z: Any) -> Any:
        return x * z

    v = np.array([1.0, 3.0])
    pulled = jb.vjp(f, (x, z), v, FIRST["vjp"][library.name], argnums=(0, 1))
    assert close(library, "", pulled[0], v * Z)
    assert close(library, "", pulled[1], v * X)
    pushed = jb.jvp(f, (x, z), v, FIRST["jvp"][library.name], argnums=1)
    assert close(library, "", pushed, v * X)
    value, J = jb.value_and_jacobian(
        f, (x, z), FIRST["value_and_jacobian"][library.name], argnums=1
    )
    assert close(library, "", value, X * Z)
    assert close(library, "", J, np.diag(X))


@every_library
def test_what_is_not_floating_is_a_constant(library: Library) -> None:
    method = FIRST["jacobian"][library.name]
    x = {"x": library.array(X), "take": np.array([1, 0, 1]), "mask": None, "mode": "on", "k": 2}

    def f(p: Any) -> Any:
        assert p["mode"] == "on"
        return p["k"] * p["x"][p["take"]]

    J = jb.jacobian(f, x, method=method)
    assert {key: J[key] for key in ("take", "mask", "mode", "k")} == dict.fromkeys(
        ("take", "mask", "mode", "k")
    )
    assert close(library, method, J["x"], 2 * np.eye(2)[[1, 0, 1]])
    derivative = jb.prepare(f, x, method)
    assert close(library, method, derivative(x)["x"], 2 * np.eye(2)[[1, 0, 1]])
    with pytest.raises(JacbenchError, match=r"prepared with x\['k'\] as a constant"):
        derivative({**x, "k": 3})


@every_library
def test_by_no_inputs_the_jacobian_is_empty(library: Library) -> None:
    method = FIRST["jacobian"][library.name]
    empty = library.array(X[:0])
    assert tuple(jb.jacobian(lambda x: x, empty, method=method).shape) == (0, 0)
    J = jb.jacobian(lambda x: library.np.ones(3) + x.sum(), empty, method=method)
    assert tuple(J.shape) == (3, 0)
    whole = {"a": library.array(X), "b": empty}
    J = jb.jacobian(lambda p: p["a"] ** 2 + p["b"].sum(), whole, method=method)
    assert close(library, method, J["a"], np.diag(2 * X))
    assert tuple(J["b"].shape) == (2, 0)


@pytest.mark.parametrize(
    ("x", "argnums", "message"),
    [
        (np.ones(2), 0, "argnums is 0 and x is a ndarray: give the tuple of f's arguments"),
        ((np.ones(2),), 1, "argnums is 1, and x holds 1 arguments: give numbers from 0 to 0"),
        ((np.ones(2),), (0, -1), "argnums is (0, -1), and x holds 1 arguments"),
        ((np.ones(2),), (), "argnums is (), and x holds 1 arguments"),
        ((np.ones(2), np.arange(2)), 1, "argument 1 is of dtype int64, which has no real"),
        ((np.ones(2), [np.arange(2)]), 1, "argument 1 holds no arrays of floats"),
    ],
)
def test_argnums_that_are_not_there(x: Any, argnums: Any, message: str) -> None:
    with pytest.raises(JacbenchError) as caught:
        jb.jacobian(lambda *x: x[0], x, method="numpy.complex-step", argnums=argnums)
    assert message in str(caught.value)


def test_an_object_with_arrays_in_it_is_told_how_to_become_a_tree() -> None:
    class Own:
        def __init__(self) -> None:
            self.array = np.ones(2)

    with pytest.raises(JacbenchError, match="a tree once it is a dataclass, or registered"):
        jb.jacobian(lambda own: own.array, Own(), method="numpy.complex-step")
    with pytest.raises(JacbenchError, match="a tree once it is a dataclass, or registered"):
        jb.jacobian(lambda p: p[0], [np.ones(2), Own()], method="numpy.complex-step")


def test_modules_of_equinox_and_states_of_flax() -> None:
    jax = pytest.importorskip("jax")
    eqx, nnx = pytest.importorskip("equinox"), pytest.importorskip("flax.nnx")
    inputs = np.ones((1, 2), np.float32)
    linear = eqx.nn.Linear(2, 3, key=jax.random.key(0))
    J = jb.jacobian(lambda model: model(inputs[0]), linear, method="jax.jacrev")
    assert type(J) is type(linear)
    assert J.weight.shape == (3, 3, 2)
    assert np.allclose(J.bias, np.eye(3))
    graph, state = nnx.split(nnx.Linear(2, 3, rngs=nnx.Rngs(0)))
    prepared = jb.prepare(lambda s: nnx.merge(graph, s)(inputs), state, "jax.jacfwd")
    by_leaf = prepared(state)
    assert type(by_leaf) is type(state)
    assert np.allclose(by_leaf["bias"][...], np.eye(3))


NARROW = [
    *(("torch", m) for m in ("torch.func.jacrev", "torch.functional", "torch.vmap-jvp")),
    *(("jax", m) for m in ("jax.jacrev", "jax.linearize", "jax.vjp-loop")),
]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize(("name", "method"), NARROW)
def test_narrow_floats_are_computed_in(name: str, method: str, dtype: str) -> None:
    lib = Library(name)
    x = lib.np.asarray([0.5, 2.0]) if name == "jax" else lib.np.tensor([0.5, 2.0])
    x = x.astype(dtype) if name == "jax" else x.to(getattr(lib.np, dtype))
    J = jb.jacobian(lambda x: x * x, x, method=method)
    assert str(J.dtype).endswith(dtype)
    assert J.tolist() == [[1.0, 0.0], [0.0, 4.0]]


def test_numpys_float16_is_converted() -> None:
    torch = pytest.importorskip("torch")
    J = jb.jacobian(lambda x: 2 * x, np.ones(2, np.float16), method="torch.func.jacrev")
    assert J.dtype is torch.float16


def test_no_float_passes_as_another() -> None:
    with pytest.raises(JacbenchError, match="which is not converted: pass float64"):
        jb.jacobian(lambda x: x, np.ones(2, np.longdouble), method="torch.func.jacrev")
