"""Whether a Jacobian is right: errors as numbers, beside the tolerance they are held against."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from jacbench.layout import Array

TOLERANCES = {
    ("float64", "cpu"): 1e-12,
    ("float32", "cpu"): 2e-5,
    ("float64", "cuda"): 1e-12,
    ("float32", "cuda"): 2e-5,
}
"""Normwise tolerances by dtype and kind of device.

About 4500 and 170 machine epsilons: a few hundred operations in a row, each with the error bound
of a sum over some hundred terms (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed.,
2002, section 3.5), stay below; TF32 (1e-3) and a float32 leak into float64 (1e-7) do not.
"""


def tolerance(dtype: str, device: str) -> float:
    """Return the normwise tolerance for results of ``dtype`` computed on ``device``."""
    return TOLERANCES[dtype, device.partition(":")[0]]


@dataclass(frozen=True)
class Comparison:
    """How far a matrix is from its reference.

    Attributes
    ----------
    error
        ‖J - R‖ / ‖R‖ in the Frobenius norm; ‖J‖ where R is zero; inf where J is not finite. Of a
        product with a vector, over the size that it has for a typical vector of that length, if
        that is larger than ‖R‖.
    row, column
        The place of the entry that differs most, or of the first that is not finite.
    value, expected
        Both entries at that place.
    """

    error: float
    row: int
    column: int
    value: float
    expected: float

    def within(self, tolerance: float) -> bool:
        """Say whether the matrices agree; a NaN never does."""
        return self.error <= tolerance


def compare(value: Array, reference: Array, scale: float = 0.0) -> Comparison:
    """Compare two arrays of equal shape, entry by entry, in float64.

    ``scale`` replaces ‖R‖ where it is larger: a product that nearly cancels is as inexact as the
    terms that it is the sum of.
    """
    value = np.atleast_2d(np.asarray(value, dtype=np.float64))
    reference = np.atleast_2d(np.asarray(reference, dtype=np.float64))
    finite = np.isfinite(value)
    if not finite.all():
        row, column = (int(i) for i in np.argwhere(~finite)[0])
        error = math.inf
    else:
        difference = value - reference
        row, column = (
            int(i) for i in np.unravel_index(np.argmax(np.abs(difference)), difference.shape)
        )
        scale = max(scale, float(np.linalg.norm(reference)))
        error = float(np.linalg.norm(difference)) / (scale or 1.0)
    return Comparison(error, row, column, float(value[row, column]), float(reference[row, column]))


def worst_entry(comparison: Comparison, inputs: list[str]) -> dict[str, Any]:
    """Return the worst entry for the results file; ``inputs`` names the columns."""

    def number(value: float) -> float | str:
        return value if math.isfinite(value) else str(value)

    return {
        "row": comparison.row,
        "column": comparison.column,
        "input": inputs[comparison.column] if inputs else None,
        "value": number(comparison.value),
        "expected": number(comparison.expected),
    }
