"""A function, a point, and what is claimed of the Jacobian there."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from jacbench.backend import registry
from jacbench.core import tree
from jacbench.core.tree import Tree
from jacbench.problems.problem import Problem

FAMILIES = (
    *("small", "tall", "wide", "square", "per sample", "banded", "stencil", "bottleneck"),
    *("bottleneck with residual", "linear", "affine and nonlinear", "deep chain", "loop", "fft"),
    *("solve", "scatter", "reductions", "attention", "convolution", "ode", "kinematics", "float32"),
)
"""What a function is an example of. The tests say what each of them means, and check it."""


@dataclass(frozen=True)
class Native:
    """A function of one library's arrays.

    Attributes
    ----------
    library
        The backend's name.
    function
        ``f(x) -> y``.
    x
        The point: a NumPy array or a tree of them, in the dtype in which the function is meant.
    """

    library: str
    function: Callable[[Any], Any]
    x: Tree


@dataclass(frozen=True, kw_only=True)
class Case:
    """One function of the regret test.

    Attributes
    ----------
    name
        ``family/short-name``, with dashes for blanks.
    subject
        A :class:`Problem` over any namespace, or a native function with its point.
    family
        One of :data:`FAMILIES`.
    source
        A paper, a book, or that it was made for this.
    facts
        What the family leaves open: ``bandwidth``, ``k``, ``in_axis``, ...
    """

    name: str
    subject: Problem | Native
    family: str
    source: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def library(self) -> str | None:
        """The library that the function is written for; None: any."""
        return self.subject.library if isinstance(self.subject, Native) else None

    @property
    def dtype(self) -> str:
        """The dtype of the point: ``float32`` where the function cannot be had in float64."""
        return str(tree.first(self.subject.x).dtype)

    def problem(self) -> Problem:
        """Return the problem with what is known of its samples, for every method to be tried."""
        subject, axis = self.subject, self.facts.get("in_axis")
        if isinstance(subject, Problem):
            shared = (None,) * len(subject.constants)
            return subject if axis is None else replace(subject, in_axes=(axis, *shared))
        return Problem(
            name=self.name,
            native={subject.library: subject.function},
            x=subject.x,
            in_axes=None if axis is None else (axis,),
            source=self.source,
        )

    def asked(self) -> tuple[Any, Tree]:
        """Return what a user would hand over, f and x: nothing is said of its structure.

        A problem has its point, and x is None.
        """
        subject = self.subject
        if isinstance(subject, Problem):
            return subject, None
        put = registry.load(subject.library).put
        return subject.function, tree.map_leaves(lambda a: put(a, "cpu", str(a.dtype)), subject.x)


def neutral(
    name: str,
    family: str,
    source: str,
    function: Callable[..., Any],
    x: Tree,
    *constants: Tree,
    **facts: Any,
) -> Case:
    """Return the case of ``function(xp, x, *constants)``."""
    problem = Problem(name=name, function=function, x=x, constants=constants, source=source)
    return Case(name=name, subject=problem, family=family, source=source, facts=facts)


def native(
    library: str,
    name: str,
    family: str,
    source: str,
    function: Callable[[Any], Any],
    x: Tree,
    **facts: Any,
) -> Case:
    """Return the case of ``function(x)`` over the arrays of ``library``; x is NumPy's."""
    subject = Native(library, function, x)
    return Case(name=name, subject=subject, family=family, source=source, facts=facts)


def draw(seed: int, *shape: int, scale: float = 1.0) -> Any:
    """Return seeded normal numbers of that shape."""
    return scale * np.random.default_rng(seed).standard_normal(shape)


def weights(seed: int, *widths: int) -> list[Any]:
    """Return seeded matrices (fan_in, fan_out) of unit output scale between the widths."""
    rng = np.random.default_rng(seed)
    return [
        rng.standard_normal((fan_in, fan_out)) / np.sqrt(fan_in)
        for fan_in, fan_out in itertools.pairwise(widths)
    ]
