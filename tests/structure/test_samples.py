"""Whether samples are apart: found along any axis, refuted by whatever lets them see each other."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jacbench.core.errors import JacbenchError
from jacbench.core.pattern import Pattern
from jacbench.structure import samples

B = 6


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


class Counted:
    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function
        self.evaluations = 0

    def __call__(self, x: Any) -> np.ndarray:
        self.evaluations += 1
        return np.asarray(self.function(x))


W = normal(3, 2, seed=7)
APART = {
    "first axis": (lambda x: np.tanh(x @ W), normal(B, 3), 0),
    "last axis": (lambda x: np.tanh(x.T @ W), normal(3, B), 1),
    "middle axis": (lambda x: np.einsum("ibj,ibj->bi", x, x), normal(2, B, 3), 1),
    "numbers": (np.sin, normal(B), 0),
    "either axis of a square": (np.sin, normal(B, B), 0),
    "second axis of a square": (lambda x: (x**2).sum(0), normal(B, B), 1),
    "a tree": (lambda x: x["a"] @ W * x["b"][0][:, None], {"a": normal(B, 3), "b": [normal(B)]}, 0),
    "a tree by its last axes": (
        lambda x: (x[0].T @ W) * x[1][:, None],
        (normal(3, B), normal(B)),
        -1,
    ),
    "a constant": (lambda x: np.ones((B, 2)), normal(B, 3), 0),
}


@pytest.mark.parametrize("name", APART)
def test_an_axis_along_which_samples_are_apart_is_found(name: str) -> None:
    function, x, axis = APART[name]
    found = samples.find(Counted(function), [x])
    assert (found.axis, found.count, found.reason) == (axis, B, None)
    assert found.caveat is not None
    assert "\n" not in found.caveat
    assert "at 6 points" in found.caveat
    assert "is not seen" in found.caveat


TOGETHER = {
    "a mean": lambda x: x - x.mean(axis=0),
    "a softmax": lambda x: np.exp(x) / np.exp(x).sum(axis=0),
    "a neighbour": lambda x: x * np.roll(x, 1, axis=0),
    "another order": lambda x: x[::-1],
    "a product": lambda x: normal(B, B, seed=2) @ x,
}


@pytest.mark.parametrize("name", TOGETHER)
def test_samples_that_see_each_other_are_told(name: str) -> None:
    value = Counted(TOGETHER[name])
    found = samples.find(value, [normal(B, 3)])
    assert (found.axis, found.count, found.caveat) == (None, 0, None)
    assert found.reason is not None
    assert found.reason.startswith("samples interact along axis 0: the output of sample ")
    assert "\n" not in found.reason
    # what mixes all is refuted at once
    assert value.evaluations <= 3 + 2 * (B - 1).bit_length()


@given(
    pair=st.tuples(st.integers(0, 19), st.integers(0, 19)).filter(lambda pair: pair[0] != pair[1]),
    axis=st.sampled_from([0, 1]),
)
def test_one_pair_is_enough(pair: tuple[int, int], axis: int) -> None:
    i, j = pair

    def function(x: np.ndarray) -> np.ndarray:
        y = np.moveaxis(np.sin(x), axis, 0).copy()
        y[j] += 0.01 * np.moveaxis(x, axis, 0)[i] ** 2
        return y

    x = normal(20, 2) if axis == 0 else normal(2, 20)
    found = samples.find(function, [x])
    assert found.axis is None
    assert f"the output of sample {j} changes with " in (found.reason or "")
    assert samples.find(lambda x: np.moveaxis(np.sin(x), axis, 0), [x]).axis == axis


def test_a_coupling_that_is_dead_at_x_is_seen_at_the_second_point() -> None:
    def gated(x: np.ndarray) -> np.ndarray:
        return x + np.maximum(x.sum() - 3000, 0)

    here, elsewhere = normal(B, 2), normal(B, 2) + 2000
    assert samples.find(gated, [here]).axis == 0  # which is what the caveat is about
    assert samples.find(gated, [here, elsewhere]).axis is None
    assert samples.find(gated, [elsewhere, here]).axis is None
    assert "at 7 points" in (samples.find(np.sin, [here, elsewhere]).caveat or "")


@pytest.mark.parametrize("level", [-0.5, 3.0, 10.0])
def test_a_coupling_behind_a_gate_is_seen_at_points_of_other_signs_and_scales(level: float) -> None:
    def gated(x: np.ndarray) -> np.ndarray:
        total = x.sum() if level > 0 else -x.sum()
        return x + np.maximum(total - abs(level), 0)

    x = np.linspace(0.1, 0.4, B)
    assert gated(x).sum() == x.sum()
    assert samples.find(gated, [x, 1.01 * x]).axis is None


def test_points_outside_of_the_domain_are_passed_over() -> None:
    def function(x: np.ndarray) -> np.ndarray:
        if (x < 0).any():
            raise ValueError("negative")
        return np.sqrt(x) + np.where(x < 1.5, x, np.nan)

    found = samples.find(function, [np.linspace(0.5, 1.0, B)])
    assert found.axis == 0
    assert "at 3 points" in (found.caveat or "")  # x, a tenth of it, and another order


def test_float32_is_not_accused_of_its_rounding() -> None:
    x, A = normal(B, 40).astype("float32"), normal(40, 3).astype("float32")
    rng = np.random.default_rng(0)

    def value(x: np.ndarray) -> np.ndarray:
        order = rng.permutation(40)  # another order of summation: other rounding
        return np.asarray(x.astype("float32")[:, order] @ A[order])

    assert samples.find(value, [x], dtype="float32").axis == 0


# --- where a pattern is known ---


def test_blocks_of_a_pattern_are_exact_and_cost_one_evaluation() -> None:
    value = Counted(lambda x: np.tanh(x @ W))
    pattern = Pattern.of(np.kron(np.eye(B), np.ones((2, 3))))
    found = samples.find(value, [normal(B, 3)], pattern=pattern)
    assert (found.axis, found.count, found.caveat) == (0, B, None)
    assert value.evaluations == 1


def test_blocks_of_a_pattern_along_another_axis() -> None:
    # column j of sample b stands at j * B + b
    pattern = Pattern.of(np.kron(np.ones((1, 3)), np.kron(np.eye(B), np.ones((2, 1)))))
    found = samples.find(lambda x: np.tanh(x.T @ W), [normal(3, B)], pattern=pattern)
    assert (found.axis, found.caveat) == (1, None)


def test_one_place_off_the_blocks_refutes() -> None:
    dense = np.kron(np.eye(B), np.ones((2, 3)))
    dense[2 * 4 + 1, 3 * 1 + 2] = 1
    found = samples.find(lambda x: x @ W, [normal(B, 3)], pattern=Pattern.of(dense))
    assert found.reason == "samples interact along axis 0: sample 4 depends on sample 1"


# --- where there are no samples ---


def test_what_has_no_samples_is_told() -> None:
    x = normal(B, 3)
    for function, told in (
        (np.sum, "y is a number: its first axis would run over samples"),
        (lambda x: x[:1], "y has shape (1, 3): there are no two samples along axis 0"),
        (
            lambda x: x[:2],
            "y has shape (2, 3), and no axis of x has 2 entries in every leaf",
        ),
    ):
        assert samples.find(lambda x, f=function: np.asarray(f(x)), [x]).reason == told
    asked = samples.find(lambda x: np.sin(x.T), [x], axes=[0])
    assert asked.reason == (
        "y has shape (3, 6), and no axis of x has 3 entries in every leaf, asked for along axis 0"
    )
    mixed = samples.find(lambda x: x["a"], [{"a": x, "b": normal(3)}])
    assert mixed.reason == "y has shape (6, 3), and no axis of x has 6 entries in every leaf"


def test_a_function_that_cannot_be_moved_says_so() -> None:
    x = normal(B, 3)

    def only_here(moved: np.ndarray) -> np.ndarray:
        if not np.array_equal(moved, x):
            raise ValueError("no table for this")
        return moved

    found = samples.find(only_here, [x])
    assert found.reason == ("f raised ValueError where some samples along axis 0 were moved")

    def wrapped(moved: np.ndarray) -> np.ndarray:
        try:
            return only_here(moved)
        except ValueError as exc:
            raise JacbenchError("in one line") from exc

    assert "f raised ValueError" in (samples.find(wrapped, [x]).reason or "")


def test_an_asked_axis_alone_is_tried() -> None:
    assert samples.find(np.sin, [normal(B, B)], axes=[1]).axis is None  # y[b] has x[b, 1] too
    assert samples.find(lambda x: np.sin(x.T), [normal(B, B)], axes=[1]).axis == 1
    assert samples.find(lambda x: np.sin(x.T), [normal(B, B)], axes=[-1]).axis == -1


# --- axes and columns ---


def test_candidates_name_each_axis_once() -> None:
    assert samples.candidates([(4, 4, 3)], 4) == [0, 1]
    assert samples.candidates([(3, 4), (4,)], 4) == [-1]
    assert samples.candidates([(4, 4), (4,)], 4) == [0, -1]
    assert samples.candidates([(3,), (4,)], 4) == []
    assert samples.candidates([(), (4,)], 4) == []


@given(data=st.data(), count=st.integers(1, 4))
def test_columns_belong_to_samples_as_indices_do(data: st.DataObject, count: int) -> None:
    shapes, expected = [], []
    axis = data.draw(st.integers(-2, 1))
    for _ in range(data.draw(st.integers(1, 3))):
        rest = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
        shape = [*rest]
        shape.insert(axis % (len(rest) + 1), count)
        assert shape[axis] == count
        shapes.append(tuple(shape))
        expected += [index[axis] for index in itertools.product(*map(range, shape))]
    assert samples.owners(shapes, axis).tolist() == expected
    parts = list(samples.parts(shapes, axis))
    assert [shape for _, shape, _ in parts] == shapes
    assert parts[-1][0].stop == len(expected)
    assert all(shape[own] == count and own == axis % len(shape) for _, shape, own in parts)


def test_every_point_and_a_pattern_are_used() -> None:
    x = normal(B, 3)
    found = samples.find(lambda x: np.tanh(x @ W), [x, x + 0.1])
    assert found.axis == 0
    assert "at 7 points" in (found.caveat or "")
    x = normal(B, 2)
    gated = samples.find(lambda x: x + np.maximum(np.sum(x) - 50, 0), [x, x + 20])
    assert gated.axis is None
    pattern = Pattern.of(np.eye(2 * B, dtype=bool))
    assert samples.find(np.sin, [x], pattern=pattern) == samples.Samples(0, B)


def test_random_outputs_are_not_told_as_samples_that_interact() -> None:
    rng = np.random.default_rng(0)
    found = samples.find(Counted(lambda x: x * rng.random(x.shape)), [normal(B, 3)])
    assert found.reason is not None
    assert "changes from call to call" in found.reason
    assert "interact" not in found.reason
