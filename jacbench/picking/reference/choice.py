"""What answers are held against: the whole Jacobian where it is small, else products with it."""

from __future__ import annotations

import contextlib
import time

import numpy as np

from jacbench.checking.evidence.judgement import Judgement
from jacbench.checking.evidence.mode_products import Products
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


class Right:
    """The choice of a reference, of products that were judged.

    Parameters
    ----------
    gathering
        What was asked of the function, and how.
    dtype
        That of the cells.
    budget_s
        What the whole Jacobian may take, seconds.

    Attributes
    ----------
    by_hand
        Once it was chosen: how far differences are from a Jacobian written by hand that they
        confirm against the modes; None everywhere else.
    """

    def __init__(self, gathering: Gathering, dtype: str, *, budget_s: float) -> None:
        self._gathering, self._dtype, self._budget_s = gathering, dtype, budget_s
        self._ground, self._reasons = gathering.ground, gathering.witnesses.reasons
        self.by_hand: float | None = None

    def choose(self, found: Products, judgement: Judgement) -> Reference:
        """Return every entry where that is to be had and says the same, and else products.

        Raises
        ------
        NothingRightError
            Where there is no evidence that could tell a wrong Jacobian from a right one.
        JacbenchError
            Where a Jacobian written by hand is wrong, or there is no derivative at x by any way.
        """
        go_on = self._gathering.time_for_a_step(found)
        if judgement.refused:
            written = self._reference()
            if not self._ground.problem.stops_gradient:
                with contextlib.suppress(JacbenchError):  # differences cannot tell
                    seen = of_differences(self._ground, found, reasons=self._reasons, go_on=go_on)
                    off = _off(written, seen)
                    self.by_hand = off if off <= max(FALSE, seen.error) else None
            return written
        seen = of_believed(self._ground, found, judgement, reasons=self._reasons, go_on=go_on)
        return self._whole(seen, judgement) or seen

    def _whole(self, seen: ByProducts, judgement: Judgement) -> Reference | None:
        """Return the reference with every entry, where it is small and says the same."""
        ground = self._ground
        if not self._affordable():
            return None
        try:
            whole = self._reference()
        except WrongJacobianError:
            raise
        except JacbenchError:
            if judgement.believed:
                return None
            raise
        # one step serves every function there, and here several were tried
        if whole.kind == "central-difference" or (
            whole.kind == "consensus" and not judgement.believed
        ):
            return None
        off = _off(whole, seen)
        if not np.any(seen.here.jacobian) and np.any(whole.here.jacobian) and off <= FALSE:
            return None  # nothing but rounding, which is another one by every method
        if off <= max(FALSE, seen.error):
            return whole
        if whole.kind != "analytic":
            return None
        witnesses = " and ".join(ground.calls.backend.witnesses)
        by = witnesses if judgement.believed else "differences of its values"
        raise JacbenchError(
            f"{ground.calls.who}: its jacobian= is {off:.1g} away from what {by} give: mend it, or "
            "leave it out"
        )

    def _affordable(self) -> bool:
        """Say whether the whole matrix may be computed: small, on the CPU, in float64, in time."""
        ground, gathering = self._ground, self._gathering
        problem, m, n = ground.problem, ground.y[0].size, ground.problem.n
        if m * n > SMALL or ground.calls.device != "cpu" or ground.precision != "float64":
            return False
        if problem.jacobian is not None:
            return True
        budget_s = min(self._budget_s, gathering.allowance.left())
        if problem.function is None:
            # the witnesses are prepared, and compiled, once more, for all rows and columns
            passes_s = 2 * (3 * m + 2 * n) * gathering.call_s
            return gathering.products_s + passes_s <= budget_s
        neutral = Calls(problem, "numpy")
        for _ in range(2):  # the first call warms what it uses
            start = time.perf_counter()
            neutral.value(problem.x, problem.constants)
            call_s = time.perf_counter() - start
            if call_s > budget_s:
                return False
        return 2 * COMPLEX * n * call_s <= budget_s

    def _reference(self) -> Reference:
        problem = self._ground.problem
        return reference(problem, self._dtype, home(problem, self._ground.calls.name))


def _off(whole: Reference, seen: ByProducts) -> float:
    """Return how far a whole Jacobian is from products, at the worse of both points."""
    sides = ((whole.here, seen.here), (whole.elsewhere, seen.elsewhere))
    return max(seen.distance(one.jacobian, other).error for one, other in sides)
