"""What differences say of slopes that are claimed: confirmed, denied, or that they cannot tell.

A claim is denied only where it lies clearly beyond what differences resolve, and confirmed only
where that is little; else differences cannot tell. Check and pick both ask here; a pick takes less
to be evidence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from jacbench.checking.evidence.slopes import Slopes
from jacbench.core.arrays import Array

Verdict: TypeAlias = Literal["confirms", "denies", "cannot tell"]

GOOD = 1e-5
"""Share of a row's scale that a difference must be good to, if it is to confirm a reference."""
FLOOR = 1e-9
"""Share of a row's scale below which nothing is denied: what is claimed has rounding of its own."""
TELLS = 1e-2
"""What differences must be good to in a pick; what is good to less is no evidence at all."""
SOLVED = {"float64": 1e-7, "float32": 1e-3}
"""Below which a pick denies nothing: a derivative may come of a solver."""
FINER = 0.1
"""Share of a gap that the noise over a shorter step may be, if that step is to speak of the gap."""


@dataclass(frozen=True)
class Demands:
    """What is asked of differences.

    Attributes
    ----------
    good
        Share of a row's scale that they must be good to, if they are to confirm.
    floor
        Share of it below which they deny nothing.
    quick
        Share of it within which a central difference or two confirm a claim by themselves.
    still
        Share of what y moves by, or of |y|, below which no slope may hide where none is claimed.
    """

    good: float
    floor: float
    quick: float
    still: float


@dataclass(frozen=True)
class Claim:
    """What is said of the slopes along some directions.

    Attributes
    ----------
    product
        W J T for the directions T, of shape (k, K); J T, of shape (m, K), without weights.
    weights
        W, standard normal, (k, m); None: the identity.
    scale
        The size of each row's products, below which they nearly cancel, of shape (k, K) or
        (k, 1); None: the root mean square over the directions.
    """

    product: Array
    weights: Array | None = None
    scale: Array | None = None

    def weighed(self, sizes: Array) -> Array:
        """Return what may be lost of the product where that may be lost of slopes."""
        return sizes if self.weights is None else np.asarray(np.abs(self.weights) @ sizes)

    def still(self, rounding: Array) -> Array:
        """Return in which rows it says that nothing moves, beyond the ``rounding`` of y; (k, 1)."""
        least = self.weighed(rounding[:, None])
        return np.asarray((np.abs(self.product) <= least).all(axis=1, keepdims=True))


@dataclass(frozen=True)
class Confirmation:
    """What differences say of a claim.

    Attributes
    ----------
    error
        ‖product - difference‖ over the larger of both; inf where there are no differences. Of a
        claim that nothing moves, how large a slope may hide there, by the side of y.
    verdict
        ``confirms`` where the claim is within a resolution that is good in every row; ``denies``
        where it is clearly beyond the resolution in some row; else ``cannot tell``.
    resolution
        What differences can tell, by the measure of ``error``; a claim within it may still be
        wrong by as much.
    kink
        True where it is a kink at x that leaves the resolution poor.
    row
        The row of the product where it lies furthest beyond.
    near
        True where it is confirmed as near as nothing is ever denied: finer slopes would not tell
        more.
    """

    error: float = math.inf
    verdict: Verdict = "cannot tell"
    resolution: float = math.inf
    kink: bool = False
    row: int = 0
    near: bool = False

    @property
    def holds(self) -> bool:
        """Whether differences confirm the claim."""
        return self.verdict == "confirms"

    @property
    def denied(self) -> bool:
        """Whether differences that are good enough to tell say something else."""
        return self.verdict == "denies"

    @property
    def settled(self) -> bool:
        """Whether differences can tell."""
        return self.verdict != "cannot tell"

    def worse(self, other: Confirmation) -> Confirmation:
        """Return what both say together."""
        order: tuple[Verdict, ...] = ("denies", "cannot tell", "confirms")
        return Confirmation(
            max(self.error, other.error),
            min((self.verdict, other.verdict), key=order.index),
            max(self.resolution, other.resolution),
            kink=self.kink or other.kink,
            row=other.row if other.denied and not self.denied else self.row,
            near=self.near and other.near,
        )


def _seen(claim: Claim, found: Array) -> tuple[Array, Array]:
    """Return what differences say of the claim's product, and the scale of each of its rows."""
    seen, scale = found, claim.scale
    if claim.weights is not None:
        # W J t has the size ‖J t‖ for standard normal rows of W, whatever nearly cancels
        seen = claim.weights @ found
        scale = np.linalg.norm(found, axis=0, keepdims=True) if scale is None else scale
    if scale is None:
        larger = np.maximum(np.abs(claim.product), np.abs(seen))
        scale = np.sqrt(np.mean(larger**2, axis=1, keepdims=True))
    return seen, np.broadcast_to(scale, seen.shape)


def quick(plain: Array, claim: Claim, demands: Demands) -> Confirmation:
    """Return what one step or two say, which can but confirm: nothing tells how good they are."""
    seen, scale = _seen(claim, plain)
    gap = np.abs(claim.product - seen)
    entries = np.isfinite(gap) & (gap <= demands.quick * scale) & (scale > 0) & np.isfinite(scale)
    near = bool(entries.all())
    verdict: Verdict = "confirms" if near else "cannot tell"
    return Confirmation(_share(gap, claim.product, seen), verdict, demands.quick, near=near)


def confirmation(
    found: Slopes,
    claim: Claim,
    demands: Demands,
    *,
    natural: Array,
    hidden: Array,
    still: Array,
    finer: Sequence[tuple[Array, Array]],
) -> Confirmation:
    """Return what slopes over several steps say.

    Parameters
    ----------
    natural
        What they would be at least where they are not zero for good, (m, K).
    hidden
        What may hide where values stand still, (m, K): nothing is denied within it.
    still
        Which rows are claimed not to move, (k, 1).
    finer
        Slopes over single short steps, and their rounding.
    """
    if not np.isfinite(claim.product).all():
        return Confirmation(verdict="denies")
    seen, scale = _seen(claim, np.where(np.isfinite(found.value), found.value, 0.0))
    resolution, natural = claim.weighed(found.resolution), claim.weighed(natural)
    gap = np.abs(claim.product - seen)
    allowed = resolution + demands.floor * scale
    clear = allowed + claim.weighed(hidden)
    beyond = np.where(np.isfinite(clear), gap - np.minimum(clear, gap), 0.0)
    # what the function does is shorter than the steps on which the slope looked settled
    beyond[_met(claim, gap, finer) >= 1] = 0.0
    place = np.unravel_index(int(np.argmax(beyond)), beyond.shape)
    # of a row of zeros, the function tells the scale
    wanted = np.where(still, demands.still * natural, demands.good * scale)
    # within a scale whose square is no float lies everything
    holds = bool(
        np.isfinite(scale).all() and np.all(gap <= allowed) and np.all(resolution <= wanted)
    )
    error = _share(gap, claim.product, seen)
    if holds and still.all():
        error = float(np.linalg.norm(resolution)) / (float(np.linalg.norm(natural)) or 1.0)
    return Confirmation(
        error,
        "denies" if np.any(beyond > 0) else "confirms" if holds else "cannot tell",
        _share(resolution, claim.product, seen),
        kink=bool(np.any(claim.weighed(found.seen_kink) > np.maximum(resolution / 2, wanted))),
        row=int(place[0]),
        near=holds and bool(np.all(still | (gap <= demands.floor * scale))),
    )


def _met(claim: Claim, gap: Array, finer: Sequence[tuple[Array, Array]]) -> Array:
    """Return how many single short steps give what is claimed, one that may do so by luck half."""
    met = np.zeros(gap.shape)
    for slope, rounding in finer:
        short = _seen(claim, slope)[0]
        off = np.abs(claim.product - short)
        tells = claim.weighed(rounding) <= FINER * gap
        # what looks like noise may be what the function does, if two steps give what is claimed;
        # values that do not move at all are too coarse for the step, and speak for no zero
        by_luck = (off < gap / 10) & (short != 0)
        met += np.where(tells & (off < gap / 2), 1.0, np.where(by_luck, 0.5, 0.0))
    return met


def _share(gap: Array, product: Array, seen: Array) -> float:
    size = max(float(np.linalg.norm(product)), float(np.linalg.norm(seen)))
    found = float(np.linalg.norm(gap)) / (size or 1.0)
    return found if math.isfinite(found) else math.inf
