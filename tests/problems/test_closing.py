"""Constants that JAX code uses as Python values are held, and all others stay arguments."""

from __future__ import annotations

import dataclasses
import operator
from typing import Any

import numpy as np
import pytest

import jacbench
from jacbench.backend import registry
from jacbench.core.cell import Verdict
from jacbench.problems.problem import Problem

jax = pytest.importorskip("jax")
jnp = jax.numpy

X = np.array([0.5, -1.0, 2.0, 0.25])
MASK, ORDER = np.array([True, False, True, True]), np.array([2, 0, 1])


def padded(x: Any, where: Any, size: Any, scale: Any) -> Any:
    y = scale * x[where["mask"]] ** 2
    return jnp.concatenate([jnp.zeros(size, x.dtype), y[where["order"]]])


def exact(x: np.ndarray, where: Any, size: Any, scale: Any) -> np.ndarray:
    del where
    rows = np.zeros((int(size) + 3, 4))
    rows[int(size) :] = (2 * scale * np.diag(x))[MASK][ORDER]
    return rows


CONSTANTS = ({"mask": MASK, "order": ORDER}, np.int64(2), np.array(1.5))
NATIVE = Problem(
    name="closing/native", native={"jax": padded}, x=X, constants=CONSTANTS, jacobian=exact
)
NEUTRAL = dataclasses.replace(
    NATIVE,
    name="closing/neutral",
    native={},
    function=lambda xp, x, where, size, scale: xp.concat(
        [xp.zeros(operator.index(size)), scale * x[where["mask"]][where["order"]] ** 2]
    ),
)
METHODS = ("jax.jacrev", "jax.linearize", "jax.vjp-loop", "jax.jacrev-aux", "jax.jvp")


@pytest.mark.parametrize("problem", [NATIVE, NEUTRAL], ids=lambda p: p.name)
def test_every_compiled_method_agrees_with_the_exact_jacobian(problem: Problem) -> None:
    run = jacbench.check(problem, methods=METHODS)
    assert {cell.cell.method for cell in run.cells} == set(METHODS)
    assert {(cell.verdict, cell.reason) for cell in run.cells} == {(Verdict.AGREES, None)}
    assert {cell.reference for cell in run.cells} == {"analytic"}


def test_floats_stay_arguments_and_so_does_what_can_be_traced() -> None:
    held = NATIVE.held("jax")
    assert [[None if leaf is None else leaf.tolist() for leaf in own] for own in held] == [
        [MASK.tolist(), ORDER.tolist()],
        [2],
        [None],
    ]
    assert isinstance(held[1][0], np.int64)
    traced = dataclasses.replace(NATIVE, native={"jax": lambda x, *constants: jnp.sin(x)})
    assert traced.held("jax") == ()


def test_what_runs_over_samples_stays_an_argument() -> None:
    def f(x: Any, mask: Any, size: Any) -> Any:
        return x * mask * jnp.ones(size)

    problem = Problem(
        name="closing/batch",
        native={"jax": f},
        x=np.ones((3, 2)),
        constants=(np.ones((3, 2), int), np.int64(2)),
        in_axes=(0, 0, None),
    )
    assert problem.held("jax") == [[None], [np.int64(2)]]
    run = jacbench.check(problem, methods=["jax.vmap-jacrev"])
    assert [cell.verdict for cell in run.cells] == [Verdict.AGREES]


def test_no_other_library_is_asked_and_none_without_such_constants() -> None:
    assert NEUTRAL.held("numpy") == ()
    bare = dataclasses.replace(NATIVE, constants=(), native={"nowhere": jnp.sin})
    assert bare.held("nowhere") == ()
    assert bare.bound("nowhere", None) is jnp.sin


def test_by_an_intermediate_value_they_are_held_too() -> None:
    def f(x: Any, mask: Any, *, tap: Any = lambda name, value: value) -> Any:
        return jnp.sin(tap("Z", 2 * x[mask]))

    problem = Problem(
        name="closing/tapped", native={"jax": f}, x=X, constants=(MASK,), tapped=True
    ).at("Z", lambda shift, x, mask: np.diag(np.cos(2 * x[mask] + shift)))
    assert registry.load("jax").traces(problem.bound("jax", jnp), (problem.x, *problem.constants))
    run = jacbench.check(problem, methods=["jax.jacrev"], operators=["jacobian"])
    assert {cell.verdict for cell in run.cells} == {Verdict.AGREES}
