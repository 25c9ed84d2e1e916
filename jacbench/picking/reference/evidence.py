"""What is right where nobody has said it: independent methods, confirmed by differences.

It is as good as its parts, and says how good that is in one line.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np

from jacbench.backend import graph_cut
from jacbench.checking.evidence.claims import SOLVED, TELLS
from jacbench.checking.evidence.ground import Ground
from jacbench.checking.evidence.judgement import MEANT, Judgement
from jacbench.checking.evidence.mode_products import Products
from jacbench.checking.gathering import Gathering
from jacbench.checking.random_products import ByProducts
from jacbench.checking.reference import Reference
from jacbench.core import tree
from jacbench.core.errors import JacbenchError, NothingRightError
from jacbench.picking.examining.examination import Examination, examine
from jacbench.picking.loading.subject import Subject
from jacbench.picking.reference import coarseness, strength
from jacbench.picking.reference.choice import choose
from jacbench.problems.counted_function import Calls, held_in
from jacbench.problems.problem import Problem

BUDGET_S = 2.0
"""What a dense reference may be expected to take, seconds: products are no worse a judge."""


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What answers are held against, and how much that is worth.

    Attributes
    ----------
    reference
        Every entry; or products with random vectors,
        :class:`jacbench.checking.random_products.ByProducts`.
    products
        What the modes of the library gave.
    judgement
        What is believed of them.
    doubt
        Why it is not confirmed, in one line; None: it is, and nothing speaks against it.
    told
        What it stands on, in one line.
    """

    reference: Reference
    products: Products
    judgement: Judgement
    doubt: str | None
    told: str

    @property
    def whole(self) -> bool:
        """Say whether answers are compared entry by entry."""
        return not isinstance(self.reference, ByProducts)


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
        noise is taken to be rounding alone. What is left of its deadline bounds what is asked: at
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
        gathering = _gathering(subject, backend, examination)
        if examination.lifted and not gathering.answered:
            # a mode that loses what is lifted: both in float32 are worth more than one, or none
            examination = replace(examination, precision=examination.dtype, lifted=False)
            gathering = _gathering(subject, backend, examination)
        gathering.judge()
        with gathering.ground.calls.precisely():
            return _told(gathering, examination, budget_s)


def _gathering(subject: Subject, backend: str, examination: Examination) -> Gathering:
    problem = _reachable(held_in(examination.problem, examination.dtype))
    calls = Calls(
        problem,
        backend,
        dtype=examination.precision,
        device=subject.device,
        lifted=examination.lifted,
    )
    points, y, taken = (problem.x, problem.elsewhere), [], []
    for x in points:
        y.append(calls(x).astype(np.float64))
        taken.append(calls.last_s)
    ground = Ground(
        problem,
        calls,
        points,
        y,
        noise=examination.noise,
        good=TELLS,
        floor=SOLVED[examination.precision],
    )
    return Gathering(ground, deadline=examination.deadline, call_s=min(taken))


def _reachable(problem: Problem) -> Problem:
    """Return ``problem`` with a second point that x is a float64 step away from, exactly."""
    pairs = zip(tree.leaves(problem.x), tree.leaves(problem.elsewhere), strict=True)
    elsewhere = tree.unflatten(problem.x, [a + (b - a) for a, b in pairs])
    return replace(problem, elsewhere=elsewhere)


def _told(gathering: Gathering, examination: Examination, budget_s: float) -> Truth:
    """Choose what answers are held against, and say what it stands on."""
    ground, who = gathering.ground, gathering.ground.calls.who
    _refuse_a_cut_function(gathering)
    refused = gathering.judgement.refused
    if refused and ground.problem.jacobian is None:
        wrong = ground.calls.untraceable(ground.problem.x)
        if wrong is not None:
            raise NothingRightError(f"{who}: nothing is picked: {wrong}")
        raise NothingRightError(
            f"{who}: nothing is picked, as what is right cannot be told: {refused}"
            f"{coarseness.told(ground, examination.dtype)}"
        )
    try:
        right, judgement = choose(gathering, examination.dtype, budget_s=budget_s)
    except NothingRightError as exc:
        raise NothingRightError(
            f"{who}: nothing is picked, as what is right cannot be told: {exc}"
        ) from exc
    return Truth(
        reference=right,
        products=gathering.found,
        judgement=judgement,
        doubt=judgement.doubt or judgement.refused or _not_finite_at_x(gathering, examination),
        told=strength.told(gathering, judgement, right),
    )


def _not_finite_at_x(gathering: Gathering, examination: Examination) -> str | None:
    """Return who gives no finite derivative at a kink, beside which all else is checked."""
    if not examination.moved or 4 * gathering.call_s > gathering.deadline.left():
        return None
    named = gathering.witnesses.not_finite(examination.given)
    if not named:
        return None
    return (
        f"at x itself {' and '.join(named)} give{'s' if len(named) == 1 else ''} a derivative "
        "that is not finite: what is right holds beside x"
    )


def _refuse_a_cut_function(gathering: Gathering) -> None:
    """Refuse a function whose derivative is 0 by every mode, while its values move with x."""
    calls, points = gathering.ground.calls, gathering.ground.points
    found, judgement = gathering.found, gathering.judgement
    given = [*found.pushed, *found.pulled]
    moves = judgement.refused or judgement.doubt
    if moves and not gathering.unasked and not any(map(np.any, given)):
        where = graph_cut.told(gathering.cuts or calls.cuts(points[0]))
        told = "something cuts x off (.numpy(), .item(), stop_gradient, another library)"
        if where:
            told = f"the graph from x to y is cut, by {where}"
        raise JacbenchError(
            f"{calls.who}: its derivative is 0 by {' and '.join(found.names)}, but y moves with x: "
            f"{told}: compute y from x with the library's own functions; {MEANT}"
        )
