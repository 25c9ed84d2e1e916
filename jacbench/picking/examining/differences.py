"""Whether central differences along a few directions confirm what a library's modes give."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jacbench.errors import JacbenchError
from jacbench.layout import Array
from jacbench.nearby import flat, like, units
from jacbench.picking.examining.calls import Calls
from jacbench.tree import Tree

FACTORS = (1.0, 0.1, 0.01, 10.0, 100.0)
"""Steps that are tried in turn, in units of the first: shorter ones for what curves strongly,
longer ones for what is nearly linear and large. A wrong derivative agrees with none of them."""
ROUNDING = 10
"""Sizes of a value's own rounding within which two differences are the same."""
WEAK = 0.1
"""Normwise error above which agreeing within rounding says nothing."""


@dataclass(frozen=True)
class Confirmation:
    """What differences say of products.

    Attributes
    ----------
    error
        ‖product - difference‖ / ‖difference‖, of the step that agrees best.
    holds
        True where that is within what differences can tell.
    """

    error: float
    holds: bool

    def worse(self, other: Confirmation) -> Confirmation:
        """Return what both say together."""
        return Confirmation(max(self.error, other.error), self.holds and other.holds)


NOTHING = Confirmation(math.inf, holds=False)


@dataclass(frozen=True)
class Claim:
    """What one mode says of the slopes along some directions.

    Attributes
    ----------
    product
        W J T for the directions T; of shape (k, K), or J T of shape (m, K) without weights.
    weights
        W, standard normal, (k, m); None: the identity.
    """

    product: Array
    weights: Array | None = None


def limit(dtype: str, noise: float) -> float:
    """Return what differences of a function of ``noise`` are good for, normwise.

    A thousand times e^(2/3), the least sum of a truncation error h² and a rounding error e / h:
    the factor is for third derivatives. Nocedal and Wright, Numerical Optimization (2nd ed., 2006),
    section 8.1.
    """
    eps = float(np.finfo(dtype).eps)
    return min(WEAK, 1000 * math.pow(max(eps, noise), 2 / 3))


def directions(x: Tree, seed: int, count: int) -> Array:
    """Return random directions that move every input in proportion to itself, (n, count)."""
    own = units(x)
    return own[:, None] * np.random.default_rng([seed, 0xD1F]).standard_normal((own.size, count))


def step(dtype: str, along: Array, kink_distance: float | None) -> float:
    """Return the step that is tried first: eps^(1/3), or less where a kink is near.

    ``kink_distance`` is for one input at a time. Where the function is linear between its kinks,
    the smooth piece is convex: several may move by as much in all.
    """
    h = math.cbrt(float(np.finfo(dtype).eps))
    if kink_distance is None:
        return h
    reach = float(np.abs(along).sum(axis=0).max())
    return min(h, 0.5 * kink_distance / (reach or 1.0))


def slopes(calls: Calls, x: Tree, along: Array, h: float) -> Array:
    """Return central differences of f along the columns of ``along``: (m, K), float64.

    Raises
    ------
    JacbenchError
        Where f has no value so near x.
    """
    start, found = flat(x), []
    for direction in along.T:
        ends = [calls(like(start + t * direction, x)) for t in (h, -h)]
        up, down = (end.astype(np.float64).reshape(-1) for end in ends)
        found.append((up - down) / (2 * h))
    return np.stack(found, axis=1)


def confirm(
    calls: Calls,
    x: Tree,
    along: Array,
    claims: Sequence[Claim],
    *,
    noise: float,
    size: float,
    h: float,
) -> list[Confirmation]:
    """Return what differences along the columns of ``along`` say of each claim.

    Parameters
    ----------
    noise
        How much neighbouring values scatter, relative to ‖y‖.
    size
        ‖y‖.
    h
        The first step.
    """
    best = [NOTHING] * len(claims)
    steps = [factor * h for factor in FACTORS]
    for longer in steps:
        try:
            found = slopes(calls, x, along, longer)
        except JacbenchError:
            continue
        rounding = ROUNDING * noise * size / longer * math.sqrt(along.shape[1])
        allowed = limit(calls.dtype, noise)
        told = [_confirmation(found, claim, allowed, rounding) for claim in claims]
        best = [min(pair, key=_rank) for pair in zip(best, told, strict=True)]
        if all(one.holds for one in best):
            break
    return best


def _rank(one: Confirmation) -> tuple[bool, float]:
    return not one.holds, one.error


def _confirmation(found: Array, claim: Claim, allowed: float, rounding: float) -> Confirmation:
    # W J t has the size ‖J t‖ √k for standard normal rows of W, whatever nearly cancels
    weights, spread = claim.weights, 1.0
    seen = found
    if weights is not None:
        seen, spread = weights @ found, math.sqrt(len(weights))
    gap, size = float(np.linalg.norm(claim.product - seen)), spread * float(np.linalg.norm(found))
    if not math.isfinite(gap):
        return NOTHING
    if not claim.product.any() and size <= spread * rounding:
        return Confirmation(0.0, holds=True)
    error = gap / (size or 1.0)
    within_rounding = gap <= spread * rounding and error <= WEAK
    return Confirmation(error, holds=within_rounding or error <= allowed)
