from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from jacbench.core.arrays import Array
from jacbench.core.pattern import Pattern
from jacbench.structure import compression
from jacbench.structure.pattern_check import Compared, Products, missed, wrong
from jacbench.structure.probing import Product
from tests.structure.matrices import MATRICES, products

DTYPES = ("float64", "float32")


def rounded(J: scipy.sparse.csr_array, dtype: str) -> Products:
    """Return products in the precision of ``dtype``, with the rounding that a function brings."""
    rng = np.random.default_rng(3)
    of = products(J.astype(dtype))

    def inexact(product: object, vectors: Array) -> Array:
        exact = product(vectors.astype(dtype))  # type: ignore[operator]
        return exact * (1 + np.finfo(dtype).eps * rng.uniform(-3, 3, exact.shape)).astype(dtype)

    return Products(lambda v: inexact(of.push, v), lambda v: inexact(of.pull, v))


@pytest.mark.parametrize("make", [compression.by_columns, compression.by_rows])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", MATRICES)
def test_the_right_pattern_holds(name: str, dtype: str, make: object) -> None:
    J = MATRICES[name]
    made = make(Pattern.of(J))  # type: ignore[operator]
    assert missed(made, rounded(J, dtype), dtype) is None


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["tridiagonal", "stencil", "blocks", "scattered"])
def test_a_missing_place_is_seen_wherever_it_is(name: str, dtype: str) -> None:
    J = MATRICES[name].tocoo()
    for place in (0, J.nnz // 3, J.nnz - 1):
        kept = np.arange(J.nnz) != place
        fewer = scipy.sparse.coo_array((J.data[kept], (J.row[kept], J.col[kept])), J.shape)
        of, pattern = rounded(J.tocsr(), dtype), Pattern.of(fewer)
        assert missed(compression.by_columns(pattern), of, dtype) == J.row[place]
        assert missed(compression.by_rows(pattern), of, dtype) == J.col[place]


@pytest.mark.parametrize("dtype", DTYPES)
def test_in_a_row_that_is_small_as_well(dtype: str) -> None:
    J = MATRICES["tridiagonal"].copy()
    J[7] *= 1e-3
    fewer = J.tolil()
    fewer[7, 8] = 0
    found = compression.by_columns(Pattern.of(fewer.tocsr()))
    assert missed(found, rounded(J, dtype), dtype) == 7


def test_what_is_not_a_number_where_the_pattern_has_it() -> None:
    J = MATRICES["tridiagonal"].copy()
    pattern = Pattern.of(J)
    J[5, 6] = np.nan
    assert missed(compression.by_columns(pattern), products(J), "float64") is None


SCALES = (1.0, 1e-8, 1e-15, 1e-30)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("row", range(len(SCALES)))
def test_a_missing_place_is_seen_in_a_row_of_any_scale(row: int, dtype: str) -> None:
    J = np.ones((4, 8)) * np.array(SCALES)[:, None]
    fewer = J.copy()
    fewer[row, 3] = 0
    of = rounded(scipy.sparse.csr_array(J), dtype)
    assert missed(compression.by_columns(Pattern.of(fewer != 0)), of, dtype) == row
    assert missed(compression.by_columns(Pattern.of(J != 0)), of, dtype) is None


def compared(product: Product, entries: Array, vectors: Array) -> Compared:
    asked = product(vectors).astype(np.float64)
    size = abs(vectors) @ abs(entries).T + abs(asked)
    return Compared(vectors, asked, vectors @ entries.T, size)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(DTYPES), st.integers(0, 2**32 - 1))
def test_what_rounds_and_cancels_in_rows_of_any_scale_is_right(dtype: str, seed: int) -> None:
    """Of each row (a + b) t - c t with c = a + b but for a share that may be nothing at all."""
    rng, kind = np.random.default_rng(seed), np.dtype(dtype).type
    m, n = 6, 5
    scale = (10.0 ** rng.uniform(-30, 0, (m, 1))).astype(kind)
    a, b = scale * rng.standard_normal((2, m, n)).astype(kind)
    left = rng.choice([0.0, 1e-9, 1e-3, 1.0], (m, 1)).astype(kind)
    c = (a + b) * (1 - left)

    def product(vectors: Array) -> Array:
        t = vectors.astype(kind)[:, None, :]
        return ((a * t + b * t) - c * t).sum(axis=2, dtype=kind)

    entries = product(np.eye(n)).T.astype(np.float64)
    vectors = rng.standard_normal((2, n)).astype(kind).astype(np.float64)
    of = compared(product, entries, vectors)
    assert not wrong(of, product, dtype).any()
    row = int(rng.integers(m))
    lacking = entries.copy()
    lacking[row, int(abs(entries[row]).argmax())] = 0
    if left[row] == 1:  # else what is left may be rounding
        assert wrong(compared(product, lacking, vectors), product, dtype)[:, row].all()


def test_a_function_that_draws_random_numbers_does_not_round() -> None:
    rng = np.random.default_rng(0)

    def product(vectors: Array) -> Array:
        return vectors * rng.choice([0.0, 2.0], vectors.shape)

    of = compared(product, np.eye(40), rng.standard_normal((2, 40)))
    assert wrong(of, product, "float64").any()


def test_a_function_that_computes_in_single_precision_inside_rounds_so_much() -> None:
    J = np.random.default_rng(0).standard_normal((30, 30))

    def product(vectors: Array) -> Array:
        return (vectors.astype(np.float32) @ J.T.astype(np.float32)).astype(np.float64)

    vectors = np.random.default_rng(1).standard_normal((2, 30))
    entries = product(np.eye(30)).T
    assert not wrong(compared(product, entries, vectors), product, "float64").any()
    entries[3, 4] *= 1.01
    assert wrong(compared(product, entries, vectors), product, "float64")[:, 3].any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_loses_its_digits_below_the_smallest_number_is_right(dtype: str) -> None:
    kind, info = np.dtype(dtype).type, np.finfo(dtype)
    large, small = 2.0 ** (info.maxexp // 2), 2.7 * float(info.tiny)

    def product(vectors: Array) -> Array:
        return vectors.astype(kind) * kind(0.3 * small)

    entries = product(np.eye(5)).astype(np.float64) * kind(0.1)
    vectors = large * np.random.default_rng(0).standard_normal((2, 5))
    assert not wrong(compared(product, entries * 10, vectors), product, dtype).any()
    # off by a tenth: by less than what is lost of numbers so small
    assert not wrong(compared(product, entries * 11, vectors), product, dtype).any()
