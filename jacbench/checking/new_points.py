"""Points that no method has seen: far from the first two, and near to x, each with what is right.

They are for after the clock has stopped. What is right only where it was asked before, or keeps
answers by a rounded x, is wrong at one of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from jacbench.checking.reference import Point, Reference
from jacbench.core import nearby, tree
from jacbench.core.arrays import Array
from jacbench.core.errors import JacbenchError
from jacbench.core.tree import Tree
from jacbench.problems.problem import Problem

NUDGE = 1e-5
"""How far the near point lies from x, of each entry's scale: answers differ, branches do not."""
COMPARABLE = 1e3
"""A point where ‖R‖ is so many times larger or smaller than at x is no place to compare errors."""
SMOOTH = 1e-3
"""Change of R, over a step of :data:`STEP`, beyond which the function has a kink or worse there."""
STEP = 2.0**-20
"""Relative step over which a point's neighbourhood is looked at."""
ROUNDING = 100
"""How many roundings of x a method's own error may amount to."""
PATIENCE_S = 2.0
"""After this long no further point is tried, seconds."""

Rightly = Callable[[Problem], Reference]
"""Computes what is right at both points of a problem; raises JacbenchError where nothing is."""


@dataclass
class NewPoints:
    """The new points of one problem in one dtype, for all methods; drawn when first asked for.

    Attributes
    ----------
    problem
        Whose function.
    known
        What is right at the two points that every method has seen.
    rightly
        Computes the same at others.
    dtype
        Of the cells.
    spent_s
        What it has taken so far, seconds.
    function_s
        Time of the function itself by backend and device, seconds: measured once.
    """

    problem: Problem
    known: Reference
    rightly: Rightly
    dtype: str
    spent_s: float = 0.0
    function_s: dict[tuple[str, str], float] = field(default_factory=dict)
    _found: Reference | None = None
    _left: Iterator[Tree] | None = None

    def current(self) -> Reference | None:
        """Return the point far from x as ``here`` and the near one as ``elsewhere``.

        None where there is no such point: f is finite nowhere else, or all take too long.
        """
        if self._left is None:
            self._left = away(self.known, self.problem.seed)
            self.discard()
        return self._found

    def discard(self) -> None:
        """Go on to another point, nearer to x."""
        self._found = None
        assert self._left is not None  # noqa: S101 - one is discarded once there was one
        for far in self._left:
            if self.spent_s > PATIENCE_S:
                return
            found = self._rightly(far, _nudged(self.known.here.x, NUDGE, self.problem.seed))
            if found is not None and self._comparable(found):
                self._found = found
                return

    def _rightly(self, x: Tree, elsewhere: Tree) -> Reference | None:
        begun = time.perf_counter()
        try:
            with np.errstate(all="ignore"):
                return self.rightly(replace(self.problem, x=x, elsewhere=elsewhere))
        except (JacbenchError, ArithmeticError, np.linalg.LinAlgError):
            return None
        finally:
            self.spent_s += time.perf_counter() - begun

    def _comparable(self, found: Reference) -> bool:
        # where time is short, what is right may be known by products alone
        if found.here.seen.shape != self.known.here.seen.shape:
            return False
        here = float(np.linalg.norm(self.known.here.seen))
        there = float(np.linalg.norm(found.here.seen))
        return there == here or here / COMPARABLE < there < here * COMPARABLE

    def tells(self, point: Point, error: float) -> bool:
        """Say whether an answer that is off by ``error`` at ``point`` is wrong.

        Not at a kink, where libraries differ by design, and not by what a few roundings of x would
        do: J is looked at a small step to either side.
        """
        seed = self.problem.seed
        beside = self._rightly(_nudged(point.x, STEP, seed), _nudged(point.x, -STEP, seed))
        size = float(np.linalg.norm(point.seen))
        if beside is None or not size:
            return False
        change = max(
            float(np.linalg.norm(other.seen - point.seen)) / size
            for other in (beside.here, beside.elsewhere)
        )
        roundings = ROUNDING * float(np.finfo(self.dtype).eps)
        return change <= SMOOTH and error > roundings * change / STEP


def away(known: Reference, seed: int) -> Iterator[Tree]:
    """Yield points away from both of ``known``, the furthest first.

    The first has entries of the other sign, larger ones, equal ones and whole numbers; the next
    leave out what a function's domain or its kinks may forbid; the last lie near the first two.
    """
    for signs, size, ties in (
        (True, 4.0, True),
        (True, 4.0, False),
        (True, 1.5, False),
        (False, 1.5, True),
        (False, 1.5, False),
    ):
        rng = np.random.default_rng([seed, 0xF4E5])
        leaves = [_drawn(a, size, rng, signs=signs, ties=ties) for a in tree.leaves(known.here.x)]
        yield tree.unflatten(known.here.x, leaves)
    rng = np.random.default_rng([seed, 0xF4E6])
    yield nearby.point(nearby.between(known.here.x, known.elsewhere.x, 0.5), rng)
    yield nearby.between(known.here.x, known.elsewhere.x, 0.37)


def _drawn(leaf: Array, size: float, rng: np.random.Generator, *, signs: bool, ties: bool) -> Array:
    """Return ``leaf`` with each entry times a number between 1/2 and ``size``.

    ``signs`` turns the sign of every second entry; ``ties`` makes two entries equal and one of
    them, or another, a whole number.
    """
    if leaf.dtype.kind != "f":
        return leaf
    flat = leaf.reshape(-1) * np.exp(rng.uniform(np.log(0.5), np.log(size), leaf.size))
    if signs:
        flat[rng.permutation(leaf.size)[: (leaf.size + 1) // 2]] *= -1
    if ties:
        # away from 0, where most kinks are
        whole = np.sign(flat) * np.maximum(1.0, np.round(np.abs(flat)))
        places = rng.permutation(leaf.size)
        flat[places[0]] = whole[places[0]] or 1.0
        if leaf.size > 2:
            flat[places[1]] = flat[places[2]]
    return np.asarray(flat.reshape(leaf.shape))


def _nudged(x: Tree, share: float, seed: int) -> Tree:
    """Return x with each entry moved by at most ``share`` of its scale, and by half of it at least.

    No entry changes its sign; what is 0 stays 0 unless all is.
    """
    rng = np.random.default_rng([seed, 0x4D6E])
    bare = not any(np.any(leaf) for leaf in tree.leaves(x))

    def moved(leaf: Array) -> Array:
        if leaf.dtype.kind != "f":
            return leaf
        steps = rng.uniform(0.5, 1.0, leaf.shape) * rng.choice([-1.0, 1.0], leaf.shape)
        return np.asarray(leaf + share * steps * (nearby.scale(leaf) if bare else np.abs(leaf)))

    return tree.map_leaves(moved, x)
