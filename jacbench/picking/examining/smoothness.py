"""A function around its point, from its values alone: noise, kinks, a constant derivative."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from jacbench.checking.evidence import line_probes
from jacbench.core.arrays import Array
from jacbench.core.errors import JacbenchError
from jacbench.core.nearby import between, flat, like, units
from jacbench.core.tree import Tree
from jacbench.problems.checked_value import same_outputs
from jacbench.problems.counted_function import Calls
from jacbench.problems.problem import Problem

DIRECTIONS = 2
"""Lines on which kinks are looked for: one that is met at x lies across nearly every line."""


@dataclass(frozen=True)
class Finding:
    """Something about a function that its user should know.

    Attributes
    ----------
    name
        ``dtype``, ``float32``, ``slow``, ``second point``, ``noise``, ``kink``, ``jump``,
        ``edge``, ``constant``, ``zero`` or ``linear``.
    line
        One line.
    """

    name: str
    line: str


@dataclass(frozen=True)
class Seen:
    """What looking closely has shown.

    Attributes
    ----------
    problem
        The problem, its x moved to where the function is smooth if it was not.
    noise
        How much neighbouring values scatter, relative to ‖y‖; at least the machine epsilon.
    findings
        What the user should know.
    missed
        What was not looked for, as it would have taken too long.
    """

    problem: Problem
    noise: float
    findings: tuple[Finding, ...]
    missed: tuple[str, ...]


def look(problem: Problem, calls: Calls, y: Array, *, call_s: float, budget_s: float) -> Seen:
    """Look for noise, kinks and constant derivatives around ``problem.x``.

    Parameters
    ----------
    calls
        The function in the best precision that it has.
    y
        Its value at x.
    call_s
        What a call takes: what does not fit into ``budget_s`` is left out.
    """
    return _Closely(problem, calls, y).look(call_s, budget_s)


class _Closely:
    """A function and the point that is looked at."""

    def __init__(self, problem: Problem, calls: Calls, y: Array) -> None:
        self.problem, self.calls = problem, calls
        self.shape = y.shape
        self.y = _flat(y)
        self.eps = float(np.finfo(calls.dtype).eps)
        self.noise = self.eps
        self.still = False
        self.ends = math.inf
        self.findings: list[Finding] = []

    def look(self, call_s: float, budget_s: float) -> Seen:
        """Take the steps that fit into the budget, in this order: kinks are told from noise."""
        plan: tuple[tuple[str, int, Callable[[], None]], ...] = (
            ("noise", line_probes.POINTS, self._look_for_noise),
            ("kinks", 4 * DIRECTIONS, self._look_for_kinks),
            ("linearity", 4, self._look_for_linearity),
        )
        missed = []
        for what, count, step in plan:
            if count * call_s > budget_s:
                missed.append(what)
                continue
            start = time.perf_counter()
            self.ends = start + budget_s
            step()
            budget_s -= time.perf_counter() - start
        return Seen(self.problem, self.noise, tuple(self.findings), tuple(missed))

    # --- lines ---

    def _direction(self, index: int) -> Array:
        rng = np.random.default_rng([self.problem.seed, 0xE4A, index])
        return units(self.problem.x) * rng.standard_normal(self.problem.n)

    def _line(self, x: Tree, direction: Array) -> line_probes.Line:
        start = flat(x)

        def value(t: float) -> Array:
            y = self.calls(like(start + t * direction, x))
            same_outputs(self.calls.who, self.shape, y.shape)
            return _flat(y)

        return value

    # --- noise ---

    def _look_for_noise(self) -> None:
        line = self._line(self.problem.x, self._direction(0))
        try:
            found = line_probes.noise(line, self.calls.dtype)
        except JacbenchError:  # the edge of where y is finite: told with the kinks
            return
        self.noise = max(self.eps, found)
        if found <= self.eps ** (2 / 3):
            return
        single = self.calls.dtype == "float64" and 1e-9 < found < 1e-6
        self._tell(
            "noise",
            f"noisy: neighbouring values scatter by {found:.1g} of ‖y‖, where rounding in "
            f"{self.calls.dtype} would do so by {self.eps:.0e}"
            + (", as if a part of it were computed in float32" if single else "")
            + ": what is differentiated is its formula, not its values",
        )

    # --- kinks ---

    def _look_for_kinks(self) -> None:
        found, self.still = self._sides(self.problem.x, self.y)
        if found.kind == "smooth":
            return
        moved = self._away()
        if moved is None:
            advice = "and so it is wherever else was tried: methods may rightly differ"
        else:
            point, self.y, self.still = moved
            self.problem = dataclasses.replace(self.problem, x=point)
            advice = "methods may rightly differ there, and are checked a little beside it"
        self._tell(found.kind, f"{self._told(found)}; {advice}")

    def _told(self, found: line_probes.Sides) -> str:
        place = f"y{[int(i) for i in np.unravel_index(found.index, self.shape)]}"
        if found.kind == "kink":
            return (
                f"a kink at x: {place} has slope {found.up:.3g} one way and {found.down:.3g} the "
                "other, however short the step (abs, max or relu do this at a tie)"
            )
        if found.kind == "jump":
            return (
                f"a jump at x: {place} has another value right beside x (round, floor, a "
                "comparison or argmax do this)"
            )
        return (
            "x lies at the edge of where y is finite: there is no value right beside it (a root "
            "or a log of 0 does this)"
        )

    def _sides(self, x: Tree, y: Array) -> tuple[line_probes.Sides, bool]:
        """Return the sides along the first line that is not smooth, and whether y stands still."""
        seen = [
            line_probes.sides(self._line(x, self._direction(i)), y, self.calls.dtype, self.noise)
            for i in range(DIRECTIONS)
        ]
        rough = [found for found in seen if found.kind != "smooth"]
        return (rough or seen)[0], not rough and all(found.still for found in seen)

    def _away(self) -> tuple[Tree, Array, bool] | None:
        """Return a point towards the second one where the function is smooth, or None.

        The nearest is tried in any case: without one there is nothing that can be checked.
        """
        shares = (1e-2, 0.1, 0.5)
        for share in shares:
            if share > shares[0] and time.perf_counter() > self.ends:
                break
            point = between(self.problem.x, self.problem.elsewhere, share)
            try:
                y = _flat(self.calls(point))
                found, still = self._sides(point, y)
            except JacbenchError:
                continue
            if found.kind == "smooth":
                return point, y, still
        return None

    # --- a constant derivative ---

    def _look_for_linearity(self) -> None:
        """Compare differences over long steps: those of an affine function depend on no point.

        Of a point that was moved away from a kink it would say nothing of x itself.
        """
        if any(finding.name in {"kink", "jump", "edge"} for finding in self.findings):
            return
        x = self.problem.x
        step, stride = flat(self.problem.elsewhere) - flat(x), self._direction(DIRECTIONS)
        try:
            stepped, half, strode, both = (
                self._line(x, move)(1.0) for move in (step, step / 2, stride, step + stride)
            )
        except JacbenchError:  # no value that far away
            return
        here = self.y
        change = max(_norm(stepped - here), _norm(strode - here))
        bent = max(_norm(half - (here + stepped) / 2), _norm((both - strode) - (stepped - here)))
        rounding = 100 * self.noise * max(map(_norm, (here, stepped, strode, both)))
        if change <= rounding:
            self._tell(
                "constant",
                "constant: y is the same at five points, to its rounding: its Jacobian is 0, or "
                "too small beside y to be seen in its values",
            )
        elif self.still and self._would_show(change):
            self._tell(
                "zero",
                "y stands still around x, though it moves far from it (a step function, or one "
                "that is dead or saturated here): its Jacobian is 0 at x",
            )
        elif bent <= min(rounding, 1e-3 * change):
            self._tell(
                "linear",
                "linear, as far as five points tell: equal steps change y equally, to "
                f"{max(bent / change, self.eps):.0e}: one Jacobian serves every x",
            )

    def _would_show(self, change: float) -> bool:
        """Say whether a slope like that far from x would be seen right beside it.

        Under a large offset it is not: y stands still there for being coarse.
        """
        return change * line_probes.steps(self.calls.dtype)[0] > line_probes.STILL * (
            self.noise * _norm(self.y)
        )

    def _tell(self, name: str, line: str) -> None:
        self.findings.append(Finding(name, line))


def _flat(y: Array) -> Array:
    return y.astype(np.float64).reshape(-1)


def _norm(values: Array) -> float:
    return float(np.linalg.norm(values))
