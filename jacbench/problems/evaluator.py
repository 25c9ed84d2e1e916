"""A problem's function on NumPy arrays, whichever library computes it: the reference's side."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jacbench.backend import Backend, registry
from jacbench.core import tree
from jacbench.core.arrays import Array
from jacbench.core.errors import JacbenchError
from jacbench.core.tree import Tree
from jacbench.problems.checked_value import evaluate
from jacbench.problems.fields import ProblemFields


def home(problem: ProblemFields, backend: str | None = None) -> str:
    """Return the backend that computes the reference for cells of ``backend``.

    NumPy where the function is written over ``xp``; else the library itself, in float64. Without
    one named, the first that the function is written for.
    """
    return "numpy" if problem.function is not None else backend or next(iter(problem.native))


@dataclass(frozen=True)
class Evaluator:
    """The function of ``problem`` in float64, evaluated by the backend ``name``.

    Its values are those that derivatives are of. It copies what it is given, so that a function
    that writes to its arguments spoils no point.
    """

    problem: ProblemFields
    name: str

    @property
    def backend(self) -> Backend:
        """The backend that evaluates."""
        return registry.load(self.name)

    def value(self, x: Tree, constants: tuple[Tree, ...], **tap: Any) -> Array:
        """Return y, checked to be an array of finite floats."""
        return self.value_and_aux(x, constants, **tap)[0]

    def value_and_aux(self, x: Tree, constants: tuple[Tree, ...], **tap: Any) -> tuple[Array, Tree]:
        """Return y and aux as NumPy arrays; aux is None where the problem has none."""
        backend, problem = self.backend, self.problem
        # over xp wherever it is written so: what a native form for NumPy computes is checked by it
        neutral = self.name == "numpy" and problem.function is not None
        bound = problem.neutral(backend.xp) if neutral else problem.bound(self.name, backend.xp)
        own = tree.map_leaves(self._put, x)
        others = [tree.map_leaves(self._put, constant) for constant in constants]
        aux: list[Any] = []
        before = self._numbers(own, others)

        def value() -> Any:
            returned = bound(own, *others, **tap)
            if not problem.has_aux:
                return returned
            if not (isinstance(returned, tuple) and len(returned) == 2):
                raise JacbenchError(
                    f"problem {problem.name!r}: has_aux is True and its function returned a "
                    f"{type(returned).__name__}: return (y, aux)"
                )
            aux.append(returned[1])
            return returned[0]

        with backend.as_differentiated() or contextlib.nullcontext():
            y = evaluate(f"problem {problem.name!r}", backend, value)
        for (what, was), (_, now) in zip(before, self._numbers(own, others), strict=True):
            if not np.array_equal(was, now, equal_nan=was.dtype.kind == "f"):
                raise JacbenchError(
                    f"problem {problem.name!r}: its function writes into its argument: {what} is "
                    "another one after a call: compute a new array, y = x - 1 in place of x -= 1, "
                    "or copy it first"
                )
        told = tree.map_leaves(self._to_numpy, aux[0]) if aux else None
        return y, told

    def __call__(self, x: Tree, *constants: Tree) -> Array:
        """Return y: the function that difference quotients take."""
        return self.value(x, constants)

    def _numbers(self, own: Tree, others: Sequence[Tree]) -> list[tuple[str, Array]]:
        """Return what the function is given, as NumPy arrays, each with its name."""
        named = [("x", own), *((f"constants[{i}]", c) for i, c in enumerate(others))]
        return [
            (f"{what}{name}", self._to_numpy(leaf))
            for what, argument in named
            for name, leaf in zip(tree.names(argument), tree.leaves(argument), strict=True)
        ]

    def _put(self, leaf: Array) -> Any:
        return self.backend.put(np.asarray(leaf), "cpu", "float64")

    def _to_numpy(self, leaf: Any) -> Array:
        return np.asarray(self.backend.to_numpy(leaf) if self.backend.is_array(leaf) else leaf)
