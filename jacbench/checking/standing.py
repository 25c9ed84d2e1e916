"""Which Jacobian stands as what is right: by hand, by the complex step, by consensus, by values.

Whatever is claimed is held against differences, which outrank it wherever they can tell. Where they
cannot, independent methods that agree stand, and one line says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jacbench.backend import Target, graph_cut, registry
from jacbench.checking import consensus, line_probes, matrix_error, whole_differences
from jacbench.checking.claims import GOOD, Confirmation
from jacbench.checking.differences import Differences, directions
from jacbench.core import tree
from jacbench.core.arrays import Array
from jacbench.core.errors import JacbenchError, WrongJacobianError
from jacbench.core.tree import Tree
from jacbench.problems.evaluator import Evaluator

ALONE = 1e-2
"""What differences must be good to, if one method that they do not deny is to stand by itself."""
NOISY = 100
"""Sizes of the noise of y within which witnesses agree on a function that is noisy."""
CHANGED = 1e-10
"""Share of ‖y‖ by which two calls at one x differ where the function is not one of x alone."""
AGAIN = 8
"""Calls at one x at most that tell such a function."""
MARGIN = 10
"""How many times its estimated error a Jacobian by differences may be off."""


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


class Grounds:
    """A function at the points of its reference, and what its values say of a Jacobian.

    Parameters
    ----------
    evaluator
        The function.
    points, constants, values
        The points, the function's constants, and its value at each point.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        points: Sequence[Tree],
        constants: tuple[Tree, ...],
        values: Sequence[Array],
    ) -> None:
        self.evaluator, self.problem = evaluator, evaluator.problem
        self.points, self.constants = points, constants
        self.y_shape = values[0].shape
        self.differences = [
            Differences(
                lambda at: evaluator.value(at, constants),
                x,
                y,
                kink_distance=self.problem.kink_distance,
            )
            for x, y in zip(points, values, strict=True)
        ]

    def standing(self) -> Standing:
        """Return what stands.

        Raises
        ------
        WrongJacobianError
            Where the Jacobian written by hand is the odd one out.
        JacbenchError
            Where what is right cannot be told.
        """
        if self.problem.jacobian is not None:
            return self._by_hand()
        if self.problem.stops_gradient:
            raise self.problem.mistake(
                "it stops gradients, which no difference quotient sees: give its Jacobian as "
                "jacobian="
            )
        if self.problem.function is None:
            return self._by_consensus()
        found = self._complex_step()
        if found is None:
            return self._by_differences("its function takes no complex numbers")
        return self._unless_denied("complex-step", found, "the complex step")

    # --- by hand ---

    def _by_hand(self) -> Standing:
        jacobian = self.problem.jacobian
        assert jacobian is not None  # noqa: S101 - just asked
        found = [
            matrix(self.problem, jacobian(x, *self.constants), math.prod(self.y_shape))
            for x in self.points
        ]
        if not self.problem.stops_gradient:
            told = self._confirmed(found)
            if told.denied:
                raise self._odd_one_out(found)
        return Standing("analytic", 0.0, found)

    def _odd_one_out(self, claimed: list[Array]) -> WrongJacobianError:
        """Return the line that says where the hand-written Jacobian is wrong, and who says so."""
        others, who = self._others()
        told = [
            whole_differences.confirm(d, J) for d, J in zip(self.differences, claimed, strict=True)
        ]
        at = next((i for i, one in enumerate(told) if one.denied), 0)
        right = others[at] if others else whole_differences.jacobian(self.differences[at])[0]
        off = np.abs(claimed[at] - right)
        row, column = (int(i) for i in np.unravel_index(int(np.argmax(off)), off.shape))
        size = float(np.linalg.norm(right)) or 1.0
        agree = f"with which {who} agree" if others else "which no method contradicts"
        return WrongJacobianError(
            f"problem {self.problem.name!r}: its own jacobian= is the odd one out: it is "
            f"{float(np.linalg.norm(claimed[at] - right)) / size:.2g} of ‖J‖ away from differences "
            f"of its function's values, {agree}; worst at row {row}, column {column}: "
            f"{float(claimed[at][row, column])!r}, and {float(right[row, column])!r} is right: "
            "mend it, or leave it out"
        )

    def _others(self) -> tuple[list[Array], str]:
        """Return what is had without the hand-written Jacobian and is not denied, and by whom."""
        if self.problem.function is not None:
            found, who = self._complex_step(), "complex steps"
        else:
            answers = self._asked()
            agree = answers is not None and answers.apart <= self._agree_within(answers.apart)
            found = answers.jacobians if answers is not None and agree else None
            who = " and ".join(answers.names) if answers is not None else ""
        if found is None or self._confirmed(found).denied:
            return [], ""
        return found, who

    # --- by methods ---

    def _complex_step(self) -> list[Array] | None:
        problem = self.problem
        function = problem.value_alone(problem.neutral(registry.load("numpy").xp))
        try:
            found = [
                _numeric("numpy.complex-step", function, x, self.constants, self.y_shape)
                for x in self.points
            ]
        except Exception:  # noqa: BLE001 - a function that takes no complex numbers
            return None
        return found if all(np.isfinite(one).all() for one in found) else None

    def _asked(self) -> consensus.Consensus | None:
        return consensus.asked(self.evaluator, self.points, self.constants, self.y_shape)

    def _by_consensus(self) -> Standing:
        found = self._asked()
        if found is None:
            return self._by_differences("no method of its library gives a finite Jacobian")
        limit = self._agree_within(found.apart)
        who = " and ".join(found.names)
        if found.apart > limit:
            return self._by_differences(f"{who} differ by {found.apart:.1g}")
        error = 0.0
        if found.apart > consensus.LIMIT:
            error = min(GOOD, max(3 * found.apart, 0.3 * limit))
        return self._unless_denied(
            "consensus", found.jacobians, who, error, several=len(found.names) > 1
        )

    def _agree_within(self, apart: float) -> float:
        """Return up to which witnesses agree; more where the function itself is noisy."""
        if apart <= consensus.LIMIT:
            return consensus.LIMIT
        noise = max(_relative_noise(one) for one in self.differences)
        if noise <= float(np.finfo(np.float64).eps) ** (2 / 3):
            return consensus.LIMIT
        return min(GOOD, NOISY * noise)

    def _unless_denied(
        self,
        kind: str,
        found: list[Array],
        who: str,
        error: float = 0.0,
        *,
        several: bool = False,
    ) -> Standing:
        told = self._confirmed(found)
        if told.denied:
            why = f"differences deny what {who} give{'' if several else 's'}"
            made = self._by_differences(why)
            if _alike(found, made):
                raise self._cannot_be_told(f"{why} in rows that are small beside others")
            return replace(made, doubt=self._cut(who))
        if told.holds:
            return Standing(kind, error, found)
        why = "at a kink" if told.kink else f"good to {told.resolution:.0e} here"
        if not several and not told.kink and told.resolution > ALONE:
            raise self._cannot_be_told(
                f"{who} alone says so, and differences of its values are {why}"
            )
        said = f"{who} agree" if several else f"{who} alone says so"
        return Standing(
            kind, error, found, f"differences cannot confirm the reference, {why}: {said}"
        )

    def _cut(self, who: str) -> str:
        """Return where the graph is cut of what ``who`` follow; empty where nothing is seen."""
        backend, problem = self.evaluator.backend, self.problem

        def put(leaf: Array) -> Any:
            return backend.put(np.asarray(leaf), "cpu", "float64")

        x, *constants = (tree.map_leaves(put, one) for one in (self.points[0], *self.constants))
        function = problem.value_alone(problem.bound(self.evaluator.name, backend.xp))
        try:
            where = graph_cut.told(backend.cuts(function, x, *constants))
        except Exception:  # noqa: BLE001 - what cannot be traced shows nothing
            return ""
        if not where:
            return ""
        return (
            f"the graph from x to y is cut in part, by {where}, which {who} follow and differences "
            "do not see: if that is meant, say stops_gradient=True and give jacobian="
        )

    # --- by values ---

    def _confirmed(self, found: Sequence[Array]) -> Confirmation:
        """Return what differences say of the Jacobian at both points: branches may differ."""
        told = Confirmation(0.0, "confirms", 0.0)
        for differences, jacobian in zip(self.differences, found, strict=True):
            told = told.worse(whole_differences.confirm(differences, jacobian, self.problem.seed))
            if told.denied:
                break
        return told

    def _by_differences(self, why: str) -> Standing:
        made = [whole_differences.jacobian(one) for one in self.differences]
        error = max(_share(MARGIN * off, jacobian) for jacobian, off in made)
        if not error <= GOOD:
            raise self._cannot_be_told(
                f"{why}, and differences of its values are good to {error:.0e}"
            )
        rounding = MARGIN * float(np.finfo(np.float64).eps)
        return Standing("central-difference", max(error, rounding), [one for one, _ in made])

    def _cannot_be_told(self, why: str) -> JacbenchError:
        """Return the line for what nothing can tell, or that the function is not one of x alone."""
        first = self.differences[0]
        apart = 0.0
        for _ in range(AGAIN):  # a dropout of few outputs may fall the same way once
            again = self.evaluator.value(first.x, self.constants).reshape(-1)
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


def _relative_noise(differences: Differences) -> float:
    """Return how much neighbouring values scatter, relative to ‖y‖."""
    along = directions(differences.x, 0, 1)[:, 0]
    try:
        return line_probes.noise(lambda t: differences.at(along, t), differences.dtype)
    except JacbenchError:
        return 0.0


def _alike(denied: Sequence[Array], standing: Standing) -> bool:
    """Say whether what was denied would agree with what stands, as a whole."""
    limit = max(standing.error, matrix_error.tolerance("float64", "cpu"))
    return all(
        matrix_error.compare(J, R, floor=matrix_error.NORMWISE).within(limit)
        for J, R in zip(denied, standing.jacobians, strict=True)
    )


def _share(off: Array, jacobian: Array) -> float:
    size = float(np.linalg.norm(jacobian)) or 1.0
    found = float(np.linalg.norm(off)) / size
    return found if math.isfinite(found) else math.inf


def _numeric(
    name: str,
    function: Callable[..., Array],
    x: Tree,
    constants: tuple[Tree, ...],
    y_shape: tuple[int, ...],
) -> Array:
    target = Target(
        function=function,
        x=x,
        constants=constants,
        y_shape=y_shape,
        device="cpu",
        dtype="float64",
    )
    result: Array = registry.method(name).prepare(target).call(x)
    return result


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
