"""A whole Jacobian and differences: one that is claimed is held against them, or made of them."""

from __future__ import annotations

import math

import numpy as np

from jacbench.checking.evidence.claims import Claim, Confirmation
from jacbench.checking.evidence.differences import Differences
from jacbench.core import nearby
from jacbench.core.arrays import Array

COLUMNS = 24
"""Inputs up to which each is moved by itself."""
DIRECTIONS = 3
"""Random directions in which more inputs are moved together."""
DECADES = 2
"""Decades of scale within which they are: what moves little is lost beside what moves much."""
GROUPS = 4
"""Groups of inputs by scale, at most: the rest, which move least, are one more."""


def confirm(differences: Differences, jacobian: Array, seed: int = 0) -> Confirmation:
    """Return what differences say of the (m, n) ``jacobian`` that is claimed.

    Its rows are held against their own scale: an entry that is wrong by 1e-4 of its row's norm is
    seen, in whatever units its input is, or it is said that differences cannot tell. ``seed`` draws
    the directions of what is moved together.
    """
    units = nearby.units(differences.x)
    rows, scaled = _row_norms(jacobian), _row_norms(jacobian * units)
    if units.size <= COLUMNS:
        along, sizes = np.diag(units), units[None, :]
    else:
        along, sizes = _together(units, seed)
    claim = Claim(jacobian @ along, scale=np.minimum(scaled, rows * sizes))
    (told,) = differences.confirm(along, [claim])
    return told


def _row_norms(matrix: Array) -> Array:
    """Return the norm of each row, (m, 1), also where its square is too small for a float."""
    peak = np.abs(matrix).max(axis=1, keepdims=True)
    safe = np.where(peak > 0, peak, 1.0)
    return np.asarray(peak * np.linalg.norm(matrix / safe, axis=1, keepdims=True))


def _together(units: Array, seed: int) -> tuple[Array, Array]:
    """Return directions that move inputs of like scales, (n, K), and the scale of each, (1, K)."""
    decade = np.floor(np.log10(units) / DECADES)
    largest = np.unique(decade)[::-1][:GROUPS]
    groups = [decade == one for one in largest]
    rest = ~np.logical_or.reduce(groups)
    groups += [rest] if rest.any() else []
    rng = np.random.default_rng([seed, 0xD1F])
    along, sizes = [], []
    for group in groups:
        for _ in range(DIRECTIONS):
            along.append(np.where(group, units, 0.0) * rng.standard_normal(units.size))
            sizes.append(math.exp(float(np.mean(np.log(units[group])))))
    return np.stack(along, axis=1), np.array(sizes)[None, :]


def jacobian(differences: Differences) -> tuple[Array, Array]:
    """Return the (m, n) Jacobian by differences, an input at a time, and what it may be off by.

    What no difference tells from 0 is 0.
    """
    units = nearby.units(differences.x)
    columns, errors = [], []
    for j, unit in enumerate(units):
        direction = np.zeros(units.size)
        direction[j] = unit
        found = differences.slopes(direction)
        value = np.where(np.abs(found.value) <= found.resolution, 0.0, found.value)
        columns.append(value / unit)
        errors.append(found.error / unit)
    return np.stack(columns, axis=1), np.stack(errors, axis=1)
