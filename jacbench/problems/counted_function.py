"""A problem's function on NumPy arrays: called by one library, in one dtype, on one device."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from jacbench.backend import Backend, registry
from jacbench.backend.graph_cut import GraphCut
from jacbench.core import tree
from jacbench.core.arrays import Array
from jacbench.core.errors import JacbenchError
from jacbench.core.redaction import one_line
from jacbench.core.tree import Tree
from jacbench.problems.checked_value import evaluate
from jacbench.problems.fields import ProblemFields


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
        self,
        problem: ProblemFields,
        backend: str,
        *,
        dtype: str = "float64",
        device: str = "cpu",
        lifted: bool = False,
    ) -> None:
        self.problem = problem
        self.who, self.name = problem.name, backend
        self.backend = registry.load(backend)
        self.dtype, self.device, self.lifted = dtype, device, lifted
        self.count = 0
        self.last_s = 0.0
        # over xp wherever it is written so: what a native form for NumPy computes is checked by it
        neutral = backend == "numpy" and problem.function is not None
        xp = self.backend.xp
        self._bound = problem.neutral(xp) if neutral else problem.bound(backend, xp)
        self.function = problem.value_alone(self._bound)
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
        """Return y; raise the line that says so where the call wrote into x or a constant."""
        own = tree.map_leaves(self.put, x)
        with self._unwritten(own, self.constants):
            return self._called(own)

    def value(self, x: Tree, constants: Sequence[Tree] | None = None, **tap: Any) -> Array:
        """Return y as :meth:`value_and_aux` does."""
        return self.value_and_aux(x, constants, **tap)[0]

    def value_and_aux(
        self, x: Tree, constants: Sequence[Tree] | None = None, **tap: Any
    ) -> tuple[Array, Tree]:
        """Return y and aux as NumPy arrays; aux is None where the problem has none.

        The function is called as it stands, on copies, and must not write into them. ``constants``
        are the problem's own where none are given.
        """
        who, backend = f"problem {self.problem.name!r}", self.backend
        own = tree.map_leaves(self.put, x)
        others = self.problem.constants if constants is None else constants
        placed = [tree.map_leaves(self.put, constant) for constant in others]
        aux: list[Any] = []

        def value() -> Any:
            returned = self._bound(own, *placed, **tap)
            if not self.problem.has_aux:
                return returned
            if not (isinstance(returned, tuple) and len(returned) == 2):
                raise JacbenchError(
                    f"{who}: has_aux is True and its function returned a "
                    f"{type(returned).__name__}: return (y, aux)"
                )
            aux.append(returned[1])
            return returned[0]

        def to_numpy(leaf: Any) -> Array:
            return np.asarray(backend.to_numpy(leaf) if backend.is_array(leaf) else leaf)

        differentiated = backend.as_differentiated() or nullcontext()
        with self._unwritten(own, placed, who), self.precisely(), differentiated:
            y = evaluate(who, backend, value)
        return y, tree.map_leaves(to_numpy, aux[0]) if aux else None

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
        return exactly(self.backend, lifted=self.lifted)

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

    @contextmanager
    def _unwritten(
        self, own: Any, constants: Sequence[Any], who: str | None = None
    ) -> Iterator[None]:
        """Raise the line that says so where x or a constant is another one afterwards."""
        named = [("x", own), *((f"constants[{i}]", c) for i, c in enumerate(constants))]

        def numbers() -> list[tuple[str, Array]]:
            return [
                (f"{what}{name}", self.backend.to_numpy(leaf))
                for what, argument in named
                for name, leaf in zip(tree.names(argument), tree.leaves(argument), strict=True)
            ]

        before = numbers()
        yield
        for (what, was), (_, now) in zip(before, numbers(), strict=True):
            if not np.array_equal(was, now, equal_nan=was.dtype.kind == "f"):
                raise JacbenchError(
                    f"{who or self.who}: its function writes into its argument: {what} is another "
                    "one after a call: compute a new array, y = x - 1 in place of x -= 1, or copy "
                    "it first"
                )


@contextmanager
def exactly(backend: Backend, *, lifted: bool) -> Iterator[None]:
    """Return a context in which the library keeps float64 throughout.

    Parameters
    ----------
    lifted
        True: also of what the function holds in float32, see
        :meth:`jacbench.backend.Backend.lifting`.
    """
    lifting = backend.lifting() if lifted else None
    with backend.precise(), lifting or nullcontext():
        yield


def home(problem: ProblemFields, backend: str | None = None) -> str:
    """Return the backend that computes the reference for cells of ``backend``.

    NumPy where the function is written over ``xp``; else the library itself, in float64. Without
    one named, the first that the function is written for.
    """
    return "numpy" if problem.function is not None else backend or next(iter(problem.native))


def rounded(x: Tree, dtype: str) -> Tree:
    """Return x as float64 numbers that ``dtype`` can hold: what float32 is given, exactly."""

    def convert(leaf: Array) -> Array:
        return leaf.astype(dtype).astype(np.float64) if leaf.dtype.kind == "f" else leaf

    return tree.map_leaves(convert, x)


Held = TypeVar("Held", bound=ProblemFields)


def held_in(problem: Held, dtype: str) -> Held:
    """Return ``problem`` with points and constants that ``dtype`` can hold."""
    if dtype == "float64":
        return problem
    return replace(
        problem,
        x=rounded(problem.x, dtype),
        elsewhere=rounded(problem.elsewhere, dtype),
        constants=tuple(rounded(constant, dtype) for constant in problem.constants),
    )
