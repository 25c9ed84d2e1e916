"""Whatever shape a method returns, the canonical matrix is the same."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jacbench.core import layouts
from jacbench.core.arrays import Shape
from jacbench.core.layouts import Layout

shapes = st.lists(st.integers(1, 3), max_size=3).map(tuple)


def blocks(J: np.ndarray, leaves: list[Shape]) -> list[np.ndarray]:
    edges = np.cumsum([math.prod(leaf) for leaf in leaves])[:-1]
    return np.split(J, edges, axis=1)


def native(kind: Layout, J: np.ndarray, y: Shape, leaves: list[Shape]) -> list[np.ndarray]:
    """Lay out the matrix J by hand, one entry's place at a time spelled by the layout's name."""
    m, n = J.shape
    by_hand = {
        layouts.OUTPUT_BY_INPUT.name: [
            part.reshape(y + leaf) for part, leaf in zip(blocks(J, leaves), leaves, strict=True)
        ],
        layouts.ROWS.name: [
            part.reshape((m, *leaf)) for part, leaf in zip(blocks(J, leaves), leaves, strict=True)
        ],
        layouts.OUTPUT_BY_COLUMNS.name: [J.reshape((*y, n))],
        layouts.COLUMNS.name: [np.stack([column.reshape(y) for column in J.T])],
        layouts.MATRIX.name: [J],
    }
    return by_hand[kind.name]


@pytest.mark.parametrize(
    "kind",
    [
        layouts.OUTPUT_BY_INPUT,
        layouts.ROWS,
        layouts.OUTPUT_BY_COLUMNS,
        layouts.COLUMNS,
        layouts.MATRIX,
    ],
    ids=lambda kind: kind.name,
)
@given(y=shapes, leaves=st.lists(shapes, min_size=1, max_size=3))
def test_matrix_undoes_the_layout(kind: Layout, y: Shape, leaves: list[Shape]) -> None:
    m, n = math.prod(y), sum(math.prod(leaf) for leaf in leaves)
    J = np.arange(m * n, dtype=float).reshape(m, n)
    arrays = native(kind, J, y, leaves)
    assert kind.shapes(y, leaves) == [array.shape for array in arrays]
    assert np.array_equal(kind.matrix(arrays, m), J)
