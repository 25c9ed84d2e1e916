"""Before anything is timed: what kind of function it is, and what cannot be asked of it."""

from __future__ import annotations

import dataclasses
import math
import warnings
from dataclasses import dataclass

from jacbench.checking import matrix_error
from jacbench.core import nearby
from jacbench.core.arrays import Array, Shape
from jacbench.core.errors import JacbenchError
from jacbench.core.redaction import one_line
from jacbench.core.tree import Tree
from jacbench.core.units import format_seconds
from jacbench.measuring.deadline import Deadline, InTime
from jacbench.picking.examining import smoothness
from jacbench.picking.examining.smoothness import Finding
from jacbench.picking.loading.subject import Subject
from jacbench.problems.checked_value import same_outputs, value_without_gradients
from jacbench.problems.counted_function import Calls, rounded
from jacbench.problems.problem import Problem

EXAMINING_SHARE = 0.4
"""What looking at a function and gathering evidence may take of the time limit of a pick."""
BUDGET_S = 2.0
"""What looking for noise, kinks and linearity may take, seconds."""
LEAST_CALLS = 10
"""Calls that the cheapest Jacobian and its check need: with fewer there is no answer."""
EVIDENCE_CALLS = 12
"""Calls that the least evidence takes, about: they are kept for it."""
PASS_CALLS = (1, 3)
"""Calls that one pass forward or back is worth, from cheapest to dearest.

Griewank and Walther, Evaluating Derivatives (2nd ed., 2008), section 4.6, bound a tangent by 2.5
calls and a gradient by 4; passes that are vectorised cost less.
"""
DTYPES = ("float64", "float32")


@dataclass(frozen=True, kw_only=True)
class Examination:
    """What calling a function alone has shown.

    Attributes
    ----------
    problem
        The problem to go on with: that of the subject, its points moved a little where the function
        has a kink, or no value, at them.
    y_shape
        The shape of the function's value.
    dtype
        That of the function's value, and of the cells to try: the subject's, unless the function
        computes in the other one.
    precision
        ``float64`` where the function can be computed in it, whatever ``dtype`` is: what is right
        is settled in it. Else ``float32``.
    lifted
        True where that takes the function's float32 values to be lifted to float64.
    call_s
        One call as Python makes it, after the first, seconds.
    first_s
        The first call, with all that a library loads or compiles at it, seconds.
    noise
        How much neighbouring values scatter, relative to ‖y‖; the machine epsilon where that was
        not looked for.
    given
        The x that was given; ``problem.x`` is another one where that lies at a kink.
    findings
        What the user should know.
    skipped
        What was not looked for, as calls take too long: one line, or none.
    calls
        How often the function was called.
    deadline
        What this and the evidence may take, of which a part is gone.
    """

    problem: Problem
    y_shape: Shape
    dtype: str
    precision: str
    lifted: bool
    call_s: float
    first_s: float
    noise: float
    given: Tree
    findings: tuple[Finding, ...]
    skipped: tuple[str, ...]
    calls: int
    deadline: Deadline

    @property
    def moved(self) -> bool:
        """Say whether ``problem.x`` is not the one given."""
        return bool((nearby.flat(self.problem.x) != nearby.flat(self.given)).any())

    @property
    def m(self) -> int:
        """The number of outputs."""
        return math.prod(self.y_shape)

    @property
    def n(self) -> int:
        """The number of inputs."""
        return self.problem.n

    @property
    def dense_s(self) -> tuple[float, float]:
        """What a dense Jacobian takes, pass by pass: about the least and the most, seconds.

        Less where passes are vectorised, or where its structure spares some.
        """
        return dense_seconds(self.m, self.n, self.call_s)

    @property
    def lines(self) -> tuple[str, ...]:
        """All that is worth telling, a line each."""
        return (*(finding.line for finding in self.findings), *self.skipped)

    def in_time(self, calls: Calls) -> InTime:
        """Return ``calls``, which come to an end where only the evidence's time is left."""
        kept_s = EVIDENCE_CALLS * self.call_s
        return InTime(calls, self.deadline, kept_s=kept_s, call_s=self.call_s)

    def found(self, name: str) -> Finding | None:
        """Return the finding ``name``, or None where there is none."""
        return next((finding for finding in self.findings if finding.name == name), None)


def dense_seconds(m: int, n: int, call_s: float) -> tuple[float, float]:
    """Return what min(m, n) passes take at least and at most, seconds."""
    whole = min(m, n) * call_s
    return PASS_CALLS[0] * whole, PASS_CALLS[1] * whole


def examine(
    subject: Subject,
    backend: str,
    *,
    time_limit_s: float | None = None,
    part: float = 1.0,
    budget_s: float = BUDGET_S,
) -> Examination:
    """Call the function of ``subject`` some thirty times, or four where it is slow.

    Parameters
    ----------
    backend
        The library that computes it.
    time_limit_s
        What the whole pick may take: a function too slow for it is refused after a call or two.
        This and the evidence get a share of it.
    part
        Of that share, where other libraries look before or after this one.
    budget_s
        What looking closely may take, where that share leaves as much.

    Raises
    ------
    JacbenchError
        In one line: it raises, or returns no array of finite floats; it changes its input; it is
        random; it is too slow.
    """
    with warnings.catch_warnings():
        # what a library warns of, it says again where the cells are settled
        warnings.simplefilter("ignore")
        deadline = Deadline(time_limit_s, EXAMINING_SHARE * part)
        return _Examiner(subject, backend, deadline, budget_s).run()


class _Examiner:
    """An examination on its way."""

    def __init__(self, subject: Subject, backend: str, deadline: Deadline, budget_s: float) -> None:
        self.subject, self.backend = subject, backend
        self.problem, self.who = subject.problem, subject.problem.name
        self.deadline, self.budget_s = deadline, budget_s
        self.findings: list[Finding] = []
        self.every: list[Calls] = []

    def run(self) -> Examination:
        """Begin with what one call shows; refuse as soon as something is wrong."""
        undifferentiable = self.problem.undifferentiable
        if undifferentiable is not None:
            raise JacbenchError(f"{self.who}: {undifferentiable}")
        self.calls = self._calls(self.subject.dtype)
        self.y, first_s = self._first_value()
        self._compare_plain()
        call_s = min(first_s, self.calls.last_s)
        self._refuse_slow(call_s)
        self.calls.begin_anew()
        self._find_elsewhere()
        # after another point: what a function keeps from call to call shows now
        self._refuse_random(self._value(self.problem.x))
        call_s = min(call_s, self.calls.last_s)
        precise, there = self._best_precision()
        left_s = max(0.0, self.deadline.left() - EVIDENCE_CALLS * call_s)
        budget_s = min(self.budget_s, left_s)
        seen = smoothness.look(self.problem, precise, there, call_s=call_s, budget_s=budget_s)
        if self.dense_s(call_s)[0] > self.deadline.limit_s:
            self._tell("slow", self._slow(call_s))
        told = f"not looked for: {', '.join(seen.missed)}: {self.deadline.why(call_s)}"
        return Examination(
            problem=seen.problem,
            y_shape=self.y.shape,
            dtype=self.calls.dtype,
            precision=precise.dtype,
            lifted=precise.lifted,
            call_s=call_s,
            first_s=first_s,
            noise=seen.noise,
            given=self.problem.x,
            findings=(*self.findings, *seen.findings),
            skipped=(told,) if seen.missed else (),
            calls=sum(calls.count for calls in self.every),
            deadline=self.deadline,
        )

    def dense_s(self, call_s: float) -> tuple[float, float]:
        """Return what a dense Jacobian takes, seconds."""
        return dense_seconds(self.y.size, self.problem.n, call_s)

    # --- values ---

    def _calls(self, dtype: str, *, lifted: bool = False) -> Calls:
        device = self.subject.device
        calls = Calls(self.problem, self.backend, dtype=dtype, device=device, lifted=lifted)
        self.every.append(calls)
        return calls

    def _value(self, x: Tree) -> Array:
        y = self.calls(x)
        same_outputs(self.who, self.y.shape, y.shape)
        return y

    def _first_value(self) -> tuple[Array, float]:
        """Return y and the seconds that it took, in the dtype in which the function computes."""
        self.y = self.calls.watched(self.problem.x)
        first_s = self.calls.last_s
        if first_s > self.deadline.limit_s:
            self._refuse_slow(first_s)
        asked, given = self.calls.dtype, str(self.y.dtype)
        if given == asked:
            return self.y, first_s
        other = self._calls(given) if given in DTYPES else None
        y = other.watched(self.problem.x) if other is not None else self.y
        if other is None or str(y.dtype) != given:
            raise JacbenchError(
                f"{self.who}: its function returns {given} for an x of {asked}: return the dtype "
                "of x, so that no conversion is a part of the derivative"
            )
        self.calls = other
        self._tell(
            "dtype",
            f"y is {given} where x is {asked}, as the function holds or makes {given} values: it "
            f"is checked and timed for an x of {given}",
        )
        return y, first_s

    def _compare_plain(self) -> None:
        """Call where no derivative is wanted: tell of another value, refuse what is random."""
        plain = self.calls.plain(self.problem.x)
        off = _apart(plain, self.y)
        if off > matrix_error.tolerance(self.calls.dtype, self.subject.device):
            self._refuse_random(self._value(self.problem.x))
            self._tell("plain value", value_without_gradients(off))

    def _refuse_random(self, again: Array) -> None:
        difference = _apart(again, self.y)
        if difference > matrix_error.tolerance(self.calls.dtype, self.subject.device):
            raise JacbenchError(
                f"{self.who}: two calls at the same x differ by {difference:.2g} of ‖y‖, and what "
                "is random, or keeps something between calls, has no Jacobian: pass the random "
                "numbers in, fix the seed within the function, or put the model in eval mode"
            )

    def _find_elsewhere(self) -> None:
        """Make sure that there is a second point at which the function has a value."""
        x, other = self.problem.x, self.problem.elsewhere
        reason = ""
        for factor, point in nearby.nearer(x, other):
            try:
                self._value(point)
            except JacbenchError as exc:
                reason = reason or one_line(str(exc).removeprefix(f"{self.who}: "), 150)
                continue
            if factor > 1:
                self.problem = dataclasses.replace(self.problem, elsewhere=point)
                self._tell(
                    "second point",
                    f"at a second point, each entry a tenth of itself away, {reason}: one "
                    f"{factor} times nearer is taken",
                )
            return
        raise JacbenchError(
            f"{self.who}: at every second point tried near x {reason}: methods are checked at two: "
            "give an x with room around it, or a jacbench.Problem with elsewhere="
        )

    def _best_precision(self) -> tuple[Calls, Array]:
        """Return the calls in the best precision that the function has, and y there."""
        if self.calls.dtype == "float64" or not self.subject.evaluates_float64:
            return self.calls, self.y  # the latter is told in the subject's notes
        lifts, reasons = self.calls.backend.lifting() is not None, list[str]()
        for lifted in (False, True) if lifts else (False,):
            double = self._calls("float64", lifted=lifted)
            reason = self._no_match(double)
            if reason is None:
                return double, double(self.problem.x)
            reasons.append(reason)
        self._tell(
            "float32",
            f"it cannot be held against float64 ({reasons[0]}): what is right is settled in "
            "float32, by methods that agree within its rounding: a weaker check",
        )
        return self.calls, self.y

    def _no_match(self, calls: Calls) -> str | None:
        """Return why values computed in float64 are not this function's, or None where they are."""
        try:
            double = calls(rounded(self.problem.x, "float32"))
        except JacbenchError as exc:
            cause = exc.__cause__ or exc
            return f"there it raises {type(cause).__name__}: {one_line(cause, 80)}"
        if str(double.dtype) != "float64" or double.shape != self.y.shape:
            return f"there it returns {double.dtype} of shape {double.shape}"
        off = _apart(self.y, double)
        limit = matrix_error.tolerance("float32", self.subject.device)
        return None if off <= limit else f"there ‖y‖ is {off:.1g} of itself away"

    # --- slow ---

    def _refuse_slow(self, call_s: float) -> None:
        if call_s * LEAST_CALLS > self.deadline.limit_s:
            raise JacbenchError(f"{self.who}: {self._slow(call_s)}")

    def _slow(self, call_s: float) -> str:
        m, n = self.y.size, self.problem.n
        count, what = (m, "row") if m <= n else (n, "column")
        least, most = (factor * count for factor in PASS_CALLS)
        return (
            f"one call takes {format_seconds(call_s)}: a Jacobian of "
            f"{count} {what}{'s' * (count > 1)} needs about {least} to {most} of them, "
            f"{_span(*self.dense_s(call_s))}: allow more "
            "with --time-limit, or give a smaller x of the same kind"
        )

    def _tell(self, name: str, line: str) -> None:
        self.findings.append(Finding(name, line))


def _apart(one: Array, other: Array) -> float:
    """Return ‖one - other‖/‖other‖."""
    return matrix_error.compare(one.reshape(-1, 1), other.reshape(-1, 1)).error


def _span(least: float, most: float) -> str:
    units = ((1.0, "s"), (60.0, "min"), (3600.0, "h"))
    unit, name = next((u for u in units if most < 100 * u[0]), units[-1])
    return f"{_figure(least / unit)} to {_figure(most / unit)} {name}"


def _figure(value: float) -> str:
    """Return an estimate to two digits, or whole."""
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"
