"""What answers are held against: the whole Jacobian where it is small, else products with it."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from jacbench.errors import JacbenchError, WrongJacobianError
from jacbench.evaluator import Evaluator, home
from jacbench.picking.examining import differences
from jacbench.picking.examining.by_products import ByProducts, Probed
from jacbench.picking.examining.ground import Ground
from jacbench.picking.examining.judgement import Judgement
from jacbench.picking.examining.products import Products
from jacbench.reference import Reference, reference

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
    """

    def __init__(
        self, ground: Ground, reasons: Sequence[str], *, budget_s: float, products_s: float
    ) -> None:
        self._ground, self._reasons = ground, reasons
        self._budget_s, self._products_s = budget_s, products_s

    def choose(self, found: Products, judgement: Judgement) -> Reference:
        """Return every entry where that is to be had and says the same, and else products."""
        if judgement.undecided:  # but there is a Jacobian written by hand
            return self._reference()
        by_products = self._by_products(found, judgement)
        return self._whole(by_products, judgement) or by_products

    def _by_products(self, found: Products, judgement: Judgement) -> ByProducts:
        ground = self._ground
        if not (judgement.forward or judgement.reverse):
            return self._by_differences(found)
        apart, error = found.agreement, 0.0
        if apart is not None and (ground.precision == "float32" or apart > ground.limit):
            error = 3 * apart
        elif ground.precision == "float32":
            error = judgement.confirmed or 0.0
        here, elsewhere = (self._probed(found, judgement, at) for at in range(2))
        return ByProducts(here, elsewhere, "consensus", error)

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
        for x, y, along, h in zip(
            ground.points, ground.y, found.along, ground.steps(found), strict=True
        ):
            try:
                seen, shorter = (
                    differences.slopes(ground.calls, x, along, h / part) for part in (1, 4)
                )
            except JacbenchError as exc:
                why = "; ".join(self._reasons) or "differences deny what methods give"
                told = str(exc).removeprefix(f"{ground.calls.who}: ")
                raise JacbenchError(
                    f"{ground.calls.who}: there is no derivative to be had at x: {why}; and right "
                    f"beside it {told}"
                ) from exc
            gap = float(np.linalg.norm(seen - shorter))
            error = max(error, gap / (float(np.linalg.norm(seen)) or 1.0))
            sides.append(
                Probed(
                    x=x,
                    constants=ground.problem.constants,
                    y=y,
                    jacobian=seen,
                    tangents=along,
                    cotangents=np.empty((0, m)),
                    pulled=np.empty((0, n)),
                )
            )
        return ByProducts(sides[0], sides[1], "central-difference", error)

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
        if whole.kind == "central-difference":
            # one step serves every function there, and here several were tried
            return None if believed else whole
        sides = ((whole.here, seen.here), (whole.elsewhere, seen.elsewhere))
        off = max(seen.distance(one.jacobian, other).error for one, other in sides)
        if whole.kind == "analytic" and believed and off > max(FALSE, seen.error):
            raise JacbenchError(
                f"{ground.calls.who}: its jacobian= is {off:.1g} away from what "
                f"{' and '.join(ground.calls.backend.witnesses)} give: mend it, or "
                "leave it out"
            )
        return whole

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
