"""What the methods share that compute the blocks of all samples at once, in any library."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from jacbench.backend import Method, Native, Target, UnfitError, registry
from jacbench.core import layouts, tree
from jacbench.core.errors import JacbenchError
from jacbench.core.operators.batch_jacobian import SHARED
from jacbench.structure import samples
from jacbench.structure.guard import StructuredMethod

if TYPE_CHECKING:
    from jacbench.backend.method import ProblemFacts
    from jacbench.core.arrays import Array
    from jacbench.core.layouts import Layout
    from jacbench.core.pattern import Pattern
    from jacbench.core.tree import Tree

WITHOUT_SAMPLES = "it needs an axis that runs over samples, and in_axes names none"
SHARED_INPUTS = "the samples share x: no column of the Jacobian belongs to one of them"


class SumTrickMethod(Method):
    """A ``batch_jacobian`` that pulls back ones for all samples: each needs inputs of its own."""

    def unsupported(
        self, problem: ProblemFacts | None, operator: str, device: str, dtype: str
    ) -> str | None:
        """Decline where the samples share x: their gradients would come out added up."""
        reason = super().unsupported(problem, operator, device, dtype)
        if reason is None and problem is not None and _first(problem.in_axes) is None:
            return SHARED
        return reason

    def batch_axis(self, target: Target) -> int:
        """Return the axis of x over samples; a native function is first asked for it here."""
        axis = _first(target.in_axes)
        if axis is None:
            raise JacbenchError(f"{self.info.name}: {SHARED}")
        return axis


@dataclass(frozen=True)
class Apart:
    """Samples that do not see each other.

    Attributes
    ----------
    axis
        The axis of every leaf of x that runs over them.
    everywhere
        True where that follows from the program text.
    notes
        What it rests on, for the results file.
    """

    axis: int
    everywhere: bool
    notes: dict[str, str | int | float]


class PerSampleMethod(StructuredMethod):
    """The dense (m, n) Jacobian: its diagonal blocks for all samples at once, zeros elsewhere."""

    def layout(self, target: Target) -> Layout:
        """Return (m, n)."""
        del target
        return layouts.MATRIX

    def unsupported(
        self, problem: ProblemFacts | None, operator: str, device: str, dtype: str
    ) -> str | None:
        """Decline a problem without samples, and one whose samples share x."""
        reason = super().unsupported(problem, operator, device, dtype)
        if reason is not None or problem is None:
            return reason
        if problem.in_axes is None:
            return WITHOUT_SAMPLES
        return SHARED_INPUTS if problem.in_axes[0] is None else None

    def evaluated(self, target: Target) -> Callable[[Native], Native]:
        """Return the function of x alone, as the samples are moved through it."""
        return lambda x: target.function(x, *target.constants)

    def samples(self, target: Target) -> Apart:
        """Return the axis of x over samples, made sure of: by moving some at x and elsewhere.

        Where nothing is known of a native function, the axis is looked for.

        Raises
        ------
        UnfitError
            Where there is none, or where samples see each other.
        """
        if target.in_axes and target.in_axes[0] is None:
            raise UnfitError(SHARED_INPUTS)
        backend = registry.load(registry.descriptor_of(self.info.name).name)
        function = self.evaluated(target)

        def value(x: Tree) -> Array:
            def put(leaf: Array) -> Native:
                return backend.put(np.asarray(leaf), target.device, target.dtype)

            return np.asarray(backend.to_numpy(function(tree.map_leaves(put, x))))

        axes = [axis for axis in target.in_axes[:1] if axis is not None] or None
        natives = [x for x in (target.x, target.elsewhere) if x is not None]
        points = [tree.map_leaves(backend.to_numpy, x) for x in natives]
        found = samples.find(value, points, axes=axes, dtype=target.dtype)
        if found.axis is None:
            raise UnfitError(f"no Jacobian per sample: {found.reason}")
        notes: dict[str, str | int | float] = {"samples": found.count}
        with contextlib.suppress(UnfitError):
            known = self.traced(target)
            if samples.find(value, points[:1], axes=[found.axis], pattern=known).axis is not None:
                return Apart(found.axis, everywhere=True, notes={**notes, "pattern": "program"})
        if found.caveat is not None:
            notes["caveat"] = found.caveat
        return Apart(found.axis, everywhere=False, notes=notes)

    def traced(self, target: Target) -> Pattern:
        """Return where J may be other than zero for every x, from the program text."""
        raise UnfitError(f"of a {type(target.x).__name__} no program is recorded")


def _first(in_axes: tuple[int | None, ...] | None) -> int | None:
    return in_axes[0] if in_axes else None
