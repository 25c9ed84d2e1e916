"""Functions that return trees: what is told of them, what is refused, one entry of them."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np
import pytest

from jacbench.picking.loading import subject
from tests.picking.subjects import (  # noqa: F401 - a fixture among them
    X,
    anp,
    evaluated,
    float64,
    jnp,
    pasted,
    refusal,
    torch,
)


class Heads(NamedTuple):
    mean: Any
    scale: Any


@dataclasses.dataclass
class State:
    position: Any
    steps: Any = 3


LIBRARIES = {"torch": torch, "jax": jnp, "autograd": anp}
PLACED = {"torch": torch.tensor, "jax": jnp.asarray, "autograd": np.asarray}
by_library = pytest.mark.parametrize("library", LIBRARIES)


@by_library
@pytest.mark.parametrize(
    ("made", "told"),
    [
        (lambda a, b: (a, b), "a tuple of y[0] (3,), y[1] (): J has their rows in this order"),
        (lambda a, b: {"b": b, "a": a}, "a dict of y['a'] (3,), y['b'] ():"),
        (Heads, "a Heads of y[0] (3,), y[1] ():"),
        (lambda a, b: State(a, [b]), "a State of y.position (3,), y.steps[0] ():"),
    ],
    ids=["tuple", "dict", "named tuple", "dataclass"],
)
def test_arrays_of_a_tree_are_taken_side_by_side(library: str, made: Any, told: str) -> None:
    lib = LIBRARIES[library]

    def f(x: Any) -> Any:
        return made(lib.sin(x), lib.sum(x * x))

    found = subject.of(f, PLACED[library](X))
    assert found.backends == (library,)
    assert np.allclose(evaluated(found), [*np.sin(X), X @ X])
    assert told in found.notes[0]


def test_a_function_over_a_namespace_may_return_a_tree() -> None:
    def f(xp: Any, x: Any) -> Any:
        return {"a": xp.sin(x), "b": xp.sum(x * x)}

    found = subject.of(f, X)
    for backend in found.backends:
        assert np.allclose(evaluated(found, backend), [*np.sin(X), X @ X])


@by_library
def test_what_has_no_derivative_is_named_in_one_line(library: str) -> None:
    lib = LIBRARIES[library]

    def f(x: Any) -> Any:
        return {"y": lib.sin(x), "n": PLACED[library](np.arange(2)), "loss": 1.5, "none": None}

    found = subject.of(f, PLACED[library](X))
    assert evaluated(found).shape == (3,)
    told = "no derivative, so None in the Jacobian: "
    assert found.notes[1:] == (f"{told}y['loss'] (float), y['n'] (int64), y['none'] (None)",)


@by_library
def test_a_tree_without_a_derivative_is_refused_in_one_line(library: str) -> None:
    lib, x = LIBRARIES[library], PLACED[library](X)
    assert refusal(lambda x: (3, None), x).endswith(
        "its function returned a tuple that holds y[0], y[1], of which none is an array of floats: "
        "return at least one"
    )
    assert "returned as y['b'] complex numbers" in refusal(
        lambda x: {"a": lib.sin(x), "b": x + 0j}, x
    )
    assert "returned nan at y['b'][0]" in refusal(
        lambda x: {"a": lib.sin(x), "b": x * float("nan")}, x
    )


@by_library
def test_mixed_dtypes_are_told(library: str) -> None:
    lib = LIBRARIES[library]

    def f(x: Any) -> Any:
        return lib.sin(x), PLACED[library](np.ones(2, "float32"))

    found = subject.of(f, PLACED[library](X))
    assert "y holds float32 and float64: J is measured in float64" in found.notes


@by_library
@pytest.mark.parametrize(
    ("made", "output", "entry"),
    [
        (lambda a, b: (a, b), 1, "[1]"),
        (lambda a, b: {"mean": a, "scale": b}, "scale", "['scale']"),
        (Heads, "scale", ".scale"),
        (State, "steps", ".steps"),
    ],
    ids=["tuple", "dict", "named tuple", "dataclass"],
)
def test_one_entry_is_chosen_by_name_or_index(
    library: str, made: Any, output: Any, entry: str
) -> None:
    lib = LIBRARIES[library]

    def heads(x: Any) -> Any:
        return made(lib.sin(x), lib.sum(x * x))

    found = subject.of(heads, PLACED[library](X), output=output)
    assert np.allclose(evaluated(found), X @ X)
    assert found.outputs is None
    assert f"    return heads(x){entry}" in found.spelling.setup
    value, _ = pasted(found.spelling, heads=heads, x=PLACED[library](X))
    assert np.allclose(value, X @ X)


def test_an_entry_that_is_not_there() -> None:
    def heads(x: Any) -> Any:
        return {"mean": x, "scale": x}

    x = torch.tensor(X)
    assert "heads returns a dict with mean, scale, not 'b': give one of them" in refusal(
        heads, x, output="b"
    )
    assert "heads returns one array: leave output=1 out" in refusal(
        lambda x: x + x, x, output=1, name="heads"
    )


def test_a_module_that_returns_several_still_asks_which() -> None:
    class Two(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return x, 2 * x

    assert "say which one to differentiate, e.g. output=0" in refusal(Two(), torch.tensor(X))
