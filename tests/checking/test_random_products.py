"""A Jacobian seen through random vectors: every form of an answer, every kind of error in it."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from jacbench.checking.random_products import Blocks, ByProducts, Probed, pulled, pushed
from jacbench.core.operators.batch_jacobian import BatchJacobian
from jacbench.core.operators.operator import Sizes

RNG = np.random.default_rng(0)
J = RNG.standard_normal((40, 60)) * (RNG.random((40, 60)) < 0.1)
V, U = RNG.standard_normal((60, 3)), RNG.standard_normal((3, 40))


def probed(jacobian: np.ndarray = J, *, forward: bool = True, reverse: bool = True) -> Probed:
    tangents = V if forward else V[:, :0]
    cotangents = U if reverse else U[:0]
    return Probed(
        x=np.ones(60),
        constants=(),
        y=np.ones(40),
        jacobian=jacobian @ tangents,
        tangents=tangents,
        cotangents=cotangents,
        pulled=cotangents @ jacobian,
    )


def right(jacobian: np.ndarray = J, **sides: bool) -> ByProducts:
    point = probed(jacobian, **sides)
    return ByProducts(point, point, "consensus", 0.0)


def sparse(matrix: np.ndarray) -> Any:
    return pytest.importorskip("scipy.sparse").csr_array(matrix)


def factors(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    return u * s, v


FORMS = pytest.mark.parametrize("form", [np.array, sparse, factors])


@FORMS
def test_every_form_is_multiplied_from_both_sides(form: Any) -> None:
    assert np.allclose(pushed(form(J), V), J @ V, rtol=0, atol=1e-12)
    assert np.allclose(pulled(form(J), U), U @ J, rtol=0, atol=1e-12)


@FORMS
def test_the_right_answer_is_near(form: Any) -> None:
    assert right().distance(form(J)).error < 1e-14


@FORMS
def test_one_wrong_entry_is_found_and_placed(form: Any) -> None:
    wrong = J.copy()
    wrong[17, 41] += 1e-9
    found = right().distance(form(wrong))
    assert 1e-12 < found.error < 1e-8
    assert (found.row, found.column) == (17, 41)
    assert found.value != found.expected


def test_the_error_is_about_the_normwise_one() -> None:
    wrong = J + 1e-6 * RNG.standard_normal(J.shape)
    exact = np.linalg.norm(wrong - J) / np.linalg.norm(J)
    assert exact / 3 < right().distance(wrong).error < 3 * exact


@pytest.mark.parametrize("side", ["forward", "reverse"])
def test_one_side_alone_sees_it_too(side: str) -> None:
    wrong = J.copy()
    wrong[3, 4] += 1.0
    known = right(**{side: False})
    found = known.distance(wrong)
    assert found.error > 1e-3
    assert (found.row, found.column) == ((None, 4) if side == "forward" else (3, None))
    assert known.distance(J).error < 1e-14


def test_the_number_of_vectors_is_known() -> None:
    assert right().count == right(forward=False).count == right(reverse=False).count == 3


def test_what_is_not_finite_is_infinitely_far() -> None:
    wrong = J.copy()
    wrong[5, 6] = np.nan
    found = right().distance(wrong)
    assert found.error == math.inf
    assert (found.row, found.column) == (5, 6)


def test_a_jacobian_that_is_zero() -> None:
    zero = np.zeros_like(J)
    assert right(zero).distance(zero).error == 0.0
    assert right(zero).distance(J).error > 1
    assert right(zero).unused == [""]


def test_unused_leaves_are_named() -> None:
    matrix = np.hstack([J, np.zeros((40, 5))])
    point = Probed(
        x={"a": np.ones(60), "b": np.ones(5)},
        constants=(),
        y=np.ones(40),
        jacobian=J @ V,
        tangents=np.ones((65, 3)),
        cotangents=U,
        pulled=U @ matrix,
    )
    assert ByProducts(point, point, "consensus", 0.0).unused == ["['b']"]
    assert right(reverse=False).unused == []


def test_blocks_are_multiplied_as_the_matrix_that_they_stand_for() -> None:
    sizes = Sizes((4, 3), [(2, 4), (5, 4)], 1)
    dense = np.zeros((12, 28))
    data = RNG.standard_normal((12, 7))
    columns = Blocks(data, sizes).columns
    for sample in range(4):
        rows = slice(3 * sample, 3 * sample + 3)
        dense[rows, columns[sample]] = data[rows]
    # as the operator itself takes them out of the matrix
    assert np.array_equal(BatchJacobian().expected(dense, sizes, None), data)
    T, W = RNG.standard_normal((28, 3)), RNG.standard_normal((3, 12))
    assert np.allclose(pushed(Blocks(data, sizes), T), dense @ T)
    assert np.allclose(pulled(Blocks(data, sizes), W), W @ dense)


def test_float32_answers_are_multiplied_in_float64() -> None:
    single = J.astype(np.float32)
    assert right(single.astype(np.float64)).distance(single).error < 1e-14


def test_many_rows_are_taken_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jacbench.checking.random_products._BLOCK", 7 * 60)
    assert np.allclose(pushed(J, V), J @ V)
    assert np.allclose(pulled(J, U), U @ J)


@pytest.mark.parametrize("side", ["jacobian", "pulled"])
def test_the_side_that_differs_more_counts(side: str) -> None:
    point = dataclasses.replace(probed(), **{side: 1.5 * getattr(probed(), side)})
    found = ByProducts(point, point, "consensus", 0.0).distance(J)
    assert found.error == pytest.approx(1 / 3)
