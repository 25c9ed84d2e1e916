from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse

from jacbench.core.errors import JacbenchError
from jacbench.core.pattern import Pattern
from jacbench.structure.formats import FORMATS, convert
from tests.structure.matrices import MATRICES, band, blocks

RNG = np.random.default_rng(5)


@pytest.mark.parametrize("name", MATRICES)
def test_csr_dense_and_operator_are_the_matrix(name: str) -> None:
    J = MATRICES[name].sorted_indices()
    pattern = Pattern.of(J)
    csr = convert(pattern, J.data, "csr")
    assert isinstance(csr, scipy.sparse.csr_array)
    assert np.array_equal(csr.toarray(), J.toarray())
    assert np.array_equal(convert(pattern, J.data, "dense"), J.toarray())
    operator = convert(pattern, J.data, "operator")
    x, v = RNG.standard_normal(J.shape[1]), RNG.standard_normal(J.shape[0])
    assert np.allclose(operator.matvec(x), J @ x, rtol=1e-13)
    assert np.allclose(operator.rmatvec(v), v @ J, rtol=1e-13)


@pytest.mark.parametrize("offsets", [(-1, 0, 1), (-2, 0), (0, 3), (0,), (1, 2), (-4, -3, 0, 1)])
def test_bands_are_what_solve_banded_takes(offsets: tuple[int, ...]) -> None:
    J = band(30, *offsets).sorted_indices()
    shape, ab = convert(Pattern.of(J), J.data.astype(np.float32), "banded")
    assert shape == (max(0, -min(offsets)), max(0, *offsets, 0))
    assert ab.dtype == np.float32
    if 0 not in offsets:
        return
    J = J + 10 * scipy.sparse.eye_array(30)
    J = scipy.sparse.csr_array(J).sorted_indices()
    shape, ab = convert(Pattern.of(J), J.data, "banded")
    right = RNG.standard_normal(30)
    expected = np.linalg.solve(J.toarray(), right)
    assert np.allclose(scipy.linalg.solve_banded(shape, ab, right), expected, rtol=1e-12)


def test_blocks_are_those_of_the_diagonal() -> None:
    J = blocks(6, 2, 5).sorted_indices()
    found = convert(Pattern.of(J), J.data, "blocks")
    assert found.shape == (6, 2, 5)
    for b in range(6):
        assert np.array_equal(found[b], J.toarray()[2 * b : 2 * b + 2, 5 * b : 5 * b + 5])
    # with fewer places the blocks are as small as they can be
    J = band(12, 0).sorted_indices()
    assert convert(Pattern.of(J), J.data, "blocks").shape == (12, 1, 1)


def test_what_cannot_be_is_said_in_one_line() -> None:
    J = MATRICES["tall blocks"].sorted_indices()
    with pytest.raises(JacbenchError, match=r"square matrix, and this Jacobian is 108 x 24") as one:
        convert(Pattern.of(J), J.data, "banded")
    J = MATRICES["tridiagonal"].sorted_indices()
    with pytest.raises(JacbenchError, match="places off every division into equal blocks") as two:
        convert(Pattern.of(J), J.data, "blocks")
    with pytest.raises(JacbenchError, match=r"unknown format 'bands': did you mean") as three:
        convert(Pattern.of(J), J.data, "bands")
    with pytest.raises(JacbenchError, match=r"data has shape \(3,\) and the pattern 898") as four:
        convert(Pattern.of(J), J.data[:3], "csr")
    assert all("\n" not in str(raised.value) for raised in (one, two, three, four))
    assert list(FORMATS) == ["csr", "banded", "operator", "dense", "blocks"]


def test_bands_as_large_as_the_whole_matrix_are_refused() -> None:
    n = 20_000
    pattern = Pattern.of(scipy.sparse.eye_array(n) + scipy.sparse.eye_array(n, k=n - 1))
    with pytest.raises(JacbenchError, match=r"takes 2.98 GiB for 20001 places.* ask for 'csr'"):
        convert(pattern, np.ones(pattern.nnz), "banded")
