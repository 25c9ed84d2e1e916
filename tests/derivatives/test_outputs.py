"""Functions that return trees: a Jacobian by leaf of y, in the structures of both libraries."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np
import pytest

import jacbench as jb
from jacbench import JacbenchError
from jacbench.backend import registry
from jacbench.core import tree
from tests.derivatives.test_functions import (
    LIBRARIES,
    METHODS,
    Library,
    close,
    every_method,
    pytestmark,
)

__all__ = ["pytestmark"]

X = np.array([0.3, -0.2, 0.5])


@pytest.fixture
def library(request: pytest.FixtureRequest) -> Library:
    return Library(request.param)


every_library = pytest.mark.parametrize("library", LIBRARIES, indirect=True)
FIRST = {
    "jacobian": {
        "torch": "torch.func.jacrev",
        "jax": "jax.jacrev",
        "autograd": "autograd.jacobian",
        "numpy": "numpy.complex-step",
    },
    **{
        operator: {
            d.name: next(i.name for i in d.methods if i.operator == operator)
            for d in registry.descriptors().values()
            if d.name in ("torch", "jax", "autograd")
        }
        for operator in ("value_and_jacobian", "batch_jacobian", "vjp", "jvp")
    },
}


@dataclasses.dataclass
class Answer:
    squares: Any
    total: Any
    kind: str = "answer"


class Two(NamedTuple):
    first: Any
    second: Any


def answer(x: Any) -> Answer:
    return Answer(x * x, (x[0] * x[1], None))


def check_answer(lib: Library, method: str, J: Any) -> None:
    assert type(J) is Answer
    assert J.kind is None
    assert J.total[1] is None
    assert tuple(J.squares.shape) == (3, 3)
    assert tuple(J.total[0].shape) == (3,)
    assert close(lib, method, J.squares, np.diag(2 * X))
    assert close(lib, method, J.total[0], [X[1], X[0], 0.0])


@every_method
def test_a_dataclass_with_none_and_text_in_it(library: Library, method: str) -> None:
    check_answer(library, method, jb.jacobian(answer, library.array(X), method=method))


@every_library
def test_structure_of_y_by_structure_of_x(library: Library) -> None:
    def f(x: Any) -> Any:
        return {"b": Two(x["u"] * x["v"][0], x["v"][0] ** 2), "a": [x["u"]]}

    method = FIRST["jacobian"][library.name]
    x = {"u": library.array(X[:2]), "v": (library.array(X[1:]),)}
    J = jb.jacobian(f, x, method=method)
    assert tree.names(J) == [
        *("['a'][0]['u']", "['a'][0]['v'][0]"),
        *(f"['b'][{i}]{leaf}" for i in (0, 1) for leaf in ("['u']", "['v'][0]")),
    ]
    assert type(J["b"]) is Two
    assert close(library, method, J["b"].first["u"], np.diag(X[1:]))
    assert close(library, method, J["b"].second["v"][0], np.diag(2 * X[1:]))
    assert close(library, method, J["b"].second["u"], np.zeros((2, 2)))
    whole = jb.jacobian(f, x, method=method, matrix=True)
    assert tuple(whole.shape) == (6, 4)
    assert close(library, method, whole[2:4, :2], np.diag(X[1:]))


@pytest.mark.parametrize("library", [name for name in LIBRARIES if name != "numpy"], indirect=True)
def test_other_operators_take_and_give_the_same_structures(library: Library) -> None:
    x, lib = library.array(X), library

    def f(x: Any) -> Any:
        return {"s": x * x, "p": x[0] * x[1]}

    value, J = jb.value_and_jacobian(f, x, FIRST["value_and_jacobian"][lib.name])
    assert close(lib, "", value["s"], X**2)
    assert close(lib, "", value["p"], X[0] * X[1])
    assert close(lib, "", J["s"], np.diag(2 * X))
    (both, aux), J = jb.value_and_jacobian(
        lambda x: (f(x), x + 1), x, FIRST["value_and_jacobian"][lib.name], has_aux=True
    )
    assert close(lib, "", both["s"], X**2)
    assert close(lib, "", aux, X + 1)
    assert close(lib, "", J["p"], [X[1], X[0], 0])
    v = {"s": library.array([1.0, 2.0, 3.0]), "p": 4.0}
    pulled = jb.vjp(f, x, v, FIRST["vjp"][lib.name])
    assert close(lib, "", pulled, 2 * X * [1, 2, 3] + [4 * X[1], 4 * X[0], 0])
    pushed = jb.jvp(f, x, np.array([1.0, 0.0, 2.0]), FIRST["jvp"][lib.name])
    assert close(lib, "", pushed["s"], 2 * X * [1, 0, 2])
    assert close(lib, "", pushed["p"], X[1])
    assert pushed["p"].shape == ()


@pytest.mark.parametrize("library", [name for name in LIBRARIES if name != "numpy"], indirect=True)
def test_samples_with_several_outputs(library: Library) -> None:
    batch = np.stack([X, 2 * X])

    def f(x: Any) -> Any:
        return x[:, :2] ** 2, {"sum": x.sum(1)}

    J = jb.batch_jacobian(f, library.array(batch), FIRST["batch_jacobian"][library.name])
    assert tuple(J[0].shape) == (2, 2, 3)
    assert close(library, "", J[0][1], np.eye(2, 3) * 4 * X)
    assert close(library, "", J[1]["sum"], np.ones((2, 3)))


def test_prepared_ones_give_the_same_structure() -> None:
    lib = Library("torch")
    derivative = jb.prepare(answer, lib.array(0 * X), "torch.func.jacrev")
    check_answer(lib, "", derivative(lib.array(X)))
    assert derivative.matrix(lib.array(X)).shape == (4, 3)


def test_what_is_not_floating_is_none() -> None:
    torch = pytest.importorskip("torch")
    J = jb.jacobian(lambda x: (x.argmax(), x, x > 0, 3), torch.ones(2), method="torch.func.jacrev")
    assert [part is None for part in J] == [True, False, True, True]
    value, _ = jb.value_and_jacobian(
        lambda x: (x, x > 0), torch.ones(2), method="torch.func.jacrev-aux"
    )
    assert value[1].tolist() == [True, True]


def test_leaves_of_several_dtypes() -> None:
    torch = pytest.importorskip("torch")
    x = torch.tensor([0.5, 2.0], dtype=torch.float64)
    J = jb.jacobian(lambda x: (x.float(), x * x), x, method="torch.func.jacrev")
    assert torch.equal(J[0], torch.eye(2, dtype=torch.float64))
    assert torch.equal(J[1], torch.diag(2 * x))


@every_library
def test_of_no_outputs_the_jacobian_is_empty(library: Library) -> None:
    x, method = library.array(X), FIRST["jacobian"][library.name]
    assert tuple(jb.jacobian(lambda x: x[:0], x, method=method).shape) == (0, 3)
    assert tuple(jb.jacobian(lambda x: x[:0], x, method=method, matrix=True).shape) == (0, 3)
    assert tuple(jb.prepare(lambda x: x[:0], x, method)(x).shape) == (0, 3)
    J = jb.jacobian(lambda x: (x[:0], x), x, method=method)
    assert tuple(J[0].shape) == (0, 3)
    assert close(library, method, J[1], np.eye(3))


def test_vectors_of_another_structure_are_told() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(JacbenchError, match=r"v holds v\[0\]: give a tree like y, .* yy?\['a'\]"):
        jb.vjp(lambda x: {"a": x}, torch.ones(2), [torch.ones(2)], "torch.func.vjp")


def test_nan_is_told_by_leaf() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(JacbenchError, match=r"returned nan at y\['b'\]\[1\]"):
        jb.jacobian(
            lambda x: {"a": x, "b": x / x}, torch.tensor([1.0, 0.0]), method="torch.func.jacrev"
        )


def test_methods_are_as_many_as_before() -> None:
    assert len(METHODS) > 15  # every one of them is tried above
