"""Where a Jacobian may be other than zero: a boolean matrix in compressed rows."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from jacbench.core.arrays import Array
from jacbench.core.errors import JacbenchError

if TYPE_CHECKING:
    import scipy.sparse


@dataclass(frozen=True, eq=False)
class Pattern:
    """The places of an (m, n) matrix that may be other than zero, row by row.

    Attributes
    ----------
    shape
        ``(m, n)``.
    indptr
        Row i has the entries ``indptr[i]`` to ``indptr[i + 1]``; of shape (m + 1,).
    indices
        The column of each entry, ascending within a row; of shape (nnz,).
    """

    shape: tuple[int, int]
    indptr: Array
    indices: Array

    @classmethod
    def of(cls, given: Any) -> Pattern:
        """Return the pattern of a sparse array's stored entries, or of an array's non-zeros.

        Sparse arrays are those of SciPy, of ``jax.experimental.sparse`` and of torch.

        Raises
        ------
        JacbenchError
            For anything that is not two-dimensional.
        """
        import scipy.sparse  # noqa: PLC0415 - tens of milliseconds that most runs do without

        if isinstance(given, Pattern):
            return given
        places = _places(given)
        if places is not None:
            marked = (np.ones(places.shape[1], dtype=bool), tuple(places))
            rows: Any = scipy.sparse.csr_array(marked, shape=tuple(given.shape))
        elif scipy.sparse.issparse(given):
            sparse: Any = given
            stored = sparse.tocoo()
            marked = (np.ones(stored.nnz, dtype=bool), stored.coords)
            rows = scipy.sparse.csr_array(marked, shape=stored.shape)
        else:
            dense = np.asarray(given)
            if dense.ndim != 2:
                raise JacbenchError(
                    f"a sparsity pattern has two axes, and this {type(given).__name__} has "
                    f"{dense.ndim}: give an (m, n) SciPy sparse array or a NumPy array of booleans"
                )
            rows = scipy.sparse.csr_array(dense != 0)
        rows.sum_duplicates()
        rows.sort_indices()
        m, n = rows.shape
        return cls((m, n), rows.indptr.astype(np.int64), rows.indices.astype(np.int64))

    def union(self, other: Pattern) -> Pattern:
        """Return the places of both, of patterns of one shape."""
        ones, others = (p.csr(np.ones(p.nnz, dtype=np.int8)) for p in (self, other))
        return Pattern.of(ones + others)

    @property
    def nnz(self) -> int:
        """The number of places."""
        return int(self.indices.size)

    @property
    def density(self) -> float:
        """The share of all places, from 0 to 1."""
        return self.nnz / max(1, self.shape[0] * self.shape[1])

    @functools.cached_property
    def rows(self) -> Array:
        """The row of each entry; of shape (nnz,)."""
        return np.repeat(np.arange(self.shape[0]), np.diff(self.indptr))

    def csr(self, data: Array) -> scipy.sparse.csr_array:
        """Return ``data``, one value for each place, as a SciPy array of shape (m, n)."""
        import scipy.sparse  # noqa: PLC0415

        return scipy.sparse.csr_array((data, self.indices, self.indptr), shape=self.shape)

    def dense(self, data: Array) -> Array:
        """Return ``data``, one value for each place, as an (m, n) array with zeros elsewhere."""
        whole = np.zeros(self.shape, dtype=data.dtype)
        whole[self.rows, self.indices] = data
        return whole


def _places(given: Any) -> Array | None:
    """Return the places, (2, nnz), that a sparse array of JAX or torch stores; None: it is none."""
    library = type(given).__module__.partition(".")[0]
    if library == "jax" and hasattr(given, "todense") and len(given.shape) == 2:
        stored = given if hasattr(given, "indices") and given.indices.ndim == 2 else given.to_bcoo()
        indices = np.asarray(stored.indices).T
        # what it holds beyond its shape pads it to a fixed size
        return indices[:, (indices < np.array(given.shape)[:, None]).all(axis=0)]
    if library == "torch" and str(given.layout) != "torch.strided" and given.ndim == 2:
        return np.asarray(given.detach().to_sparse_coo().coalesce().indices().cpu())
    return None
