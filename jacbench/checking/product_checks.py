"""A cell whose Jacobian is held against its products with random vectors: too large to compare."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from jacbench.backend import Target
from jacbench.checking.checks import Refused, Trial, entry_names
from jacbench.checking.random_products import Answer, Blocks, ByProducts
from jacbench.checking.reference import Point, Reference
from jacbench.core import tree
from jacbench.core.arrays import Array
from jacbench.core.cell import Verdict
from jacbench.core.layouts import FactoredLayout, SparseLayout


class TrialByProducts(Trial):
    """A trial that compares products with random vectors."""

    @property
    def right(self) -> ByProducts:
        """What the answers are held against."""
        assert isinstance(self.reference, ByProducts)  # noqa: S101 - as trial_of has it
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


def trial_of(reference: Reference) -> type[Trial]:
    """Return the trial that compares answers as the reference is known: by entries or products."""
    return TrialByProducts if isinstance(reference, ByProducts) else Trial
