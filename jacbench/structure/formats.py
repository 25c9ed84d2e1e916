"""The entries of a sparse Jacobian as solvers want them: CSR, bands, blocks, an operator, dense."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from jacbench.core.arrays import Array
from jacbench.core.errors import JacbenchError, unknown
from jacbench.core.pattern import Pattern
from jacbench.measuring.memory import format_size

LARGE, SPARSE = 2**30, 10
"""Bytes of bands, and how many times those of the entries, beyond which they are refused."""


def convert(pattern: Pattern, data: Array, format: str) -> Any:  # noqa: A002 - SciPy's own word
    """Return the (m, n) Jacobian of these entries in another form.

    Parameters
    ----------
    pattern
        The places.
    data
        Their values in the order of the CSR data, of shape (nnz,), as a NumPy array.
    format
        ``csr``: a ``scipy.sparse.csr_array``. ``banded``: ``((l, u), ab)`` as
        ``scipy.linalg.solve_banded`` takes it. ``operator``: a ``scipy.sparse.linalg``
        ``LinearOperator``. ``dense``: an (m, n) array. ``blocks``: the blocks on the diagonal, of
        shape (B, m / B, n / B), with the most blocks that hold all places.

    Raises
    ------
    JacbenchError
        For another format; for bands where m is not n; for blocks where there is but one.
    """
    if format not in FORMATS:
        raise unknown("format", format, FORMATS)
    values = np.asarray(data)
    if values.shape != (pattern.nnz,):
        raise JacbenchError(
            f"data has shape {values.shape} and the pattern {pattern.nnz} places: give one value "
            "for each, row by row"
        )
    return FORMATS[format](pattern, values)


def _csr(pattern: Pattern, data: Array) -> Any:
    return pattern.csr(data)


def _dense(pattern: Pattern, data: Array) -> Array:
    return pattern.dense(data)


def _operator(pattern: Pattern, data: Array) -> Any:
    from scipy.sparse.linalg import aslinearoperator  # noqa: PLC0415 - slow to import

    return aslinearoperator(pattern.csr(data))


def _banded(pattern: Pattern, data: Array) -> tuple[tuple[int, int], Array]:
    """Return the bands: entry (i, j) at ``ab[u + i - j, j]``.

    Source: https://docs.scipy.org/doc/scipy/reference/generated/scipy.linalg.solve_banded.html
    """
    m, n = pattern.shape
    if m != n:
        raise JacbenchError(
            f"bands are of a square matrix, and this Jacobian is {m} x {n}: ask for 'csr'"
        )
    below = pattern.rows - pattern.indices
    lower, upper = (max(0, int(side.max(initial=0))) for side in (below, -below))
    takes = (lower + upper + 1) * n * data.itemsize
    if takes > LARGE and takes > SPARSE * data.nbytes:
        raise JacbenchError(
            f"as bands this Jacobian takes {format_size(takes)} for {pattern.nnz} places, since "
            f"they lie up to {lower} below and {upper} above the diagonal: ask for 'csr'"
        )
    bands = np.zeros((lower + upper + 1, n), dtype=data.dtype)
    bands[upper + below, pattern.indices] = data
    return (lower, upper), bands


def _blocks(pattern: Pattern, data: Array) -> Array:
    m, n = pattern.shape
    count = next(b for b in _divisors(math.gcd(m, n)) if _on_diagonal(pattern, b))
    if count == 1:
        raise JacbenchError(
            f"this {m} x {n} Jacobian has places off every division into equal blocks on the "
            "diagonal: ask for 'csr'"
        )
    height, width = m // count, n // count
    blocks = np.zeros((count, height, width), dtype=data.dtype)
    rows = pattern.rows
    blocks[rows // height, rows % height, pattern.indices % width] = data
    return blocks


def _divisors(number: int) -> list[int]:
    """Return the divisors of ``number``, the largest first."""
    return [d for d in range(number, 0, -1) if number % d == 0]


def _on_diagonal(pattern: Pattern, count: int) -> bool:
    m, n = pattern.shape
    return bool(np.array_equal(pattern.rows // (m // count), pattern.indices // (n // count)))


FORMATS: dict[str, Callable[[Pattern, Array], Any]] = {
    "csr": _csr,
    "banded": _banded,
    "operator": _operator,
    "dense": _dense,
    "blocks": _blocks,
}
"""What each format is made by."""
