from __future__ import annotations

import hypothesis
import hypothesis.extra.numpy
import hypothesis.strategies as st
import networkx
import numpy as np
import pytest

from jacbench.core.pattern import Pattern
from jacbench.structure import colouring
from tests.structure.matrices import MATRICES, arrow, band, stencil


def check(pattern: Pattern, found: colouring.Colouring) -> None:
    """Look at every row: the colours of its columns differ, and none is missing."""
    assert found.colours.shape == (pattern.shape[1],)
    for row in range(pattern.shape[0]):
        own = found.colours[pattern.indices[pattern.indptr[row] : pattern.indptr[row + 1]]]
        assert (own >= 0).all()
        assert np.unique(own).size == own.size
    used = np.unique(found.colours[found.colours >= 0])
    assert used.tolist() == list(range(found.count))


@pytest.mark.parametrize("name", MATRICES)
def test_columns_of_a_colour_share_no_row(name: str) -> None:
    pattern = Pattern.of(MATRICES[name])
    check(pattern, colouring.columns(pattern))


@hypothesis.given(
    hypothesis.extra.numpy.arrays(
        bool, hypothesis.extra.numpy.array_shapes(min_dims=2, max_dims=2, max_side=9)
    )
)
def test_of_any_pattern(marked: np.ndarray) -> None:
    pattern = Pattern.of(marked)
    found = colouring.columns(pattern)
    check(pattern, found)
    assert found.count >= marked.sum(axis=1).max()
    assert np.array_equal(found.colours >= 0, marked.any(axis=0))


@hypothesis.given(st.permutations(range(12)))
def test_a_greedy_pass_is_that_of_networkx(order: list[int]) -> None:
    J = MATRICES["far bands"][:12, :12] + band(12, -2, 0, 1)
    pattern = Pattern.of(J)
    graph = networkx.Graph()
    graph.add_nodes_from(range(12))
    for row in range(12):
        own = pattern.indices[pattern.indptr[row] : pattern.indptr[row + 1]].tolist()
        graph.add_edges_from((a, b) for a in own for b in own if a < b)
    expected = networkx.greedy_color(graph, strategy=lambda *_: order)
    found = colouring.greedy(colouring.transposed(pattern), np.array(order))
    assert found.tolist() == [expected[column] for column in range(12)]


def test_bands_take_as_many_colours_as_there_are() -> None:
    for offsets in ((-1, 0, 1), (0,), (-3, -2, -1, 0, 1, 2)):
        found = colouring.columns(Pattern.of(band(10_000, *offsets)))
        assert found.count == len(offsets)
        assert found.order == "as they stand"


def test_a_full_row_takes_a_colour_for_each_column() -> None:
    pattern = Pattern.of(arrow(40))
    assert colouring.columns(pattern).count == 40
    assert colouring.columns(colouring.transposed(pattern)).count == 2


@pytest.mark.parametrize("side", [12, 15, 30, 61])
def test_a_stencil_takes_five_colours(side: int) -> None:
    # 12 and 61 are no multiples of 5; of 15 and 30 the two axes need their own steps
    pattern = Pattern.of(stencil(side))
    found = colouring.columns(pattern)
    check(pattern, found)
    assert (found.count, found.order) == (5, "as a lattice")


def test_the_best_of_several_orders_is_kept() -> None:
    # the crown: greedy as it stands takes a colour per pair, and two are enough
    size = 6
    edges = [(2 * i, 2 * j + 1) for i in range(size) for j in range(size) if i != j]
    marked = np.zeros((len(edges), 2 * size), dtype=bool)
    for row, edge in enumerate(edges):
        marked[row, list(edge)] = True
    crown = Pattern.of(marked)
    own = colouring.transposed(crown)
    assert int(colouring.greedy(own, np.arange(2 * size)).max()) + 1 == size
    assert colouring.columns(crown).count == 2


def test_transposed() -> None:
    for J in MATRICES.values():
        found, expected = colouring.transposed(Pattern.of(J)), Pattern.of(J.T)
        assert found.shape == expected.shape
        assert np.array_equal(found.indptr, expected.indptr)
        assert np.array_equal(found.indices, expected.indices)
