"""What answers are held against where no whole Jacobian is: products of what is believed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from jacbench.checking.evidence import differences
from jacbench.checking.evidence.claims import GOOD, TELLS
from jacbench.checking.evidence.ground import Ground
from jacbench.checking.gathering import Gathering
from jacbench.checking.random_products import ByProducts, Probed
from jacbench.checking.reference import stand
from jacbench.core.arrays import Array
from jacbench.core.errors import JacbenchError, NothingRightError
from jacbench.measuring.deadline import Deadline
from jacbench.problems.problem import Problem

OPERATORS = ("sparse_jacobian", "factored_jacobian", "batch_jacobian")
"""Those whose results may be small where the (m, n) matrix is not, and can be multiplied."""


def reference_by_products(problem: Problem, dtype: str, backend: str) -> ByProducts:
    """Compute the reference of a problem whose Jacobian is too large to hold.

    By the modes of ``backend``, each held against differences as :mod:`jacbench.checking.standing`
    holds the whole; a Jacobian written by hand is not asked for.

    Raises
    ------
    JacbenchError
        In one line: the function has no value, or what is right cannot be told.
    """
    ground, aux = stand(problem, dtype, backend)
    gathering = Gathering(ground, deadline=Deadline(), call_s=0.0)
    gathering.judge()
    judgement = gathering.judgement
    alone = len(judgement.believed) == 1
    why = judgement.refused or (judgement.doubt if gathering.cuts or alone else None)
    try:
        if not why:
            right = of_believed(gathering)
            refuse_no_evidence(right.error, "what there is is good", GOOD)
    except NothingRightError as exc:
        why = str(exc)
    if why:
        raise problem.mistake(
            f"what is right cannot be told: {why}: give a smaller problem of the same kind, whose "
            "Jacobian can be held"
        )
    here, elsewhere = (
        replace(point, aux=beside)
        for point, beside in zip((right.here, right.elsewhere), aux, strict=True)
    )
    doubt = f"differences cannot confirm the reference: {judgement.doubt}"
    return replace(right, here=here, elsewhere=elsewhere, doubt=doubt if judgement.doubt else "")


def of_believed(gathering: Gathering) -> ByProducts:
    """Return the products of the modes that are believed; of differences where none is.

    Raises
    ------
    NothingRightError
        Where there is no evidence that could tell a wrong Jacobian from a right one.
    JacbenchError
        Where there is no derivative at x by any way.
    """
    ground, found, judgement = gathering.ground, gathering.found, gathering.judgement
    if not judgement.believed:
        return of_differences(gathering)
    if ground.precision == "float32":
        # what two agree to there is rounding, and theirs as much as a cell's, however little it is
        error = judgement.error(found.agreement, limit=-1.0, alone=ground.limit)
    else:
        error = judgement.error(found.agreement, ground.limit)
    refuse_no_evidence(error, "the two modes agree")
    m, n = ground.y[0].size, ground.problem.n
    forward, reverse = ("forward" in judgement.believed, "reverse" in judgement.believed)
    here, elsewhere = (
        _probed(
            ground,
            at,
            found.pushed[at] if forward else np.empty((m, 0)),
            found.tangents if forward else np.empty((n, 0)),
            found.cotangents if reverse else np.empty((0, m)),
            found.pulled[at] if reverse else np.empty((0, n)),
        )
        for at in range(2)
    )
    return ByProducts(here, elsewhere, "consensus", error)


def of_differences(gathering: Gathering) -> ByProducts:
    """Return what central differences give, where no mode is to be believed."""
    ground, found = gathering.ground, gathering.found
    m, n = ground.y[0].size, ground.problem.n
    error, sides = differences.limit(ground.precision, ground.noise), []
    for at, along in enumerate(found.along):
        try:
            around = ground.differences(at, gathering.time_for_a_step)
            product, good_to = around.measure(along)
        except JacbenchError as exc:
            reasons = gathering.witnesses.reasons
            why = "; ".join(reasons) or "differences deny what methods give"
            told = str(exc).removeprefix(f"{ground.calls.who}: ")
            raise JacbenchError(
                f"{ground.calls.who}: there is no derivative to be had at x: {why}; and right "
                f"beside it {told}"
            ) from exc
        error = max(error, good_to)
        sides.append(_probed(ground, at, product, along, np.empty((0, m)), np.empty((0, n))))
    denied = f", which deny what {' and '.join(found.names)} give," if found.names else ""
    refuse_no_evidence(error, f"differences of its values{denied} are good")
    return ByProducts(sides[0], sides[1], "central-difference", error)


def refuse_no_evidence(good_to: float, what: str, least: float = TELLS) -> None:
    """Raise where what is right is known to so little that anything might be called right."""
    if not good_to <= least:
        raise NothingRightError(
            f"{what} to {good_to:.0e} alone, and that tells no right Jacobian from a wrong one"
        )


def _probed(
    ground: Ground, at: int, product: Array, tangents: Array, cotangents: Array, pulled: Array
) -> Probed:
    return Probed(
        x=ground.points[at],
        constants=ground.problem.constants,
        y=ground.y[at],
        jacobian=product,
        tangents=tangents,
        cotangents=cotangents,
        pulled=pulled,
    )
