from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse

from jacbench.layout import Array
from jacbench.structure import compression
from jacbench.structure.pattern import Pattern
from jacbench.structure.verification import Products, missed
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
