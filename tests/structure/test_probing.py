from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse

from jacbench.backend import UnfitError
from jacbench.core.arrays import Array
from jacbench.structure import probing
from jacbench.structure.probing import Bounds, Product
from tests.structure.matrices import (
    MATRICES,
    arrow,
    band,
    products,
    same_places,
    scattered,
    stencil,
    strided,
)

PLENTY = Bounds(2000)


def counted(J: scipy.sparse.csr_array, calls: list[int]) -> Product:
    def product(tangents: Array) -> Array:
        calls.append(len(tangents))
        return (J @ tangents.T).T

    return product


@pytest.mark.parametrize("name", MATRICES)
def test_finds_the_places_by_columns_and_by_rows(name: str) -> None:
    J = MATRICES[name]
    of = products(J)
    assert same_places(probing.columns([of.push], J.shape, PLENTY).pattern, J)
    assert same_places(probing.rows([of.pull], J.shape, PLENTY).pattern, J)


def test_a_band_takes_a_few_products_per_halving() -> None:
    for n in (1_000, 10_000):
        J, calls = band(n, -1, 0, 1), list[int]()
        found = probing.columns([counted(J, calls)], J.shape, PLENTY)
        assert same_places(found.pattern, J)
        assert found.products == sum(calls)
        # 32 to begin with, and 2 or 3 colours of two halves each, n / 32 halved down to 1
        assert found.products <= 32 + 6 * np.ceil(np.log2(n / 32))


def test_a_stencil_too() -> None:
    J = stencil(60)
    found = probing.columns([products(J).push], J.shape, PLENTY)
    assert same_places(found.pattern, J)
    assert found.products < 200


def test_a_place_at_either_point_counts() -> None:
    J = MATRICES["tridiagonal"]
    upper, lower = (
        scipy.sparse.csr_array(part) for part in (scipy.sparse.triu(J, 1), scipy.sparse.tril(J))
    )
    found = probing.columns([products(upper).push, products(lower).push], J.shape, PLENTY)
    assert same_places(found.pattern, J)


def test_entries_that_would_cancel_under_ones_do_not() -> None:
    n = 100
    J = scipy.sparse.csr_array(
        scipy.sparse.diags_array([np.ones(n), -np.ones(n - 1)], offsets=[0, 1])
    )
    assert not (J[:-1] @ np.ones(n)).any()
    assert same_places(probing.columns([products(J).push], J.shape, PLENTY).pattern, J)


def test_what_is_not_a_number_is_a_place() -> None:
    J = MATRICES["tridiagonal"].copy()
    J[5, 6] = np.nan
    places = MATRICES["tridiagonal"]

    def product(tangents: Array) -> Array:
        # as a library has it: only what is multiplied by something is not a number
        return np.stack([np.where((places != 0) @ (t != 0), J @ t, 0.0) for t in tangents])

    found = probing.columns([product], J.shape, PLENTY).pattern
    assert found.dense(np.ones(found.nnz))[5, 6]


def test_how_crowded_the_groups_are() -> None:
    dense, calls = scipy.sparse.csr_array(np.ones((500, 500))), list[int]()
    assert probing.crowding(counted(dense, calls), dense.shape, np.arange(500)) == 1.0
    assert sum(calls) == 32
    J = strided(40, 64)
    assert probing.crowding(products(J).push, J.shape, np.arange(40 * 64)) == 1.0
    order = np.arange(40 * 64).reshape(64, 40).ravel(order="F")
    assert probing.crowding(products(J).push, J.shape, order) < 0.1
    J = band(320, 0)
    assert probing.crowding(products(J).push, J.shape, np.arange(320)) == 1 / 32


def test_more_products_than_allowed() -> None:
    J, calls = arrow(2000), list[int]()
    with pytest.raises(UnfitError, match="found by 200 products with it: it is dense, or its"):
        probing.columns([counted(J, calls)], J.shape, Bounds(200))
    assert sum(calls) <= 200
    assert same_places(probing.rows([products(J).pull], J.shape, Bounds(200)).pattern, J)


def test_no_time_left() -> None:
    with pytest.raises(UnfitError, match="in time"):
        probing.columns([products(arrow(9)).push], (9, 9), Bounds(100, until=0.0))


def test_scattered_places_are_found_at_a_price() -> None:
    J = scattered(1000, 1000, 3)
    found = probing.columns([products(J).push], J.shape, PLENTY)
    assert same_places(found.pattern, J)
    assert 200 < found.products < 1000


def test_another_order_brings_together_what_belongs_together() -> None:
    J = strided(40, 64)
    order = np.arange(40 * 64).reshape(64, 40).ravel(order="F")
    found = probing.columns([products(J).push], J.shape, PLENTY, order)
    assert same_places(found.pattern, J)
    found = probing.rows([products(J).pull], J.shape, PLENTY, order)
    assert same_places(found.pattern, J)
