"""Print how far each problem's reference is from what confirms it; exit with 1 where one is off.

Run ``python tests/reference_table.py``. A hand-written Jacobian is confirmed three times over by
means that know no derivative rule: the complex step, differences in 60 digits on a small instance,
and differences of fourth order along random directions. What has none says what its reference is,
and is confirmed twice. The errors are the larger of those at the problem's two points.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jacbench.measuring import threads

if __name__ == "__main__":
    threads.pin(1)  # before NumPy is imported

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from jacbench import problems
from jacbench.backend import Target, registry
from jacbench.checking.evidence.judgement import LIMIT as WITNESSES_AGREE
from jacbench.checking.reference import reference
from jacbench.core import tree
from jacbench.core.errors import JacbenchError
from jacbench.problems.counted_function import Calls
from jacbench.problems.problem import Problem
from tests import mp_namespace

COMPLEX_STEP, MPMATH, DIRECTIONS = "complex step", "mpmath", "directions"
WITNESS = "second witness"
LIMITS = {COMPLEX_STEP: 1e-14, MPMATH: 1e-15, DIRECTIONS: 1e-8, WITNESS: WITNESSES_AGREE}
"""What is allowed: some roundings of float64, and what differences of fourth order can do."""

SMALL = (3, 4)
"""Each size of a small instance, or its default where that is smaller; the first that can be."""

FEW = 64
"""Up to so many inputs every column is computed in 60 digits; beyond, random directions are."""


@dataclass(frozen=True)
class Confirmed:
    """A reference beside one thing that confirms it.

    Attributes
    ----------
    by
        One of :data:`LIMITS`.
    error
        The larger normwise error of those at the two points.
    limit
        What is allowed.
    """

    by: str
    error: float
    limit: float

    @property
    def off(self) -> bool:
        """Whether the error is more than is allowed; NaN is."""
        return not self.error <= self.limit


@dataclass(frozen=True)
class Row:
    """A problem, the kind of its reference, and what confirms it; or why it cannot be had here."""

    problem: str
    kind: str
    confirmed: tuple[Confirmed, ...] = ()
    absent: str = ""

    @property
    def off(self) -> list[str]:
        """One line for each confirmation that is off or missing."""
        told = [
            f"{self.problem}: {c.error:.1e} by {c.by}, and {c.limit:.0e} is allowed"
            for c in self.confirmed
            if c.off
        ]
        missing = (3 if self.kind == "analytic" else 2) - len(self.confirmed)
        if missing and not self.absent:
            told.append(f"{self.problem}: {missing} confirmations are missing")
        return told


def row(name: str, *, full: bool = True) -> Row:
    """Return the row of the catalogue's problem ``name``; on a small instance alone unless full."""
    try:
        small = small_instance(name)
        problem = problems.get(name) if full else small
        backend = home(problem)
    except JacbenchError as exc:  # data or a library that is not installed
        return Row(name, "absent", absent=str(exc))
    if problem.undifferentiable is not None:
        return Row(name, "none", absent=problem.undifferentiable)
    if problem.jacobian is not None:
        return Row(
            name,
            "analytic",
            (by_complex_step(problem), by_mpmath(small), by_directions(problem, backend)),
        )
    found = reference(problem, "float64", backend)
    other = by_mpmath(small) if problem.function is not None else by_witness(problem, backend)
    # a reference by differences is itself no better than they are
    confirmed = [
        replace(c, limit=max(c.limit, found.error))
        for c in (other, by_directions(problem, backend))
    ]
    return Row(name, found.kind, tuple(confirmed))


def small_instance(name: str) -> Problem:
    """Return ``shape/tall[m=3,n=3,width=3]`` and its like."""
    *first, last = (small_name(name, size) for size in SMALL)
    for asked in first:
        with contextlib.suppress(JacbenchError):  # a width that the heads do not divide
            return problems.get(asked)
    return problems.get(last)


def small_name(name: str, size: int) -> str:
    """Return the name of the instance whose sizes are ``size``, or the default if smaller."""
    parameters = problems.entry(name).parameters.items()
    asked = ",".join(f"{key}={min(default, size)}" for key, default in parameters)
    return f"{name}[{asked}]" if asked else name


def home(problem: Problem) -> str:
    """Return the backend that evaluates the reference: NumPy, or an installed native one."""
    if problem.function is not None:
        return "numpy"
    for name in problem.native:
        if registry.descriptors()[name].absent() is None:
            return name
    raise JacbenchError(registry.descriptors()[next(iter(problem.native))].absent() or "")


# --- what is confirmed ---


def points(problem: Problem, backend: str = "numpy") -> Iterator[tuple[Any, Any]]:
    """Yield both points, each with the reference Jacobian there.

    One written by hand is asked itself: what is to be confirmed here is not confirmed before.
    """
    if problem.jacobian is not None:
        for x in (problem.x, problem.elsewhere):
            yield x, problem.jacobian(x, *problem.constants)
        return
    found = reference(problem, "float64", backend)
    for point in (found.here, found.elsewhere):
        yield point.x, point.jacobian


def distance(found: Any, expected: Any) -> float:
    """Return the normwise error."""
    return float(np.linalg.norm(found - expected) / (np.linalg.norm(expected) or 1.0))


# --- by what ---


def by_complex_step(problem: Problem) -> Confirmed:
    """Hold the whole matrix against the complex step, which is right to rounding."""
    function = problem.value_alone(problem.neutral(registry.load("numpy").xp))
    errors = [
        distance(J, computed("numpy.complex-step", function, x, problem.constants))
        for x, J in points(problem)
    ]
    return Confirmed(COMPLEX_STEP, max(errors), LIMITS[COMPLEX_STEP])


def computed(method: str, function: Callable[..., Any], x: Any, constants: Any) -> Any:
    """Return the (m, n) matrix as ``method`` gives it, placed on the CPU in float64."""
    backend, chosen = registry.load(registry.descriptor_of(method).name), registry.method(method)

    def put(leaf: Any) -> Any:
        return backend.put(leaf, "cpu", "float64")

    placed = tree.map_leaves(put, x)
    others = tuple(tree.map_leaves(put, constant) for constant in constants)
    target = Target(
        function=function,
        x=placed,
        constants=others,
        y_shape=tuple(function(placed, *others).shape),
        device="cpu",
        dtype="float64",
    )
    native = tree.leaves(chosen.prepare(target).call(placed))
    arrays = [backend.to_numpy(array) for array in native]
    m = int(np.prod(target.y_shape, dtype=int))
    return chosen.layout(target).matrix(arrays, m)


def by_mpmath(problem: Problem) -> Confirmed:
    """Hold it against 60 digits: every column, or random directions where they are many."""
    errors = []
    for x, J in points(problem):
        if problem.n <= FEW:
            exact = mp_namespace.jacobian(problem, x, problem.constants)
            errors.append(mp_namespace.distance(J, exact))
            continue
        function = mp_namespace.Function(problem, x, problem.constants)
        for v in directions(problem.n):
            # by 60 digits too, so that J v is rounded no further than J is
            product = mp_namespace.exact(J) @ mp_namespace.exact(v)
            expected = function.along(unflat(v, x))
            scale = np.linalg.norm(J) / np.sqrt(problem.n)
            difference = np.linalg.norm((product - expected).astype(float))
            errors.append(float(difference / (scale or 1.0)))
    return Confirmed(MPMATH, max(errors), LIMITS[MPMATH])


def by_directions(problem: Problem, backend: str) -> Confirmed:
    """Hold J v against differences of fourth order: (8 d(h) - d(2h)) / 12h, d(h) = f(+h) - f(-h).

    The step is short of the nearest kink. Reference: Abramowitz and Stegun, Handbook of
    Mathematical Functions (1964), formula 25.3.6.
    """
    errors = []
    for x, J in points(problem, backend):
        function = flat_function(problem, backend, x)
        for v in directions(problem.n):
            h = 1e-4
            if problem.kink_distance is not None:
                h = min(h, problem.kink_distance / (2 * np.abs(v).sum()))
            near, far = (
                function(moved(x, v, step)) - function(moved(x, v, -step)) for step in (h, 2 * h)
            )
            along = (8 * near - far) / (12 * h)
            # of ‖J v‖ what is to be expected: v itself may lie where J v nearly vanishes
            scale = np.linalg.norm(J) / np.sqrt(problem.n)
            errors.append(float(np.linalg.norm(J @ v - along) / (scale or 1.0)))
    return Confirmed(DIRECTIONS, max(errors), LIMITS[DIRECTIONS])


def by_witness(problem: Problem, backend: str) -> Confirmed:
    """Hold the reference against the last of the backend's witnesses that can do the function.

    What they share is the function alone: one is in reverse, the other in forward mode.
    """
    function = problem.value_alone(problem.bound(backend, registry.load(backend).xp))
    errors = []
    for x, J in points(problem, backend):
        for witness in reversed(registry.load(backend).witnesses):
            try:
                found = computed(witness, function, x, problem.constants)
            except Exception:  # noqa: BLE001, S112 - that mode cannot do the function
                continue
            errors.append(distance(found, J))
            break
    return Confirmed(WITNESS, max(errors, default=np.nan), LIMITS[WITNESS])


def directions(n: int) -> list[Any]:
    """Return three seeded directions of length 1."""
    found = np.random.default_rng(20).standard_normal((3, n))
    return list(found / np.linalg.norm(found, axis=1, keepdims=True))


def flat_function(problem: Problem, backend: str, x: Any) -> Callable[[Any], Any]:
    """Return x -> y, flat, in float64; what the function cuts is held at what it is at ``x``."""
    if problem.function is None:
        calls = Calls(problem, backend)
        return lambda x: calls.value(x, problem.constants).reshape(-1)
    cuts = mp_namespace.Cuts()
    xp = SimpleNamespace(**{**vars(registry.load("numpy").xp), "stop_gradient": cuts})
    value = problem.value_alone(problem.neutral(xp))

    def function(x: Any) -> Any:
        y = np.asarray(value(x, *problem.constants)).reshape(-1)
        cuts.rewind()
        return y

    function(x)
    return function


def unflat(vector: Any, like: Any) -> Any:
    """Return the pieces of ``vector`` as a tree like ``like``."""
    leaves = tree.leaves(like)
    pieces = np.split(vector, np.cumsum([leaf.size for leaf in leaves])[:-1])
    return tree.unflatten(
        like, [piece.reshape(leaf.shape) for piece, leaf in zip(pieces, leaves, strict=True)]
    )


def moved(x: Any, direction: Any, by: float) -> Any:
    """Return x + by * direction."""
    pairs = zip(tree.leaves(x), tree.leaves(unflat(direction, x)), strict=True)
    return tree.unflatten(x, [leaf + by * piece for leaf, piece in pairs])


# --- the command ---


def main() -> int:
    """Print the table; return the exit status."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    progress = Console(stderr=True)
    table = Table("problem", "reference", *LIMITS, title="errors of the references")
    table.add_section()
    bad: list[str] = []
    for name in track(problems.names(), "confirming", console=progress):
        found = row(name)
        bad += found.off
        if found.absent:
            table.add_row(name, found.absent)
            continue
        by = {c.by: f"[red]{c.error:.1e}" if c.off else f"{c.error:.1e}" for c in found.confirmed}
        table.add_row(name, found.kind, *(by.get(column, "") for column in LIMITS))
    table.add_section()
    table.add_row("allowed", "", *(f"{limit:.0e}" for limit in LIMITS.values()))
    console.print(table)
    for line in bad:
        console.print(line, style="bold red", markup=False)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
