"""What is right where nobody has said it: independent methods, confirmed by differences.

It is as good as its parts, and says how good that is in one line.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from jacbench.backend import graph_cut
from jacbench.backend.graph_cut import GraphCut
from jacbench.checking import differences
from jacbench.checking.claims import Claim, Confirmation
from jacbench.checking.slopes import RATIO
from jacbench.core import nearby
from jacbench.core.errors import JacbenchError, NothingRightError
from jacbench.picking.examining.examination import Examination, examine
from jacbench.picking.loading.subject import Subject
from jacbench.picking.reference import mode_products, strength
from jacbench.picking.reference.assessed import Truth
from jacbench.picking.reference.choice import Right
from jacbench.picking.reference.evaluations import RESOLVES, Ground
from jacbench.picking.reference.judgement import MEANT, Judgement, judge
from jacbench.picking.reference.mode_products import Products
from jacbench.picking.reference.modes import Witnesses
from jacbench.picking.reference.random_products import DIRECTIONS

BUDGET_S = 2.0
"""What a dense reference may be expected to take, seconds: products are no worse a judge."""
PRODUCT_CALLS = 22
"""Calls for each vector a side, about: three for a product back and for each of two forward, two
for a difference, all of it at two points."""


def truth(
    subject: Subject,
    backend: str,
    examination: Examination | None = None,
    *,
    budget_s: float = BUDGET_S,
) -> Truth:
    """Return what is right for the function of ``subject``, at the two points of its problem.

    Parameters
    ----------
    backend
        The library whose modes are asked. Cells of other libraries may be held against it too.
    examination
        Of the same subject: its problem, dtypes and noise. None: the least of one is made, and the
        noise is taken to be rounding alone. What is left of its allowance bounds what is asked: at
        the least one mode, and differences along one direction.
    budget_s
        What a dense reference may be expected to take; where it takes longer, products do.

    Raises
    ------
    JacbenchError
        In one line: there is no derivative at x by any way; a Jacobian written by hand is wrong.
    """
    if examination is None:
        examination = examine(subject, backend, budget_s=0.0)
    with warnings.catch_warnings():
        # what a library warns of, it says again where the cells are settled
        warnings.simplefilter("ignore")
        gathering = _Gathering(subject, backend, examination, budget_s)
        if examination.lifted and not gathering.ask():
            # a mode that loses what is lifted: both in float32 are worth more than one, or none
            narrow = replace(examination, precision=examination.dtype, lifted=False)
            gathering = _Gathering(subject, backend, narrow, budget_s)
        return gathering.run()


class _Gathering:
    """The evidence on its way: products, differences, then the whole matrix where it is small."""

    def __init__(
        self, subject: Subject, backend: str, examination: Examination, budget_s: float
    ) -> None:
        self.ground, self.budget_s = Ground(subject, backend, examination), budget_s
        self.allowance, self.calls = examination.allowance, self.ground.calls
        self.witnesses = Witnesses(self.calls, examination.y_shape)
        self.spared = self.one_way = False
        self.unasked = ""
        self.cuts: tuple[GraphCut, ...] = ()
        self.second: float | None = 0.0
        self.products_s = 0.0
        self.found: Products | None = None

    def ask(self) -> bool:
        """Ask the library for products; return whether every mode answered that was asked."""
        count = self._count()
        self.spared = count < DIRECTIONS
        start = time.perf_counter()

        def forward_too() -> bool:
            # twice as many products as back, and differences come first
            spent_s = time.perf_counter() - start
            if 2 * spent_s + self._differences_s(count) <= self.allowance.left():
                return True
            self.spared = self.one_way = True
            self.witnesses.leave_forward_out("the forward mode was left out for time")
            return False

        m, n, seed = self.ground.examination.m, self.ground.examination.n, self.ground.problem.seed
        with self.calls.precisely():
            self.found = mode_products.multiply(
                self.witnesses, self.ground.points, n, m, seed, count=count, forward_too=forward_too
            )
        self.products_s = time.perf_counter() - start
        return self.one_way or len(self.found.names) == 2

    def _count(self) -> int:
        """Return on how many vectors a side time allows both modes and differences: at least 1."""
        left_s = self.allowance.left()
        every = range(DIRECTIONS, 1, -1)
        return next((k for k in every if k * PRODUCT_CALLS * self.ground.call_s <= left_s), 1)

    def _differences_s(self, count: int) -> float:
        """Return what differences at one point take, seconds."""
        return 2 * count * self.ground.call_s

    def run(self) -> Truth:
        """Ask the library, ask differences, judge, and hold the whole matrix against it."""
        if self.found is None:
            self.ask()
        assert self.found is not None  # noqa: S101 - just asked
        with self.calls.precisely():
            return self._told(self._without_rounding(self.found))

    def _without_rounding(self, found: Products) -> Products:
        """Return zeros for products that are but the rounding of zeros, on which no modes agree.

        Differences have to confirm zeros at every point: under an offset they cannot.
        """
        ground, eps = self.ground, float(np.finfo(self.ground.precision).eps)
        sides = list(zip(ground.points, ground.y, found.along, strict=True))
        small = all(
            found.are_rounding(at, y, nearby.units(x), eps) for at, (x, y, _) in enumerate(sides)
        )
        if not small or not found.names or self._unasked(found):
            return found
        still = all(
            ground.differences(at, self._time_for_a_step(found))
            .confirm(along, [Claim(np.zeros((y.size, along.shape[1])))])[0]
            .holds
            for at, (_, y, along) in enumerate(sides)
        )
        return found.zeros() if still else found

    def _told(self, found: Products) -> Truth:
        self.unasked = self._unasked(found)
        judgement = self._judged(found)
        self._refuse_a_cut_function(found, judgement)
        if judgement.refused and self.ground.problem.jacobian is None:
            wrong = self.calls.untraceable(self.ground.problem.x)
            if wrong is not None:
                raise NothingRightError(f"{self.calls.who}: nothing is picked: {wrong}")
            raise NothingRightError(
                f"{self.calls.who}: nothing is picked, as what is right cannot be told: "
                f"{judgement.refused}{self._noisy()}: {self._to_do()}"
            )
        choice = Right(
            self.ground,
            self.witnesses.reasons,
            budget_s=self.budget_s,
            products_s=self.products_s,
            go_on=self._time_for_a_step(found),
        )
        right = choice.choose(found, judgement)
        if choice.by_hand is not None:
            judgement = Judgement(forward=False, reverse=False, confirmed=choice.by_hand)
        return Truth(
            reference=right,
            dtype=self.ground.dtype,
            precision=self.ground.precision,
            witnesses=found.names,
            agreement=found.agreement,
            confirmed=judgement.confirmed,
            doubt=judgement.doubt or judgement.refused or self._not_finite_at_x(),
            told=strength.told(
                found,
                judgement,
                right,
                precision=self.ground.precision,
                witnesses=self.calls.backend.witnesses,
                reasons=self.witnesses.reasons,
                second=self.second,
                lifted=self.calls.lifted,
                spared=self.allowance.why(self.ground.call_s) if self.spared else "",
                cut=graph_cut.told(self.cuts),
            ),
            notes=tuple(self.witnesses.reasons),
        )

    def _not_finite_at_x(self) -> str | None:
        """Return who gives no finite derivative at a kink, beside which all else is checked."""
        examination = self.ground.examination
        if not examination.moved or 4 * self.ground.call_s > self.allowance.left():
            return None
        named = self.witnesses.not_finite(examination.given)
        if not named:
            return None
        return (
            f"at x itself {' and '.join(named)} give{'s' if len(named) == 1 else ''} a derivative "
            "that is not finite: what is right holds beside x"
        )

    def _to_do(self) -> str:
        narrow = self.ground.narrow
        by_hand = "a jacbench.Problem with jacobian= to settle it"
        if narrow is None:
            return f"give {by_hand}"
        return f"compute it in float32 (without autocast, or .float()), or give {by_hand}"

    def _noisy(self) -> str:
        """Return how coarse the function's values are, where that is why nothing can be told."""
        narrow = self.ground.narrow
        if narrow is not None:
            return f"; its values are in {narrow}, which resolves {RESOLVES[narrow]}"
        eps = float(np.finfo(self.ground.precision).eps)
        if self.ground.noise <= differences.NOISY * eps:
            return ""
        return f"; its values scatter by {self.ground.noise:.0e} of ‖y‖"

    # --- differences ---

    def _unasked(self, found: Products) -> str:
        if self.ground.problem.stops_gradient:
            return "it stops gradients on purpose, which no difference quotient sees"
        shortest = RATIO**3 * math.sqrt(np.finfo(self.ground.precision).eps)
        if min(self.ground.reaches(found)) < shortest:
            return "a kink is too near x for difference quotients"
        # one independent check there is: two modes
        agree = found.agreement is not None and found.agreement <= self.ground.limit
        if agree and self._differences_s(found.count) > self.allowance.left():
            self.spared = True
            return "there was no time for them"
        return ""

    def _judged(self, found: Products) -> Judgement:
        """Return what to believe: of both points, or of x alone where the second is too wild."""
        here = self._confirmed(found, 0)
        if any(one.denied for one in here):
            self.cuts = self.calls.cuts(self.ground.problem.x)
        if self.unasked or not found.names:
            return self._judge(found, here)
        if self._differences_s(found.count) > self.allowance.left():
            self.spared, self.second = True, None
            return self._judge(found, here)
        elsewhere = self._confirmed(found, 1)
        if any(one.denied for one in elsewhere):
            self.cuts = self.cuts or self.calls.cuts(self.ground.problem.elsewhere)
        whole = self._judge(found, [a.worse(b) for a, b in zip(here, elsewhere, strict=True)])
        if whole.confirmed is not None or any(one.denied for one in elsewhere):
            return whole
        near = self._judge(found, here)
        if near.confirmed is not None and near.forward + near.reverse == len(found.names):
            self.second = max(one.error for one in elsewhere)
            return near
        return whole

    def _judge(self, found: Products, told: list[Confirmation]) -> Judgement:
        return judge(
            told[0] if found.forward else None,
            told[-1] if found.reverse else None,
            agreement=found.agreement,
            limit=self.ground.limit,
            unasked=self.unasked,
            cuts=self.cuts,
        )

    def _confirmed(self, found: Products, at: int) -> list[Confirmation]:
        """Return what differences say at a point, of the forward mode and then of the reverse."""
        if self.unasked:
            return [Confirmation(0.0, "cannot tell")] * len(found.names)
        if not found.names:
            return []
        along, claims = found.along[at], []
        if found.forward:
            claims.append(Claim(found.pushed_along[at]))
        if found.reverse:
            claims.append(Claim(found.pulled[at] @ along, found.cotangents))
        around = self.ground.differences(at, self._time_for_a_step(found))
        return around.confirm(along, claims)

    def _time_for_a_step(self, found: Products) -> Callable[[], bool]:
        step_s = self._differences_s(found.count)
        return lambda: self.allowance.left() > step_s

    def _refuse_a_cut_function(self, found: Products, judgement: Judgement) -> None:
        """Refuse a function whose derivative is 0 by every mode, while its values move with x."""
        given = [*found.pushed, *found.pulled]
        moves = judgement.refused or judgement.doubt
        if moves and not self.unasked and not any(map(np.any, given)):
            where = graph_cut.told(self.cuts or self.calls.cuts(self.ground.points[0]))
            told = "something cuts x off (.numpy(), .item(), stop_gradient, another library)"
            if where:
                told = f"the graph from x to y is cut, by {where}"
            raise JacbenchError(
                f"{self.calls.who}: its derivative is 0 by {' and '.join(found.names)}, but y "
                f"moves with x: {told}: compute y from x with the library's own functions; {MEANT}"
            )
