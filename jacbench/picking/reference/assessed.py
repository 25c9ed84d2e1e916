"""What answers are held against, and how much that is worth; and holding a cell against it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jacbench.backend import Backend, Method
from jacbench.checking import matrix_error, verdict
from jacbench.checking.checks import Settled
from jacbench.checking.reference import Reference
from jacbench.core.cell import Cell
from jacbench.picking.reference.product_checks import settle_by_products
from jacbench.picking.reference.random_products import Answer, ByProducts, pushed
from jacbench.problems.problem import Problem


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What answers are held against, and how much that is worth.

    Attributes
    ----------
    reference
        Every entry, :class:`jacbench.checking.reference.Reference`; or products with random
        vectors, :class:`jacbench.picking.reference.random_products.ByProducts`.
    dtype
        The dtype of the cells that it is for.
    precision
        The dtype in which it was computed.
    witnesses
        The methods that gave products: forward, then reverse.
    agreement
        The normwise difference between both; None where there are not both.
    confirmed
        How far differences are from what is believed of them; None where they do not confirm it.
    doubt
        Why it is not confirmed, in one line; None: it is, and nothing speaks against it.
    told
        What it stands on, in one line.
    notes
        What could not be had, a line each.
    """

    reference: Reference
    dtype: str
    precision: str
    witnesses: tuple[str, ...]
    agreement: float | None
    confirmed: float | None
    doubt: str | None
    told: str
    notes: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Say whether answers are compared entry by entry."""
        return not isinstance(self.reference, ByProducts)

    def error(self, answer: Answer) -> float:
        """Return the normwise error of a Jacobian at x: ‖A - J‖ / ‖J‖, or what products see of it.

        ``answer`` is a NumPy array (m, n), a SciPy CSR array, a pair of factors, or
        :class:`jacbench.picking.reference.random_products.Blocks`. Products compare a sum over many
        entries: an error below their rounding is not seen.
        """
        right = self.reference
        if isinstance(right, ByProducts):
            return right.distance(answer).error
        known = right.here.jacobian
        columns = np.eye(known.shape[1])
        matrix = answer if isinstance(answer, np.ndarray) else pushed(answer, columns)
        return matrix_error.compare(matrix, known).error


def settle_large(
    cell: Cell,
    problem: Problem,
    backend: Backend,
    method: Method,
    right: Truth,
    *,
    chunk_size: int | None = None,
    memory_bytes: int | None = None,
) -> Settled:
    """Return the verdict on a cell, held against what there is: every entry, or products.

    Parameters
    ----------
    problem
        That of the examination.
    memory_bytes
        What checking a dense Jacobian may need; None: a share of what is available.
    """
    known = right.reference
    if isinstance(known, ByProducts):
        return settle_by_products(
            cell,
            problem,
            backend,
            method,
            known,
            chunk_size=chunk_size,
            memory_bytes=memory_bytes,
        )
    return verdict.settle(cell, problem, backend, method, known, chunk_size=chunk_size)
