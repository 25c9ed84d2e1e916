from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import scipy.sparse

from jacbench.core.errors import JacbenchError
from jacbench.core.pattern import Pattern

MARKED = np.array([[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 1]], dtype=bool)


def test_of_an_array_are_its_non_zeros() -> None:
    found = Pattern.of(MARKED)
    assert found.shape == (4, 3)
    assert found.indptr.tolist() == [0, 2, 2, 3, 6]
    assert found.indices.tolist() == [0, 2, 1, 0, 1, 2]
    assert found.rows.tolist() == [0, 0, 2, 3, 3, 3]
    assert found.nnz == 6
    assert found.density == 0.5
    assert Pattern.of([[0.0, float("nan")]]).indices.tolist() == [1]


def test_of_a_sparse_array_are_its_stored_entries() -> None:
    # a zero that is stored is a place; one that is stored twice is one place
    rows, columns = np.array([1, 0, 1, 1]), np.array([2, 0, 0, 2])
    data = np.array([3.0, 0.0, 1.0, -3.0])
    found = Pattern.of(scipy.sparse.coo_array((data, (rows, columns)), shape=(2, 3)))
    assert found.indptr.tolist() == [0, 1, 3]
    assert found.indices.tolist() == [0, 0, 2]


def test_of_a_pattern_is_itself() -> None:
    pattern = Pattern.of(MARKED)
    assert Pattern.of(pattern) is pattern


def test_a_vector_is_none() -> None:
    with pytest.raises(JacbenchError, match=r"has two axes, and this list has 1") as raised:
        Pattern.of([True, False])
    assert "\n" not in str(raised.value)


def test_data_come_back_in_both_forms() -> None:
    pattern, data = Pattern.of(MARKED), np.arange(1.0, 7.0)
    dense = np.zeros(MARKED.shape)
    dense[MARKED] = data
    assert np.array_equal(pattern.dense(data), dense)
    assert np.array_equal(pattern.csr(data).toarray(), dense)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
def test_sparse_arrays_of_torch_and_jax_are_patterns() -> None:
    dense = np.array([[0.0, 2.0, 0.0], [3.0, 0.0, 0.0]])
    expected = Pattern.of(dense)
    given = []
    if importlib.util.find_spec("torch") is not None:
        import torch

        given += [torch.tensor(dense).to_sparse(), torch.tensor(dense).to_sparse_csr()]
    if importlib.util.find_spec("jax") is not None:
        from jax.experimental.sparse import BCOO, BCSR

        given += [BCOO.fromdense(dense), BCOO.fromdense(dense, nse=4), BCSR.fromdense(dense)]
    for one in given:
        found = Pattern.of(one)
        assert found.shape == (2, 3)
        assert np.array_equal(found.indptr, expected.indptr)
        assert np.array_equal(found.indices, expected.indices)
