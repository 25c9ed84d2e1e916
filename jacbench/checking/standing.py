"""Which Jacobian stands as what is right: by hand, by the complex step, by consensus, by values.

Whatever is claimed is held against differences, which outrank it wherever they can tell. Where they
cannot, independent methods that agree stand, and one line says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jacbench.backend import graph_cut
from jacbench.checking import matrix_error
from jacbench.checking.evidence import line_probes, whole_differences
from jacbench.checking.evidence.claims import GOOD, TELLS, Confirmation
from jacbench.checking.evidence.differences import Differences, directions
from jacbench.checking.evidence.ground import Ground
from jacbench.checking.evidence.judgement import LIMIT, judge
from jacbench.checking.evidence.modes import Witnesses
from jacbench.core.arrays import Array
from jacbench.core.errors import JacbenchError, WrongJacobianError
from jacbench.problems.counted_function import Calls

NOISY = 100
"""Sizes of the noise of y within which methods agree on a function that is noisy."""
ROUNDED = 1e-8
"""Normwise difference of two ways that rounding may explain, where a function is ill conditioned:
the one that is nearer to differences is then no more right than they are."""
CHANGED = 1e-10
"""Share of ‖y‖ by which two calls at one x differ where the function is not one of x alone."""
AGAIN = 8
"""Calls at one x at most that tell such a function."""
MARGIN = 10
"""How many times its estimated error a Jacobian by differences may be off."""
COMPLEX_STEP = "numpy.complex-step"


@dataclass(frozen=True)
class Standing:
    """The Jacobian at each point that answers are held against.

    Attributes
    ----------
    kind
        ``analytic``, ``complex-step``, ``consensus`` or ``central-difference``.
    error
        A bound on its own normwise error, beyond rounding.
    jacobians
        (m, n), float64.
    doubt
        One line where differences cannot confirm it; empty where they do.
    """

    kind: str
    error: float
    jacobians: list[Array]
    doubt: str = ""


class Entries:
    """Every entry of the Jacobian at both points, by each way there is, and which of them stands.

    Parameters
    ----------
    ground
        The function at both points.
    """

    def __init__(self, ground: Ground) -> None:
        self.ground, self.problem = ground, ground.problem
        self.m = ground.y[0].size

    def standing(self) -> Standing:
        """Return what stands.

        Raises
        ------
        WrongJacobianError
            Where the Jacobian written by hand is the odd one out.
        JacbenchError
            Where what is right cannot be told.
        """
        problem = self.problem
        if problem.jacobian is not None:
            return self._by_hand()
        if problem.stops_gradient:
            raise problem.mistake(
                "it stops gradients, which no difference quotient sees: give its Jacobian as "
                "jacobian="
            )
        ways = self._ways()
        if ways:
            return self._judged(ways)
        if problem.function is None:
            return self._by_differences("no method of its library gives a finite Jacobian")
        return self._by_differences("its function takes no complex numbers")

    # --- by hand ---

    def _by_hand(self) -> Standing:
        problem = self.problem
        assert problem.jacobian is not None  # noqa: S101 - just asked
        found = [
            matrix(problem, problem.jacobian(x, *problem.constants), self.m)
            for x in self.ground.points
        ]
        if not problem.stops_gradient and self._said(found).denied:
            raise self._odd_one_out(found)
        return Standing("analytic", 0.0, found)

    def _odd_one_out(self, claimed: list[Array]) -> WrongJacobianError:
        """Return the line that says where the hand-written Jacobian is wrong, and who says so."""
        around = [self.ground.differences(at) for at in range(2)]
        told = [whole_differences.confirm(d, J) for d, J in zip(around, claimed, strict=True)]
        at = next((i for i, one in enumerate(told) if one.denied), 0)
        ways, who = self._ways(), []
        if ways:
            said, apart, limit = self._compared(ways)
            believed = judge(said, agreement=apart, limit=limit).believed
            who = [] if _undecided(believed, apart, limit) else [*believed]
        right = ways[who[0]][at] if who else whole_differences.jacobian(around[at])[0]
        names = "complex steps" if who == [COMPLEX_STEP] else " and ".join(who)
        off = np.abs(claimed[at] - right)
        row, column = (int(i) for i in np.unravel_index(int(np.argmax(off)), off.shape))
        size = float(np.linalg.norm(right)) or 1.0
        agree = f"with which {names} agree" if who else "which no method contradicts"
        return WrongJacobianError(
            f"problem {self.problem.name!r}: its own jacobian= is the odd one out: it is "
            f"{float(np.linalg.norm(claimed[at] - right)) / size:.2g} of ‖J‖ away from differences "
            f"of its function's values, {agree}; worst at row {row}, column {column}: "
            f"{float(claimed[at][row, column])!r}, and {float(right[row, column])!r} is right: "
            "mend it, or leave it out"
        )

    # --- by methods ---

    def _ways(self) -> dict[str, list[Array]]:
        """Return what the complex step gives at each point, or each mode of the one library."""
        calls = self.ground.calls
        names = calls.backend.witnesses
        if self.problem.function is not None:
            names = [COMPLEX_STEP]
            calls = Calls(self.problem, "numpy")
        return Witnesses(calls, self.ground.y[0].shape).whole(names, self.ground.points)

    def _compared(
        self, ways: Mapping[str, list[Array]]
    ) -> tuple[dict[str, Confirmation], float | None, float]:
        """Return what differences say of each way, how far two are apart, and how far they may be.

        Of two that are the same the first is asked, for both.
        """
        first, *others = ways.values()
        said = self._said(first)
        if not others:
            return dict.fromkeys(ways, said), None, LIMIT
        apart = max(map(_apart, first, others[0]))
        limit = self._agree_within(apart)
        if apart <= limit:
            return dict.fromkeys(ways, said), apart, limit
        return dict(zip(ways, (said, self._said(others[0])), strict=True)), apart, limit

    def _agree_within(self, apart: float) -> float:
        """Return up to which two ways agree; more where the function itself is noisy."""
        if apart <= LIMIT:
            return LIMIT
        noise = max(_relative_noise(self.ground.differences(at)) for at in range(2))
        if noise <= self.ground.eps ** (2 / 3):
            return LIMIT
        return min(GOOD, NOISY * noise)

    def _judged(self, ways: Mapping[str, list[Array]]) -> Standing:
        said, apart, limit = self._compared(ways)
        who = " and ".join(ways)
        judgement = judge(said, agreement=apart, limit=limit, who=who)
        believed = judgement.believed
        if apart is not None and _undecided(believed, apart, limit):
            made = self._by_differences(f"{who} differ by {apart:.1g}")
            return self._unlike(made, ways, said)
        if not believed:
            why = f"differences deny what {self._named(who)} give{'' if len(ways) > 1 else 's'}"
            made = self._unlike(self._by_differences(why), ways, said, why)
            return replace(made, doubt=self._cut(self._named(who)))
        error = judgement.error(apart, LIMIT, limit if limit > LIMIT else 0.0)
        if error:
            error = min(GOOD, max(error, 0.3 * limit))
        kind = "complex-step" if COMPLEX_STEP in ways else "consensus"
        doubt = self._doubt(said[believed[0]], believed) if judgement.doubt else ""
        return Standing(kind, error, ways[believed[0]], doubt)

    def _unlike(
        self,
        made: Standing,
        ways: Mapping[str, list[Array]],
        said: Mapping[str, Confirmation],
        why: str = "",
    ) -> Standing:
        """Return ``made``; raise where what was denied would agree with it, as a whole."""
        limit = max(made.error, matrix_error.tolerance("float64", "cpu"))
        for name, jacobians in ways.items():
            if said[name].denied and all(
                matrix_error.compare(J, R, floor=matrix_error.NORMWISE).within(limit)
                for J, R in zip(jacobians, made.jacobians, strict=True)
            ):
                why = why or f"differences deny what {name} gives"
                raise self._cannot_be_told(f"{why} in rows that are small beside others")
        return made

    def _doubt(self, said: Confirmation, believed: Sequence[str]) -> str:
        """Return the line on what differences cannot confirm; refuse one way that stands alone."""
        why = "at a kink" if said.kink else f"good to {said.resolution:.0e} here"
        who, several = self._named(" and ".join(believed)), len(believed) > 1
        if not several and not said.kink and said.resolution > TELLS:
            raise self._cannot_be_told(
                f"{who} alone says so, and differences of its values are {why}"
            )
        agree = f"{who} agree" if several else f"{who} alone says so"
        return f"differences cannot confirm the reference, {why}: {agree}"

    def _named(self, who: str) -> str:
        return "the complex step" if who == COMPLEX_STEP else who

    def _cut(self, who: str) -> str:
        """Return where the graph is cut of what ``who`` follow; empty where nothing is seen."""
        where = graph_cut.told(self.ground.calls.cuts(self.ground.points[0]))
        if not where:
            return ""
        return (
            f"the graph from x to y is cut in part, by {where}, which {who} follow and differences "
            "do not see: if that is meant, say stops_gradient=True and give jacobian="
        )

    # --- by values ---

    def _said(self, found: Sequence[Array]) -> Confirmation:
        """Return what differences say of the Jacobian at both points: branches may differ."""
        told = Confirmation(0.0, "confirms", 0.0)
        for at, jacobian in enumerate(found):
            around = self.ground.differences(at)
            told = told.worse(whole_differences.confirm(around, jacobian, self.problem.seed))
            if told.denied:
                break
        return told

    def _by_differences(self, why: str) -> Standing:
        made = [whole_differences.jacobian(self.ground.differences(at)) for at in range(2)]
        error = max(_share(MARGIN * off, jacobian) for jacobian, off in made)
        if not error <= GOOD:
            raise self._cannot_be_told(
                f"{why}, and differences of its values are good to {error:.0e}"
            )
        rounding = MARGIN * float(np.finfo(np.float64).eps)
        return Standing("central-difference", max(error, rounding), [one for one, _ in made])

    def _cannot_be_told(self, why: str) -> JacbenchError:
        """Return the line for what nothing can tell, or that the function is not one of x alone."""
        first = self.ground.differences(0)
        apart = 0.0
        for _ in range(AGAIN):  # a dropout of few outputs may fall the same way once
            again = first.at(np.zeros(self.problem.n), 0.0)
            apart = max(apart, _share(again - first.y, first.y))
            if apart > CHANGED:
                break
        if apart > CHANGED:
            return self.problem.mistake(
                f"a later call of its function at the same x gives another value ({apart:.1g} of "
                "‖y‖ away): what is random, or keeps something between calls as a batch norm or a "
                "spectral norm in train mode does, has no Jacobian: fix the random numbers, or put "
                "the model in eval mode"
            )
        return self.problem.mistake(
            f"what is right cannot be told: {why}: give its Jacobian as jacobian="
        )


def _undecided(believed: Sequence[str], apart: float | None, limit: float) -> bool:
    """Say whether two ways differ and none of them is better known than differences are."""
    if apart is None or apart <= limit:
        return False
    return len(believed) != 1 or apart <= ROUNDED


def _apart(one: Array, other: Array) -> float:
    if one.shape != other.shape:
        return math.inf
    return matrix_error.compare(other, one).error


def _relative_noise(differences: Differences) -> float:
    """Return how much neighbouring values scatter, relative to ‖y‖."""
    along = directions(differences.x, 0, 1)[:, 0]
    try:
        return line_probes.noise(lambda t: differences.at(along, t), differences.dtype)
    except JacbenchError:
        return 0.0


def _share(off: Array, jacobian: Array) -> float:
    size = float(np.linalg.norm(jacobian)) or 1.0
    found = float(np.linalg.norm(off)) / size
    return found if math.isfinite(found) else math.inf


def matrix(problem: Any, jacobian: Any, m: int) -> Array:
    """Return a Jacobian as a float64 matrix, or raise the line that says what is wrong with it."""
    found = np.asarray(jacobian)
    if found.shape != (m, problem.n):
        raise problem.mistake(
            f"its reference Jacobian has shape {found.shape}, not ({m}, {problem.n}): return one "
            "row per output and one column per input, in C order"
        )
    if not np.isfinite(found).all():
        raise problem.mistake(
            "its reference Jacobian is not finite: choose a point where the function is "
            "differentiable"
        )
    return found
