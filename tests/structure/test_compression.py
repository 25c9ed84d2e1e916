from __future__ import annotations

import numpy as np
import pytest

from jacbench.core.pattern import Pattern
from jacbench.structure import compression
from tests.structure.matrices import MATRICES, arrow, products


@pytest.mark.parametrize("make", [compression.by_columns, compression.by_rows])
@pytest.mark.parametrize("name", MATRICES)
def test_the_products_hold_every_entry_once(name: str, make: object) -> None:
    J = MATRICES[name]
    made = make(Pattern.of(J))  # type: ignore[operator]
    seeds = made.seeds("float32")
    assert seeds.dtype == np.float32
    assert len(seeds) == made.count
    data = made.data(products(J).by(made.by)(made.seeds()))
    assert np.array_equal(made.pattern.dense(data), J.toarray())
    flat = np.zeros(J.shape[0] * J.shape[1])
    flat[made.places] = data
    assert np.array_equal(flat, J.toarray().ravel())
    assert (np.diff(made.places) > 0).all()


def test_a_place_that_is_zero_here_is_held_as_zero() -> None:
    J = MATRICES["tridiagonal"]
    wider = Pattern.of(J @ J)
    made = compression.by_columns(wider)
    assert made.count == 5
    data = made.data(products(J).push(made.seeds()))
    assert np.array_equal(wider.dense(data), J.toarray())


def test_by_rows_where_one_row_is_full() -> None:
    pattern = Pattern.of(arrow(30))
    assert compression.by_columns(pattern).count == 30
    assert compression.by_rows(pattern).count == 2
