"""What a value depends on, carried through programs written by hand."""

from __future__ import annotations

import numpy as np
import pytest

from jacbench.backend import UnfitError
from jacbench.core.arrays import Array
from jacbench.structure import dependence
from jacbench.structure.dependence import Link
from jacbench.structure.program import Program, Step, Value


def real(*shape: int) -> Value:
    return Value(shape, carries=True, flat=True)


def step(name: str, reads: tuple[str, ...], *writes: str) -> Step:
    return Step(name, reads, writes, linear=lambda _: False)


def pattern_of(program: Program, links: dict[str, dict[str, list[Link]]]) -> Array:
    found = dependence.pattern(program, lambda step: links[step.name])
    return found.dense(np.ones(found.nnz)) != 0


def test_entries_are_taken_added_up_and_spread() -> None:
    program = Program(
        steps=(
            step("turn", ("x",), "a"),
            step("sum", ("a",), "s"),
            step("both", ("x", "s"), "y"),
        ),
        values={"x": real(3), "a": real(3), "s": real(1), "y": real(2)},
        inputs=("x",),
        output="y",
    )
    links = {
        "turn": {"a": [Link("x", np.array([2, -1, 0]))]},
        "sum": {"s": [Link("a", matrix=dependence.reduced((3,), [0]))]},
        "both": {"y": [Link("x", np.array([1, 1])), Link("s", np.array([0, -1]))]},
    }
    assert pattern_of(program, links).tolist() == [[True, True, True], [False, True, False]]
    links["both"] = {"y": [Link("s")]}
    assert pattern_of(program, links).tolist() == [[True, False, True], [True, False, True]]


def test_what_carries_no_derivative_ends_a_dependence() -> None:
    program = Program(
        steps=(step("greater", ("x",), "c"), step("choose", ("c", "x"), "y")),
        values={"x": real(2), "c": Value((2,), carries=False, flat=False), "y": real(2)},
        inputs=("x",),
        output="y",
    )
    links = {
        "greater": {"c": [Link("x")]},
        "choose": {"y": [Link("c"), Link("x", np.array([0, 1]))]},
    }
    assert np.array_equal(pattern_of(program, links), np.eye(2))


def test_two_inputs_and_an_output_that_depends_on_nothing() -> None:
    program = Program(
        steps=(step("b", ("b",), "y"),),
        values={"a": real(2), "b": real(1), "y": real(1), "z": real(1)},
        inputs=("a", "b"),
        output="y",
    )
    links = {"b": {"y": [Link("b", np.array([0]))]}}
    assert pattern_of(program, links).tolist() == [[False, False, True]]
    blank = Program(program.steps, program.values, program.inputs, "z")
    assert dependence.pattern(blank, lambda s: links[s.name]).nnz == 0


def test_products_of_stacks_of_matrices() -> None:
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((2, 3, 4)), rng.standard_normal((2, 4, 5))
    A[:, 0, 1:] = 0
    by_left, by_right = dependence.product((2, 3, 4), (2, 4, 5), (None, B))
    assert by_left.toarray().any(axis=0).all()
    by_left, by_right = dependence.product((2, 3, 4), (2, 4, 5), (A, None))
    # y[n, i, k] by B[n, j, k]
    expected = np.einsum("nij,nm,kl->nikmjl", A, np.eye(2), np.eye(5)).reshape(30, 40)
    assert np.array_equal(by_right.toarray() != 0, expected != 0)
    by_left, _ = dependence.product((2, 3, 4), (2, 4, 5), (None, B))
    expected = np.einsum("njk,nm,il->nikmlj", B, np.eye(2), np.eye(3)).reshape(30, 24)
    assert np.array_equal(by_left.toarray() != 0, expected != 0)


def test_lines_and_what_is_reduced() -> None:
    assert dependence.reduced((2, 3), [1]).toarray().tolist() == [
        [1, 1, 1, 0, 0, 0],
        [0, 0, 0, 1, 1, 1],
    ]
    assert np.array_equal(dependence.along((2, 3), [0]).toarray() > 0, np.tile(np.eye(3), (2, 2)))


def test_what_is_too_much_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    program = Program(
        steps=(step("all", ("x",), "y"),),
        values={"x": real(20), "y": real(20)},
        inputs=("x",),
        output="y",
    )
    monkeypatch.setattr(dependence, "MOST", 300)
    with pytest.raises(UnfitError, match="next to nothing is zero"):
        dependence.pattern(program, lambda _: {"y": [Link("x")]})
    monkeypatch.setattr(dependence, "STEPS", 0)
    with pytest.raises(UnfitError, match="1 steps are too many"):
        dependence.pattern(program, lambda _: {})
