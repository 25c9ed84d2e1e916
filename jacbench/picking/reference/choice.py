"""What answers are held against: the whole Jacobian where it is small, else products with it."""

from __future__ import annotations

import contextlib
import time

import numpy as np

from jacbench.checking.evidence.judgement import Judgement
from jacbench.checking.gathering import Gathering
from jacbench.checking.product_reference import of_believed, of_differences
from jacbench.checking.random_products import ByProducts
from jacbench.checking.reference import Reference, reference
from jacbench.core.errors import JacbenchError, WrongJacobianError
from jacbench.problems.counted_function import Calls, home

SMALL = 2_000_000
"""Entries up to which a Jacobian is compared entry by entry."""
COMPLEX = 3
"""What a call with complex numbers takes, about, in calls with real ones."""
FALSE = 1e-7
"""Normwise error beyond which a hand-written Jacobian is not what was found without it."""


def choose(gathering: Gathering, dtype: str, *, budget_s: float) -> tuple[Reference, Judgement]:
    """Return every entry where that is to be had and says the same, and else products.

    And what is believed: where differences confirm a Jacobian written by hand against the modes,
    that alone.

    Parameters
    ----------
    gathering
        The evidence, judged.
    dtype
        That of the cells.
    budget_s
        What the whole Jacobian may take, seconds.

    Raises
    ------
    NothingRightError
        Where there is no evidence that could tell a wrong Jacobian from a right one.
    JacbenchError
        Where a Jacobian written by hand is wrong, or there is no derivative at x by any way.
    """
    judgement = gathering.judgement
    if not judgement.refused:
        seen = of_believed(gathering)
        return _whole(gathering, dtype, seen, budget_s) or seen, judgement
    written = _reference(gathering, dtype)
    if not gathering.ground.problem.stops_gradient:
        with contextlib.suppress(JacbenchError):  # differences cannot tell
            seen = of_differences(gathering)
            off = _off(written, seen)
            if off <= max(FALSE, seen.error):
                return written, Judgement(confirmed=off)
    return written, judgement


def _whole(gathering: Gathering, dtype: str, seen: ByProducts, budget_s: float) -> Reference | None:
    """Return the reference with every entry, where it is small and says the same."""
    if not _affordable(gathering, budget_s):
        return None
    calls, believed = gathering.ground.calls, gathering.judgement.believed
    try:
        whole = _reference(gathering, dtype)
    except WrongJacobianError:
        raise
    except JacbenchError:
        if believed:
            return None
        raise
    # one step serves every function there, and here several were tried
    if whole.kind == "central-difference" or (whole.kind == "consensus" and not believed):
        return None
    off = _off(whole, seen)
    if not np.any(seen.here.seen) and np.any(whole.here.jacobian) and off <= FALSE:
        return None  # nothing but rounding, which is another one by every method
    if off <= max(FALSE, seen.error):
        return whole
    if whole.kind != "analytic":
        return None
    by = " and ".join(calls.backend.witnesses) if believed else "differences of its values"
    raise JacbenchError(
        f"{calls.who}: its jacobian= is {off:.1g} away from what {by} give: mend it, or leave it "
        "out"
    )


def _affordable(gathering: Gathering, budget_s: float) -> bool:
    """Say whether the whole matrix may be computed: small, on the CPU, in float64, in time."""
    ground = gathering.ground
    problem, m, n = ground.problem, ground.y[0].size, ground.problem.n
    if m * n > SMALL or ground.calls.device != "cpu" or ground.precision != "float64":
        return False
    if problem.jacobian is not None:
        return True
    budget_s = min(budget_s, gathering.deadline.left())
    if problem.function is None:
        # the witnesses are prepared, and compiled, once more, for all rows and columns
        passes_s = 2 * (3 * m + 2 * n) * gathering.call_s
        return gathering.products_s + passes_s <= budget_s
    neutral = Calls(problem, "numpy")
    for _ in range(2):  # the first call warms what it uses
        start = time.perf_counter()
        neutral.value(problem.x)
        call_s = time.perf_counter() - start
        if call_s > budget_s:
            return False
    return 2 * COMPLEX * n * call_s <= budget_s


def _reference(gathering: Gathering, dtype: str) -> Reference:
    ground = gathering.ground
    return reference(ground.problem, dtype, home(ground.problem, ground.calls.name))


def _off(whole: Reference, seen: ByProducts) -> float:
    """Return how far a whole Jacobian is from products, at the worse of both points."""
    sides = ((whole.here, seen.here), (whole.elsewhere, seen.elsewhere))
    return max(seen.distance(one.jacobian, other).error for one, other in sides)
