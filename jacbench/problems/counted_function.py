"""A user's function on NumPy arrays: called by one library, in one dtype, on one device."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from jacbench.backend import registry
from jacbench.backend.graph_cut import GraphCut
from jacbench.core import tree
from jacbench.core.arrays import Array
from jacbench.core.errors import JacbenchError
from jacbench.core.redaction import one_line
from jacbench.core.tree import Tree
from jacbench.problems import precision
from jacbench.problems.checked_value import evaluate
from jacbench.problems.problem import Problem


class Calls:
    """The function of ``problem`` as ``backend`` computes it, its constants placed once.

    The function is called as :meth:`jacbench.backend.Backend.staged` gives it, and has the values
    that its derivatives are of, see :meth:`jacbench.backend.Backend.as_differentiated`. With
    ``lifted`` what it holds in float32 is lifted to float64, see
    :meth:`jacbench.backend.Backend.lifting`.

    Attributes
    ----------
    function, constants
        Of that library, on the device, without aux.
    count
        How often it was called.
    last_s
        What the last call took, seconds, without placing x or copying y.
    """

    def __init__(
        self, problem: Problem, backend: str, *, dtype: str, device: str, lifted: bool = False
    ) -> None:
        self.who, self.name = problem.name, backend
        self.backend = registry.load(backend)
        self.dtype, self.device, self.lifted = dtype, device, lifted
        self.count = 0
        self.last_s = 0.0
        self.function = problem.value_alone(problem.bound(backend, self.backend.xp))
        self.constants = tuple(tree.map_leaves(self.put, c) for c in problem.constants)
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget what was compiled: a function that draws numbers draws them when it is traced."""
        self._call = self.backend.staged(self.function)

    def __call__(self, x: Tree) -> Array:
        """Return y in the dtype in which the function gave it, or raise the line that says why not.

        Raises
        ------
        JacbenchError
            What :func:`jacbench.problems.checked_value.evaluate` says of it: it raised, it
            returned no finite floats.
        """
        return self._called(tree.map_leaves(self.put, x))

    def plain(self, x: Tree) -> Array:
        """Return y as a call has it that wants no derivative."""
        return self._called(tree.map_leaves(self.put, x), plain=True)

    def watched(self, x: Tree) -> Array:
        """Return y; raise the line that says so where the call changed x or a constant."""
        own = tree.map_leaves(self.put, x)
        before = self._copies(own)
        y = self._called(own)
        for (what, was), (_, now) in zip(before, self._copies(own), strict=True):
            if not np.array_equal(was, now):
                raise JacbenchError(
                    f"{self.who}: its function changes its input: {what} is {_apart(now, was)} "
                    "after a call: compute a new array, y = x + 1 in place of x += 1"
                )
        return y

    def cuts(self, x: Tree) -> tuple[GraphCut, ...]:
        """Return what takes x out of differentiation on its way to y; empty where nothing does."""
        own = tree.map_leaves(self.put, x)
        try:
            with self.precisely():
                return self.backend.cuts(self.function, own, *self.constants)
        except Exception:  # noqa: BLE001 - what cannot be traced shows nothing
            return ()

    def untraceable(self, x: Tree) -> str | None:
        """Return why every derivative of the function is silently wrong, or None."""
        own = tree.map_leaves(self.put, x)
        with self.precisely():
            return self.backend.untraceable(self.function, own, *self.constants)

    def precisely(self) -> AbstractContextManager[None]:
        """Return a context in which this dtype is what the library computes in.

        Only float64 needs one. In it JAX makes float64 of what the function creates, which is not
        how a program in float32 runs.
        """
        if self.dtype != "float64":
            return nullcontext()
        return precision.exactly(self.backend, lifted=self.lifted)

    def put(self, leaf: Array) -> Any:
        """Return a NumPy array as one of the library's, in this dtype where it holds floats."""
        array = np.asarray(leaf)
        with self.precisely():
            placed = self.backend.put(array, self.device, self.dtype)
        if array.dtype.kind == "f":
            made = str(self.backend.to_numpy(placed).dtype)
            if made != self.dtype:
                raise JacbenchError(
                    f"{self.who}: its input is {self.dtype} and the library made it {made}: for "
                    "JAX run jax.config.update('jax_enable_x64', True) first"
                )
        return placed

    def _called(self, own: Any, *, plain: bool = False) -> Array:
        def value() -> Any:
            start = time.perf_counter()
            y = self._call(own, *self.constants)
            self.backend.synchronise(y)
            self.last_s = time.perf_counter() - start
            return y

        self.count += 1
        differentiated = None if plain else self.backend.as_differentiated()
        try:
            with self.precisely(), differentiated or nullcontext():
                return evaluate(self.who, self.backend, value)
        except TypeError as exc:  # torch.bfloat16 has no counterpart in NumPy
            raise JacbenchError(
                f"{self.who}: its function returned a dtype that NumPy lacks "
                f"({one_line(exc, 100)}): return float32 or float64"
            ) from exc

    def _copies(self, own: Any) -> list[tuple[str, Array]]:
        arguments = (own, *self.constants)
        named = ("x", *(f"constants[{i}]" for i in range(len(self.constants))))
        return [
            (f"{what}{name}", self.backend.to_numpy(leaf))
            for what, argument in zip(named, arguments, strict=True)
            for name, leaf in zip(tree.names(argument), tree.leaves(argument), strict=True)
        ]


def _apart(now: Array, was: Array) -> str:
    if now.shape != was.shape:
        return f"of shape {now.shape} and no longer {was.shape}"
    if now.dtype.kind != "f" or not np.isfinite(now).all():
        return "another one"
    size = float(np.linalg.norm(was.astype(np.float64))) or 1.0
    return f"{float(np.linalg.norm(now.astype(np.float64) - was)) / size:.2g} of its norm away"


def rounded(x: Tree, dtype: str) -> Tree:
    """Return x as float64 numbers that ``dtype`` can hold: what float32 is given, exactly."""

    def convert(leaf: Array) -> Array:
        return leaf.astype(dtype).astype(np.float64) if leaf.dtype.kind == "f" else leaf

    return tree.map_leaves(convert, x)
