"""What is right where nobody has said it: independent methods, confirmed by differences.

It is as good as its parts, and says how good that is in one line.
"""

from __future__ import annotations

import math
import time
import warnings
from dataclasses import dataclass, replace

import numpy as np

from jacbench import agreement, consensus, settle, tree
from jacbench.backend import Backend, Method
from jacbench.cell import Cell
from jacbench.errors import JacbenchError
from jacbench.evaluator import Evaluator, home
from jacbench.layout import Array
from jacbench.picking import differences, products, strength
from jacbench.picking.by_products import DIRECTIONS, Answer, ByProducts, Probed, pushed
from jacbench.picking.calls import Calls, rounded
from jacbench.picking.differences import Claim, Confirmation
from jacbench.picking.examination import Examination, examine
from jacbench.picking.judgement import Judgement, judge
from jacbench.picking.large import settle_by_products
from jacbench.picking.products import Products
from jacbench.picking.subject import Subject
from jacbench.picking.witnesses import Witnesses
from jacbench.problem import Problem
from jacbench.reference import Reference, reference
from jacbench.trial import Settled

SMALL = 2_000_000
"""Entries up to which a Jacobian is compared entry by entry."""
BUDGET_S = 2.0
"""What a dense reference may be expected to take, seconds: products are no worse a judge."""
PRODUCT_CALLS = 22
"""Calls for each vector a side, about: three for a product back and for each of two forward, two
for a difference, all of it at two points."""
COMPLEX = 3
"""What a call with complex numbers takes, about, in calls with real ones."""
FALSE = 1e-7
"""Normwise error beyond which a hand-written Jacobian is not what was found without it."""


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What answers are held against, and how much that is worth.

    Attributes
    ----------
    reference
        Every entry, :class:`jacbench.reference.Reference`; or products with random vectors,
        :class:`jacbench.picking.by_products.ByProducts`.
    dtype
        The dtype of the cells that it is for.
    precision
        The dtype in which it was computed.
    witnesses
        The methods that gave products: forward, then reverse.
    agreement
        The normwise difference between both; None where there are not both.
    confirmed
        How far central differences are from them; None where they were not asked.
    contradicted
        Why it may be wrong in spite of all, in one line; None: nothing speaks against it.
    told
        All of it in one line.
    notes
        What could not be had, a line each.
    """

    reference: Reference
    dtype: str
    precision: str
    witnesses: tuple[str, ...]
    agreement: float | None
    confirmed: float | None
    contradicted: str | None
    told: str
    notes: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Say whether answers are compared entry by entry."""
        return not isinstance(self.reference, ByProducts)

    def error(self, answer: Answer) -> float:
        """Return the normwise error of a Jacobian at x: ‖A - J‖ / ‖J‖, or what products see of it.

        ``answer`` is a NumPy array (m, n), a SciPy CSR array, a pair of factors, or
        :class:`jacbench.picking.by_products.Blocks`. Products compare a sum over many entries: an
        error below their rounding is not seen.
        """
        right = self.reference
        if isinstance(right, ByProducts):
            return right.distance(answer).error
        known = right.here.jacobian
        columns = np.eye(known.shape[1])
        matrix = answer if isinstance(answer, np.ndarray) else pushed(answer, columns)
        return agreement.compare(matrix, known).error


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


def settle_large(
    cell: Cell,
    problem: Problem,
    backend: Backend,
    method: Method,
    right: Truth,
    *,
    chunk_size: int | None = None,
    memory_bytes: int | None = None,
) -> Settled:
    """Return the verdict on a cell, held against what there is: every entry, or products.

    Parameters
    ----------
    problem
        That of the examination.
    memory_bytes
        What checking a dense Jacobian may need; None: a share of what is available.
    """
    known = right.reference
    if isinstance(known, ByProducts):
        return settle_by_products(
            cell,
            problem,
            backend,
            method,
            known,
            chunk_size=chunk_size,
            memory_bytes=memory_bytes,
        )
    return settle.settle(cell, problem, backend, method, known, chunk_size=chunk_size)


class _Gathering:
    """The evidence on its way: products, differences, then the whole matrix where it is small."""

    def __init__(
        self, subject: Subject, backend: str, examination: Examination, budget_s: float
    ) -> None:
        self.examination, self.budget_s = examination, budget_s
        self.dtype, self.precision = examination.dtype, examination.precision
        self.noise = max(examination.noise, float(np.finfo(self.precision).eps))
        self.problem = _reachable(_rounded(examination.problem, self.dtype))
        self.points = (self.problem.x, self.problem.elsewhere)
        self.calls = Calls(
            self.problem,
            backend,
            dtype=self.precision,
            device=subject.device,
            lifted=examination.lifted,
        )
        self.witnesses = Witnesses(self.calls, examination.y_shape)
        self.y, taken = list[Array](), list[float]()
        for x in self.points:
            self.y.append(self.calls(x).astype(np.float64))
            taken.append(self.calls.last_s)
        self.allowance, self.call_s = examination.allowance, min(taken)
        self.spared = self.one_way = False
        self.unasked = ""
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

        m, n, seed = self.examination.m, self.examination.n, self.problem.seed
        with self.calls.precisely():
            self.found = products.multiply(
                self.witnesses, self.points, n, m, seed, count=count, forward_too=forward_too
            )
        self.products_s = time.perf_counter() - start
        return self.one_way or len(self.found.names) == 2

    def _count(self) -> int:
        """Return on how many vectors a side time allows both modes and differences: at least 1."""
        left_s = self.allowance.left()
        every = range(DIRECTIONS, 1, -1)
        return next((k for k in every if k * PRODUCT_CALLS * self.call_s <= left_s), 1)

    def _differences_s(self, count: int) -> float:
        """Return what differences at one point take, seconds."""
        return 2 * count * self.call_s

    def run(self) -> Truth:
        """Ask the library, ask differences, judge, and hold the whole matrix against it."""
        if self.found is None:
            self.ask()
        assert self.found is not None  # noqa: S101 - just asked
        with self.calls.precisely():
            return self._told(self.found)

    def _told(self, found: Products) -> Truth:
        self.unasked = self._unasked(found)
        judgement = self._judged(found)
        self._refuse_a_cut_function(found, judgement)
        if judgement.undecided and self.problem.jacobian is None:
            raise JacbenchError(
                f"{self.calls.who}: what is right cannot be told: {judgement.undecided}: give a "
                "jacbench.Problem with jacobian="
            )
        right = self._right(found, judgement)
        return Truth(
            reference=right,
            dtype=self.dtype,
            precision=self.precision,
            witnesses=found.names,
            agreement=found.agreement,
            confirmed=judgement.confirmed,
            contradicted=judgement.contradicted,
            told=strength.told(
                found,
                judgement,
                right,
                precision=self.precision,
                witnesses=self.calls.backend.witnesses,
                reasons=self.witnesses.reasons,
                unasked=self.unasked,
                second=self.second,
                lifted=self.calls.lifted,
                spared=self.allowance.why(self.call_s) if self.spared else "",
            ),
            notes=tuple(self.witnesses.reasons),
        )

    @property
    def _limit(self) -> float:
        """Up to which two modes agree; in float32 each may be off by what a cell may be off."""
        if self.precision == "float64":
            return consensus.LIMIT
        return 5 * agreement.tolerance(self.precision, self.calls.device)

    # --- differences ---

    def _steps(self, found: Products) -> list[float]:
        distance = self.problem.kink_distance
        return [differences.step(self.precision, along, distance) for along in found.along]

    def _unasked(self, found: Products) -> str:
        if self.problem.stops_gradient:
            return "it stops gradients on purpose, which no difference quotient sees"
        if min(self._steps(found)) < math.sqrt(np.finfo(self.precision).eps):
            return "a kink is too near x for difference quotients"
        # one independent check there is: two modes
        agree = found.agreement is not None and found.agreement <= self._limit
        if agree and self._differences_s(found.count) > self.allowance.left():
            self.spared = True
            return "there was no time for them"
        return ""

    def _judged(self, found: Products) -> Judgement:
        """Return what to believe: of both points, or of x alone where the second is too wild."""
        here = self._confirmed(found, 0)
        if self.unasked or not found.names:
            return self._judge(found, here)
        if self._differences_s(found.count) > self.allowance.left():
            self.spared, self.second = True, None
            return self._judge(found, here)
        elsewhere = self._confirmed(found, 1)
        whole = self._judge(found, [a.worse(b) for a, b in zip(here, elsewhere, strict=True)])
        if whole.contradicted is None and (whole.forward or whole.reverse):
            return whole
        near = self._judge(found, here)
        if near.contradicted is None and near.forward + near.reverse == len(found.names):
            self.second = max(one.error for one in elsewhere)
            return near
        return whole

    def _judge(self, found: Products, told: list[Confirmation]) -> Judgement:
        return judge(
            told[0] if found.forward else None,
            told[-1] if found.reverse else None,
            agreement=found.agreement,
            limit=self._limit,
            unasked=self.unasked,
        )

    def _confirmed(self, found: Products, at: int) -> list[Confirmation]:
        """Return what differences say at a point, of the forward mode and then of the reverse."""
        if self.unasked:
            return [Confirmation(0.0, holds=True)] * len(found.names)
        if not found.names:
            return []
        along, claims = found.along[at], []
        if found.forward:
            claims.append(Claim(found.pushed_along[at]))
        if found.reverse:
            claims.append(Claim(found.pulled[at] @ along, found.cotangents))
        return differences.confirm(
            self.calls,
            self.points[at],
            along,
            claims,
            noise=self.noise,
            size=float(np.linalg.norm(self.y[at])),
            h=self._steps(found)[at],
        )

    def _refuse_a_cut_function(self, found: Products, judgement: Judgement) -> None:
        """Refuse a function whose derivative is 0 by every mode, while its values move with x."""
        given = [*found.pushed, *found.pulled]
        if judgement.contradicted and not self.unasked and not any(map(np.any, given)):
            raise JacbenchError(
                f"{self.calls.who}: its derivative is 0 by {' and '.join(found.names)}, but y "
                "moves with x: something cuts x off (detach, .numpy(), .item(), stop_gradient, "
                "another library): compute y from x with the library's own functions"
            )

    # --- what answers are held against ---

    def _right(self, found: Products, judgement: Judgement) -> Reference:
        if judgement.undecided:  # but there is a Jacobian written by hand
            return reference(self.problem, self.dtype, home(self.problem, self.calls.name))
        by_products = self._by_products(found, judgement)
        return self._whole(by_products, judgement) or by_products

    def _by_products(self, found: Products, judgement: Judgement) -> ByProducts:
        if not (judgement.forward or judgement.reverse):
            return self._by_differences(found)
        apart, error = found.agreement, 0.0
        if apart is not None and (self.precision == "float32" or apart > self._limit):
            error = 3 * apart
        elif self.precision == "float32":
            error = judgement.confirmed or 0.0
        here, elsewhere = (self._probed(found, judgement, at) for at in range(2))
        return ByProducts(here, elsewhere, "consensus", error)

    def _probed(self, found: Products, judgement: Judgement, at: int) -> Probed:
        m, n = self.examination.m, self.examination.n
        forward, reverse = judgement.forward, judgement.reverse
        return Probed(
            x=self.points[at],
            constants=self.problem.constants,
            y=self.y[at],
            jacobian=found.pushed[at] if forward else np.empty((m, 0)),
            tangents=found.tangents if forward else np.empty((n, 0)),
            cotangents=found.cotangents if reverse else np.empty((0, m)),
            pulled=found.pulled[at] if reverse else np.empty((0, n)),
        )

    def _by_differences(self, found: Products) -> ByProducts:
        """Return what central differences give, where no mode is to be believed."""
        m, n = self.examination.m, self.examination.n
        error, sides = differences.limit(self.precision, self.noise), []
        for x, y, along, h in zip(
            self.points, self.y, found.along, self._steps(found), strict=True
        ):
            try:
                seen, shorter = (
                    differences.slopes(self.calls, x, along, h / part) for part in (1, 4)
                )
            except JacbenchError as exc:
                why = "; ".join(self.witnesses.reasons) or "differences deny what methods give"
                told = str(exc).removeprefix(f"{self.calls.who}: ")
                raise JacbenchError(
                    f"{self.calls.who}: there is no derivative to be had at x: {why}; and right "
                    f"beside it {told}"
                ) from exc
            gap = float(np.linalg.norm(seen - shorter))
            error = max(error, gap / (float(np.linalg.norm(seen)) or 1.0))
            sides.append(
                Probed(
                    x=x,
                    constants=self.problem.constants,
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
        if not self._affordable():
            return None
        believed = judgement.forward or judgement.reverse
        try:
            whole = reference(self.problem, self.dtype, home(self.problem, self.calls.name))
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
                f"{self.calls.who}: its jacobian= is {off:.1g} away from what "
                f"{' and '.join(self.calls.backend.witnesses)} give: mend it, or "
                "leave it out"
            )
        return whole

    def _affordable(self) -> bool:
        """Say whether the whole matrix may be computed: small, on the CPU, in float64, in time."""
        m, n = self.examination.m, self.examination.n
        if m * n > SMALL or self.calls.device != "cpu" or self.precision != "float64":
            return False
        if self.problem.jacobian is not None:
            return True
        budget_s = min(self.budget_s, self.allowance.left())
        if self.problem.function is None:
            # the witnesses are prepared, and compiled, once more, for all rows and columns
            passes_s = 2 * (3 * m + 2 * n) * self.examination.call_s
            return self.products_s + passes_s <= budget_s
        neutral = Evaluator(self.problem, "numpy")
        for _ in range(2):  # the first call warms what it uses
            start = time.perf_counter()
            neutral.value(self.problem.x, self.problem.constants)
            call_s = time.perf_counter() - start
            if call_s > budget_s:
                return False
        return 2 * COMPLEX * n * call_s <= budget_s


def _rounded(problem: Problem, dtype: str) -> Problem:
    """Return ``problem`` with points and constants that ``dtype`` can hold."""
    if dtype == "float64":
        return problem
    return replace(
        problem,
        x=rounded(problem.x, dtype),
        elsewhere=rounded(problem.elsewhere, dtype),
        constants=tuple(rounded(constant, dtype) for constant in problem.constants),
    )


def _reachable(problem: Problem) -> Problem:
    """Return ``problem`` with a second point that x is a float64 step away from, exactly."""
    pairs = zip(tree.leaves(problem.x), tree.leaves(problem.elsewhere), strict=True)
    elsewhere = tree.unflatten(problem.x, [a + (b - a) for a, b in pairs])
    return replace(problem, elsewhere=elsewhere)
