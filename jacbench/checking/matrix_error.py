"""Whether a Jacobian is right: errors as numbers, beside the tolerance they are held against."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from jacbench.core.arrays import Array

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


FLOOR = 0.1
"""Share of ‖R‖ that belongs to the scale of every single entry, see :func:`compare`."""
NORMWISE = 1.0
"""The floor with which entries are not held one by one: none is further off than all together."""


def tolerance(dtype: str, device: str) -> float:
    """Return the normwise tolerance for results of ``dtype`` computed on ``device``."""
    return TOLERANCES[dtype, device.partition(":")[0]]


@dataclass(frozen=True)
class Comparison:
    """How far a matrix is from its reference.

    Attributes
    ----------
    error
        ‖J - R‖ / ‖R‖ in the Frobenius norm; ‖J‖ where R is zero; inf where J is not finite. What
        an entry is off by counts beyond ``atol`` alone. Of a
        product with a vector, over the size that it has for a typical vector of that length, if
        that is larger than ‖R‖.
    entry_error
        The largest error of a single entry, over the scale of its row and column; inf likewise.
    row, column
        The place of the entry that is furthest off for its scale, or of the first that is not
        finite.
    value, expected
        Both entries at that place.
    """

    error: float
    entry_error: float
    row: int
    column: int
    value: float
    expected: float

    def within(self, tolerance: float) -> bool:
        """Say whether the matrices agree, as a whole and in each entry; a NaN never does."""
        return self.error <= tolerance and self.entry_error <= tolerance

    def excess(self, tolerance: float) -> str:
        """Return which of the two errors is larger than ``tolerance``, in a few words."""
        if self.error <= tolerance < self.entry_error:
            return (
                f"|J-R| of one entry over its row's or column's size = {self.entry_error:.2g} > "
                f"{tolerance:.1g}"
            )
        return f"‖J-R‖/‖R‖ = {self.error:.2g} > {tolerance:.1g}"


def compare(
    value: Array,
    reference: Array,
    scale: float = 0.0,
    *,
    terms: Array | None = None,
    floor: float = FLOOR,
    atol: float = 0.0,
) -> Comparison:
    """Compare two arrays of equal shape, as a whole and entry by entry, in float64.

    Entry (i, j) has the scale ``min(r_i, c_j) + floor ‖R‖``, with the norms r_i of its row and c_j
    of its column. A sum of products in floating point, which is what every mode of automatic
    differentiation computes, is off by a small multiple of machine epsilon times Σ_k |a_ik| |b_kj|,
    at most ‖a_i‖ ‖b_j‖ (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., 2002,
    sections 3.1 and 3.5): where terms cancel, an entry is as inexact as its row or its column is
    large, and no more. So a small row, or column, is held to its own size beside a large one. The
    floor is for what cancels in a whole row or column, as in the derivative by a bias before a
    batch norm: nothing but rounding is left there.

    Parameters
    ----------
    value, reference
        J and R.
    scale
        Replaces ‖R‖ where it is larger: a product that nearly cancels is as inexact as the terms
        that it is the sum of.
    terms
        What takes the place of R in the norms of rows and columns: of a product with a vector, the
        product of the absolute values.
    floor
        :data:`NORMWISE` where the reference, or the method, is not exact to rounding in each entry:
        differences are off by the size of the function, whatever the entry.
    atol
        By how much any entry may be off: what is within it does not count in either error.
    """
    value = np.atleast_2d(np.asarray(value, dtype=np.float64))
    reference = np.atleast_2d(np.asarray(reference, dtype=np.float64))
    finite = np.isfinite(value)
    if not finite.all():
        row, column = (int(i) for i in np.argwhere(~finite)[0])
        error = entry_error = math.inf
    else:
        terms = reference if terms is None else np.atleast_2d(terms)
        unit = unit_of(value, reference, terms)
        scale = max(unit * scale, float(np.linalg.norm(unit * reference))) or unit
        beyond = np.maximum(np.abs(unit * value - unit * reference) - unit * atol, 0.0)
        shares = beyond / _entry_scale(unit * terms, floor * scale)
        row, column = (int(i) for i in np.unravel_index(np.argmax(shares), shares.shape))
        error = float(np.linalg.norm(beyond)) / scale
        entry_error = float(shares[row, column])
    return Comparison(
        error,
        entry_error,
        row,
        column,
        float(value[row, column]),
        float(reference[row, column]),
    )


def unit_of(*arrays: Array) -> float:
    """Return a power of two that keeps squares of the entries from overflow and from vanishing.

    It is 1 but for entries beyond 1e140, or all below 1e-140: the norm of those would be inf or 0.
    """
    peak = max(float(np.max(np.abs(array), initial=0.0)) for array in arrays)
    if peak == 0 or not math.isfinite(peak) or 1e-140 < peak < 1e140:
        return 1.0
    return math.ldexp(1.0, -max(math.frexp(peak)[1], -1000))


def _entry_scale(terms: Array, floor: float) -> Array:
    """Return min(r_i, c_j) + ``floor`` for each entry."""
    rows = np.linalg.norm(terms, axis=1, keepdims=True)
    columns = np.linalg.norm(terms, axis=0, keepdims=True)
    return np.asarray(np.minimum(rows, columns) + floor)


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
