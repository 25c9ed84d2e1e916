"""A cell whose Jacobian is held against its products with random vectors: too large to compare."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from jacbench.backend import Backend, Method, Target
from jacbench.checking import verdict
from jacbench.checking.checks import Refused, Settled, Trial, entry_names
from jacbench.checking.reference import Point
from jacbench.core import tree
from jacbench.core.arrays import Array
from jacbench.core.cell import Cell, Verdict
from jacbench.core.errors import JacbenchError
from jacbench.core.layouts import FactoredLayout, SparseLayout
from jacbench.picking.reference.random_products import Answer, Blocks, ByProducts
from jacbench.problems.problem import Problem

OPERATORS = ("jacobian", "sparse_jacobian", "factored_jacobian", "batch_jacobian")
"""What can be multiplied by vectors as long as x or y."""


def settle_by_products(
    cell: Cell,
    problem: Problem,
    backend: Backend,
    method: Method,
    right: ByProducts,
    *,
    chunk_size: int | None = None,
    memory_bytes: int | None = None,
) -> Settled:
    """Return what ``checking.verdict.settle`` does, for a Jacobian known by products alone.

    The same steps in the same order: primal values; prepared at x, called at a second point, at x,
    and at the second again; native shapes, dtype and device; nothing overwritten, no input changed;
    the process left as it was. Only the comparison is another one. A dense Jacobian beyond
    ``memory_bytes`` is ``too large``, as anywhere.

    Raises
    ------
    JacbenchError
        For an operator whose result has no such products.
    """
    if cell.operator not in OPERATORS:
        raise JacbenchError(
            f"{cell.method}: a {cell.operator} is not held against random products: ask for "
            f"{', '.join(OPERATORS)}"
        )
    if cell.operator == "jacobian":
        result = verdict.at_first(cell, problem, method, right, chunk_size)
        too_large = verdict.guarded(result, problem, right.m, memory_bytes)
        if too_large is not None:
            return Settled(too_large)
    settled = verdict.settle(
        cell, problem, backend, method, right, chunk_size=chunk_size, trial=TrialByProducts
    )
    vectors = "1 random product" if right.count == 1 else f"{right.count} random products"
    told = {**settled.result.notes, "compared_on": f"{vectors} a side"}
    return replace(settled, result=replace(settled.result, notes=told))


class TrialByProducts(Trial):
    """A trial that compares products with random vectors."""

    @property
    def right(self) -> ByProducts:
        """What the answers are held against."""
        assert isinstance(self.reference, ByProducts)  # noqa: S101 - as settle_by_products has it
        return self.reference

    def _check_matrix(
        self, arrays: Sequence[Array], point: Point, target: Target, when: str
    ) -> None:
        distance = self.right.distance(self._answer(arrays, target), point)
        self.error = max(self.error, distance.error)
        if distance.error <= self.tolerance:
            return
        raise Refused(
            Verdict.DISAGREES,
            f"{when}: ‖(J-R)v‖/‖Rv‖ = {distance.error:.2g} > {self.tolerance:.1g} for random v; "
            f"worst {self._where(distance.row, distance.column)}: {distance.value!r}, expected "
            f"{distance.expected!r}",
            error=distance.error if math.isfinite(distance.error) else None,
        )

    def _answer(self, arrays: Sequence[Array], target: Target) -> Answer:
        layout = self._layout(target)
        if isinstance(layout, SparseLayout):
            return layout.pattern.csr(arrays[0].astype(np.float64))
        if isinstance(layout, FactoredLayout):
            outer, inner = arrays
            return outer, inner
        matrix = self._matrix(arrays, layout)
        by_sample = self.operator.name == "batch_jacobian" and self.sizes.batch_axis is not None
        return Blocks(matrix, self.sizes) if by_sample else matrix

    def _where(self, row: int | None, column: int | None) -> str:
        told = [] if row is None else [f"at row {row} of J v"]
        if column is not None:
            names = entry_names(tree.names(self.problem.x), self.problem.leaf_shapes)
            told.append(f"at column {column} (x{names[column]}) of v J")
        return " and ".join(told)
