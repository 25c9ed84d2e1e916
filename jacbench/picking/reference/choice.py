"""What answers are held against: the whole Jacobian where it is small, else products with it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence

import numpy as np

from jacbench.checking import differences
from jacbench.checking.claims import TELLS
from jacbench.checking.reference import Reference, reference
from jacbench.core.errors import JacbenchError, NothingRightError, WrongJacobianError
from jacbench.picking.reference.evaluations import Ground
from jacbench.picking.reference.judgement import Judgement
from jacbench.picking.reference.mode_products import Products
from jacbench.picking.reference.random_products import ByProducts, Probed
from jacbench.problems.evaluator import Evaluator, home

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
    ground
        The function.
    reasons
        Why a mode gave no products, a line each.
    budget_s, products_s
        What the whole Jacobian may take, and what the products took, seconds.
    go_on
        Asked before differences take further steps: False where time is over.

    Attributes
    ----------
    by_hand
        Once it was chosen: how far differences are from a Jacobian written by hand that they
        confirm against the modes; None everywhere else.
    """

    def __init__(
        self,
        ground: Ground,
        reasons: Sequence[str],
        *,
        budget_s: float,
        products_s: float,
        go_on: Callable[[], bool],
    ) -> None:
        self._ground, self._reasons = ground, reasons
        self._budget_s, self._products_s, self._go_on = budget_s, products_s, go_on
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
        if judgement.refused:
            return self._by_hand(found)
        by_products = self._by_products(found, judgement)
        return self._whole(by_products, judgement) or by_products

    def _by_products(self, found: Products, judgement: Judgement) -> ByProducts:
        if not (judgement.forward or judgement.reverse):
            return self._by_differences(found)
        return self._by_modes(found, judgement)

    def _by_modes(self, found: Products, judgement: Judgement) -> ByProducts:
        here, elsewhere = (self._probed(found, judgement, at) for at in range(2))
        error = self._tolerated(found, judgement)
        self._refuse_no_evidence(error, "the two modes agree")
        return ByProducts(here, elsewhere, "consensus", error)

    def _tolerated(self, found: Products, judgement: Judgement) -> float:
        """Return by how much what is believed may be off itself, beyond a cell's own rounding.

        Two that are believed both are as good as they agree. Of one alone that is the rounding of
        its dtype: how far another is away from it says nothing.
        """
        ground, apart = self._ground, found.agreement
        if judgement.forward and judgement.reverse and apart is not None:
            return 3 * apart if ground.precision == "float32" or apart > ground.limit else 0.0
        return ground.limit if ground.precision == "float32" else 0.0

    def _refuse_no_evidence(self, good_to: float, what: str) -> None:
        if not good_to <= TELLS:
            raise NothingRightError(
                f"{self._ground.calls.who}: nothing is picked, as what is right cannot be told: "
                f"{what} to {good_to:.0e} alone, and that tells no right Jacobian from a wrong one"
            )

    def _probed(self, found: Products, judgement: Judgement, at: int) -> Probed:
        ground = self._ground
        m, n = ground.examination.m, ground.examination.n
        forward, reverse = judgement.forward, judgement.reverse
        return Probed(
            x=ground.points[at],
            constants=ground.problem.constants,
            y=ground.y[at],
            jacobian=found.pushed[at] if forward else np.empty((m, 0)),
            tangents=found.tangents if forward else np.empty((n, 0)),
            cotangents=found.cotangents if reverse else np.empty((0, m)),
            pulled=found.pulled[at] if reverse else np.empty((0, n)),
        )

    def _by_differences(self, found: Products) -> ByProducts:
        """Return what central differences give, where no mode is to be believed."""
        ground = self._ground
        m, n = ground.examination.m, ground.examination.n
        error, sides = differences.limit(ground.precision, ground.noise), []
        for at, (x, y, along) in enumerate(zip(ground.points, ground.y, found.along, strict=True)):
            try:
                product, good_to = ground.differences(at, self._go_on).measure(along)
            except JacbenchError as exc:
                why = "; ".join(self._reasons) or "differences deny what methods give"
                told = str(exc).removeprefix(f"{ground.calls.who}: ")
                raise JacbenchError(
                    f"{ground.calls.who}: there is no derivative to be had at x: {why}; and right "
                    f"beside it {told}"
                ) from exc
            error = max(error, good_to)
            sides.append(
                Probed(
                    x=x,
                    constants=ground.problem.constants,
                    y=y,
                    jacobian=product,
                    tangents=along,
                    cotangents=np.empty((0, m)),
                    pulled=np.empty((0, n)),
                )
            )
        denied = f", which deny what {' and '.join(found.names)} give," if found.names else ""
        self._refuse_no_evidence(error, f"differences of its values{denied} are good")
        return ByProducts(sides[0], sides[1], "central-difference", error)

    def _by_hand(self, found: Products) -> Reference:
        """Return the Jacobian written by hand, which :func:`reference` has held to differences."""
        written = self._reference()
        if not self._ground.problem.stops_gradient:
            with contextlib.suppress(JacbenchError):  # differences cannot tell
                seen = self._by_differences(found)
                off = _off(written, seen)
                self.by_hand = off if off <= max(FALSE, seen.error) else None
        return written

    def _whole(self, seen: ByProducts, judgement: Judgement) -> Reference | None:
        """Return the reference with every entry, where it is small and says the same."""
        ground = self._ground
        if not self._affordable():
            return None
        believed = judgement.forward or judgement.reverse
        try:
            whole = self._reference()
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
        if not np.any(seen.here.jacobian) and np.any(whole.here.jacobian) and off <= FALSE:
            return None  # nothing but rounding, which is another one by every method
        if off <= max(FALSE, seen.error):
            return whole
        if whole.kind != "analytic":
            return None
        by = " and ".join(ground.calls.backend.witnesses)
        raise self._false(off, by if believed else "differences of its values")

    def _false(self, off: float, by: str) -> JacbenchError:
        return JacbenchError(
            f"{self._ground.calls.who}: its jacobian= is {off:.1g} away from what {by} give: mend "
            "it, or leave it out"
        )

    def _affordable(self) -> bool:
        """Say whether the whole matrix may be computed: small, on the CPU, in float64, in time."""
        ground = self._ground
        m, n = ground.examination.m, ground.examination.n
        if m * n > SMALL or ground.calls.device != "cpu" or ground.precision != "float64":
            return False
        if ground.problem.jacobian is not None:
            return True
        budget_s = min(self._budget_s, ground.examination.allowance.left())
        if ground.problem.function is None:
            # the witnesses are prepared, and compiled, once more, for all rows and columns
            passes_s = 2 * (3 * m + 2 * n) * ground.examination.call_s
            return self._products_s + passes_s <= budget_s
        neutral = Evaluator(ground.problem, "numpy")
        for _ in range(2):  # the first call warms what it uses
            start = time.perf_counter()
            neutral.value(ground.problem.x, ground.problem.constants)
            call_s = time.perf_counter() - start
            if call_s > budget_s:
                return False
        return 2 * COMPLEX * n * call_s <= budget_s

    def _reference(self) -> Reference:
        ground = self._ground
        return reference(ground.problem, ground.dtype, home(ground.problem, ground.calls.name))


def _off(whole: Reference, seen: ByProducts) -> float:
    """Return how far a whole Jacobian is from products, at the worse of both points."""
    sides = ((whole.here, seen.here), (whole.elsewhere, seen.elsewhere))
    return max(seen.distance(one.jacobian, other).error for one, other in sides)
