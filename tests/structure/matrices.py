"""Sparse matrices of several kinds, as the Jacobians of the tests here."""

from __future__ import annotations

import numpy as np
import scipy.sparse

from jacbench.core.pattern import Pattern
from jacbench.structure.pattern_check import Products


def band(n: int, *offsets: int) -> scipy.sparse.csr_array:
    """Return an (n, n) matrix with random diagonals."""
    rng = np.random.default_rng(n)
    diagonals = [rng.uniform(0.5, 1.5, n - abs(offset)) for offset in offsets]
    return scipy.sparse.csr_array(scipy.sparse.diags_array(diagonals, offsets=offsets))


def stencil(side: int) -> scipy.sparse.csr_array:
    """Return the five-point stencil on a square of ``side``^2 points."""
    line, one = band(side, -1, 0, 1), scipy.sparse.eye_array(side)
    return scipy.sparse.csr_array(scipy.sparse.kron(line, one) + scipy.sparse.kron(one, line))


def blocks(count: int, height: int, width: int) -> scipy.sparse.csr_array:
    """Return full blocks on the diagonal."""
    rng = np.random.default_rng(count)
    made = [rng.uniform(0.5, 1.5, (height, width)) for _ in range(count)]
    return scipy.sparse.csr_array(scipy.sparse.block_diag(made))


def strided(count: int, features: int) -> scipy.sparse.csr_array:
    """Return the Jacobian of a function per sample whose samples lie along the last axes."""
    J = blocks(count, features, features).tocoo()
    order = np.arange(count * features).reshape(count, features).ravel(order="F").argsort()
    return scipy.sparse.csr_array((J.data, (order[J.row], order[J.col])), shape=J.shape)


def scattered(m: int, n: int, each: int) -> scipy.sparse.csr_array:
    """Return ``each`` entries per row, anywhere."""
    rng = np.random.default_rng(m)
    columns = np.concatenate([rng.choice(n, each, replace=False) for _ in range(m)])
    rows = np.repeat(np.arange(m), each)
    return scipy.sparse.csr_array((rng.uniform(0.5, 1.5, rows.size), (rows, columns)), (m, n))


def arrow(n: int) -> scipy.sparse.csr_array:
    """Return a diagonal under one full row."""
    J = band(n, 0).tolil()
    J[0] = 1.0
    return scipy.sparse.csr_array(J)


MATRICES = {
    "tridiagonal": band(300, -1, 0, 1),
    "far bands": band(200, -90, 0, 1, 150),
    "periodic": scipy.sparse.csr_array(band(100, -1, 0, 1) + band(100, 99, -99)),
    "stencil": stencil(15),
    "blocks": blocks(20, 3, 5),
    "tall blocks": blocks(12, 9, 2),
    "scattered": scattered(400, 300, 2),
    "one column": scipy.sparse.csr_array(np.eye(50)[:, [7]]),
    "tiny": scipy.sparse.csr_array(np.eye(3)),
    "zero": scipy.sparse.csr_array((70, 40)),
}


def products(J: scipy.sparse.csr_array) -> Products:
    """Return products with a known matrix."""
    return Products(lambda tangents: (J @ tangents.T).T, lambda cotangents: cotangents @ J)


def same_places(found: Pattern, J: scipy.sparse.csr_array) -> bool:
    """Say whether a pattern holds the places of ``J`` and no other."""
    expected = Pattern.of(J)
    return (
        found.shape == expected.shape
        and np.array_equal(found.indptr, expected.indptr)
        and np.array_equal(found.indices, expected.indices)
    )
