"""Evidence on products with a few random vectors: two modes, differences, and who is believed."""

from __future__ import annotations

import math
import time

import numpy as np

from jacbench.backend.graph_cut import GraphCut
from jacbench.checking.evidence import mode_products
from jacbench.checking.evidence.claims import Claim, Confirmation
from jacbench.checking.evidence.differences import reach
from jacbench.checking.evidence.ground import Ground
from jacbench.checking.evidence.judgement import Judgement, judge
from jacbench.checking.evidence.mode_products import DIRECTIONS, Products
from jacbench.checking.evidence.modes import Witnesses
from jacbench.checking.evidence.slopes import RATIO
from jacbench.core import nearby
from jacbench.measuring.deadline import Deadline

PRODUCT_CALLS = 22
"""Calls for each vector a side, about: three for a product back and for each of two forward, two
for a difference, all of it at two points."""


class Gathering:
    """The evidence on its way: products by two modes, then differences, then what to believe.

    Parameters
    ----------
    ground
        The function at both points.
    deadline
        What it may take: at the least one mode is asked, and differences along one direction.
    call_s
        What a call of the function takes, seconds.

    Attributes
    ----------
    witnesses
        Who is asked, and why some could not.
    found, answered
        The products, and whether every mode gave some that was asked.
    judgement
        What to believe of them, once :meth:`judge` was asked.
    spared
        True where less was asked than is usual, for time.
    unasked
        Why differences are not asked; empty where they are.
    cuts
        Where the graph from x to y is cut, looked for once differences deny a mode.
    second
        How far differences are away at the second point, where they confirm at x alone; else 0.
        None: they were asked at x alone.
    products_s
        What the products took, seconds.
    """

    def __init__(self, ground: Ground, *, deadline: Deadline, call_s: float) -> None:
        self.ground, self.deadline, self.call_s = ground, deadline, call_s
        self.witnesses = Witnesses(ground.calls, ground.y[0].shape)
        self.spared = self.one_way = False
        self.unasked = ""
        self.cuts: tuple[GraphCut, ...] = ()
        self.second: float | None = 0.0
        self.products_s = 0.0
        self.judgement = Judgement()
        self.found = self._ask()
        self.answered = self.one_way or len(self.found.names) == 2

    def _ask(self) -> Products:
        """Return what the library's modes give, on as many vectors as time allows."""
        every = range(DIRECTIONS, 1, -1)
        left_s = self.deadline.left()
        count = next((k for k in every if k * PRODUCT_CALLS * self.call_s <= left_s), 1)
        self.spared = count < DIRECTIONS
        start = time.perf_counter()

        def forward_too() -> bool:
            # twice as many products as back, and differences come first
            spent_s = time.perf_counter() - start
            if 2 * spent_s + self._differences_s(count) <= self.deadline.left():
                return True
            self.spared = self.one_way = True
            self.witnesses.leave_forward_out("the forward mode was left out for time")
            return False

        ground = self.ground
        with ground.calls.precisely():
            found = mode_products.multiply(
                self.witnesses,
                ground.points,
                ground.problem.n,
                ground.y[0].size,
                ground.problem.seed,
                count=count,
                forward_too=forward_too,
            )
        self.products_s = time.perf_counter() - start
        return found

    def judge(self) -> None:
        """Ask differences of the products, and find out what to believe."""
        with self.ground.calls.precisely():
            self.found = found = self._without_rounding(self.found)
            self.unasked = self._why_unasked(found)
            self.judgement = self._judged(found)

    def time_for_a_step(self) -> bool:
        """Say whether differences may take a further step."""
        return self.deadline.left() > self._differences_s(self.found.count)

    def _differences_s(self, count: int) -> float:
        """Return what differences at one point take, seconds."""
        return 2 * count * self.call_s

    def _without_rounding(self, found: Products) -> Products:
        """Return zeros for products that are but the rounding of zeros, on which no modes agree.

        Differences have to confirm zeros at every point: under an offset they cannot.
        """
        ground = self.ground
        sides = list(zip(ground.points, ground.y, found.along, strict=True))
        small = all(
            found.are_rounding(at, y, nearby.units(x), ground.eps)
            for at, (x, y, _) in enumerate(sides)
        )
        if not small or not found.names or self._why_unasked(found):
            return found
        still = all(
            ground.differences(at, self.time_for_a_step)
            .confirm(along, [Claim(np.zeros((y.size, along.shape[1])))])[0]
            .holds
            for at, (_, y, along) in enumerate(sides)
        )
        return found.zeros() if still else found

    def _why_unasked(self, found: Products) -> str:
        problem = self.ground.problem
        if problem.stops_gradient:
            return "it stops gradients on purpose, which no difference quotient sees"
        shortest = RATIO**3 * math.sqrt(self.ground.eps)
        if min(reach(along, problem.kink_distance) for along in found.along) < shortest:
            return "a kink is too near x for difference quotients"
        # one independent check there is: two modes
        agree = found.agreement is not None and found.agreement <= self.ground.limit
        if agree and self._differences_s(found.count) > self.deadline.left():
            self.spared = True
            return "there was no time for them"
        return ""

    def _judged(self, found: Products) -> Judgement:
        """Return what to believe: of both points, or of x alone where the second is too wild."""
        here = self._confirmed(found, 0)
        if self.unasked or not found.names:
            return self._judge(found, here)
        if self._differences_s(found.count) > self.deadline.left():
            self.spared, self.second = True, None
            return self._judge(found, here)
        elsewhere = self._confirmed(found, 1)
        both = {name: said.worse(elsewhere[name]) for name, said in here.items()}
        whole = self._judge(found, both)
        if whole.confirmed is not None or any(said.denied for said in elsewhere.values()):
            return whole
        near = self._judge(found, here)
        if near.confirmed is not None and len(near.believed) == len(found.names):
            self.second = max(said.error for said in elsewhere.values())
            return near
        return whole

    def _judge(self, found: Products, ways: dict[str, Confirmation]) -> Judgement:
        return judge(
            ways,
            agreement=found.agreement,
            limit=self.ground.limit,
            unasked=self.unasked,
            cuts=self.cuts,
        )

    def _confirmed(self, found: Products, at: int) -> dict[str, Confirmation]:
        """Return what differences say at a point, of the forward mode and then of the reverse."""
        along, claims = found.along[at], {}
        if found.forward:
            claims["forward"] = Claim(found.pushed_along[at])
        if found.reverse:
            claims["reverse"] = Claim(found.pulled[at] @ along, found.cotangents)
        if self.unasked or not claims:
            return dict.fromkeys(claims, Confirmation(0.0, "cannot tell"))
        around = self.ground.differences(at, self.time_for_a_step)
        said = dict(zip(claims, around.confirm(along, [*claims.values()]), strict=True))
        if any(one.denied for one in said.values()):
            self.cuts = self.cuts or self.ground.calls.cuts(self.ground.points[at])
        return said
