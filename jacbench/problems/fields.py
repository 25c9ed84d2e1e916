"""What a problem consists of: a function, a point, constants, where possible its Jacobian."""

from __future__ import annotations

import functools
import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from jacbench.backend import registry
from jacbench.core import nearby, operators, tree
from jacbench.core.arrays import Array
from jacbench.core.errors import JacbenchError
from jacbench.core.function_types import Namespace, NativeFunction, NeutralFunction
from jacbench.core.tolerance import why_no_tolerance
from jacbench.core.tree import Tree
from jacbench.problems import closing
from jacbench.problems.closing import ClosedOver, Held

if TYPE_CHECKING:
    from jacbench.core.known_fault import KnownFault


@dataclass(frozen=True, kw_only=True, eq=False)
class ProblemFields:
    """What a problem consists of, see :class:`jacbench.Problem`."""

    name: str
    function: NeutralFunction | None = None
    x: Tree
    constants: tuple[Tree, ...] = ()
    native: Mapping[str, NativeFunction | str] = field(default_factory=dict)
    jacobian: Callable[..., Array] | None = None
    elsewhere: Tree | None = None
    in_axes: tuple[int | None, ...] | None = None
    has_aux: bool = False
    tapped: bool = False
    stops_gradient: bool = False
    kink_distance: float | None = None
    known_faults: tuple[KnownFault, ...] = ()
    intermediate: str | None = None
    pattern: Any = None
    rtol: float | None = None
    atol: float | None = None
    source: str = ""
    summary: str = ""
    seed: int = field(default=0, repr=False)

    def __post_init__(self) -> None:
        """Turn the point and the constants into float64 arrays; refuse what is no problem."""
        if self.function is None and not self.native:
            raise self.mistake("it has no function: give function=f(xp, x, *constants) or native=")
        if self.function is not None and not callable(self.function):
            raise self.mistake(
                f"function is a {type(self.function).__name__}: "
                "give a callable f(xp, x, *constants)"
            )
        for name in ("rtol", "atol"):
            if (why := why_no_tolerance(name, getattr(self, name))) is not None:
                raise self.mistake(why)
        object.__setattr__(self, "x", self._arrays("x", self.x, point=True))
        constants = tuple(self._arrays(f"constants[{i}]", c) for i, c in enumerate(self.constants))
        object.__setattr__(self, "constants", constants)
        elsewhere = self._nearby() if self.elsewhere is None else self.elsewhere
        elsewhere = self._arrays("elsewhere", elsewhere, point=True)
        if [a.shape for a in tree.leaves(elsewhere)] != self.leaf_shapes:
            raise self.mistake(
                "elsewhere has leaves of other shapes than x: "
                "give a second point of the same structure, or leave it out"
            )
        object.__setattr__(self, "elsewhere", elsewhere)
        if self.in_axes is not None:
            self._check_in_axes(self.in_axes)

    @property
    def leaf_shapes(self) -> list[tuple[int, ...]]:
        """The shape of each leaf of x, in tree order."""
        return [leaf.shape for leaf in tree.leaves(self.x)]

    @property
    def n(self) -> int:
        """The number of inputs, over all leaves of x."""
        return sum(math.prod(shape) for shape in self.leaf_shapes)

    @property
    def undifferentiable(self) -> str | None:
        """Why no method can be asked for a derivative at x, or None: complex or integer inputs."""
        for name, leaf in zip(tree.names(self.x), tree.leaves(self.x), strict=True):
            if leaf.dtype.kind == "c":
                return (
                    f"x{name} is of dtype {leaf.dtype}: a complex input has no real Jacobian; pass "
                    "its real and imaginary parts as two real inputs"
                )
            if leaf.dtype.kind != "f":
                return (
                    f"x{name} is of dtype {leaf.dtype}, which has no derivative: pass floats, "
                    "e.g. x.astype(float), or make it a constant"
                )
        return None

    @property
    def operators(self) -> tuple[str, ...]:
        """The operators that make sense for this problem."""
        return operators.offered(batch=self.in_axes is not None)

    def columns(self) -> dict[str, slice]:
        """Return which columns of the (m, n) matrix belong to each leaf of x, by its name."""
        return tree.columns(self.x)

    def native_function(self, backend: str) -> NativeFunction | None:
        """Return the function written for ``backend``, imported if need be; None if there is none.

        It takes ``(x, *constants)``.
        """
        found = self.native.get(backend)
        if not isinstance(found, str):
            return found
        module, _, name = found.partition(":")
        function: NativeFunction = getattr(importlib.import_module(module), name)
        return function

    def written_for(self, backend: str) -> str | None:
        """Return why the problem cannot be asked of ``backend``, or None where it can."""
        if self.function is not None or backend in self.native:
            return None
        return f"problem {self.name!r} is written for {', '.join(sorted(self.native))} alone"

    def neutral(self, xp: Namespace) -> NativeFunction:
        """Return ``function`` over the arrays of ``xp``, as ``f(x, *constants)``."""
        function = self.function
        assert function is not None  # noqa: S101 - settled by written_for()

        def of_arrays(x: Any, *constants: Any) -> Any:
            return function(xp, x, *constants)

        def tapped(x: Any, *constants: Any, **tap: Any) -> Any:
            return function(xp, x, *constants, **tap)

        return tapped if self.tapped else of_arrays

    def bound(self, backend: str, xp: Namespace) -> NativeFunction:
        """Return the function on ``backend``'s arrays, ``f(x, *constants)``: as it was given.

        It returns y, or (y, aux) where the problem has aux, and takes ``tap`` where it is tapped.
        Constants that are not floating are held where the library traces the function only so.
        """
        function = self.native_function(backend) or self.neutral(xp)
        held = self.held(backend)
        return ClosedOver(function, held) if held else function

    def held(self, backend: str) -> Held:
        """Return the constants that the function uses as Python values, see ``problems.closing``.

        Asked once of each library; empty where it traces the function with all of them unknown.
        """
        if backend not in self._held:
            own = closing.fixed(self.constants, self.in_axes)
            self._held[backend] = own if own and self._is_traced_only_with(own, backend) else ()
        return self._held[backend]

    @functools.cached_property
    def _held(self) -> dict[str, Held]:
        """What was found so far, by backend."""
        return {}

    def _is_traced_only_with(self, own: Held, backend: str) -> bool:
        loaded = registry.load(backend)
        function = self.native_function(backend) or self.neutral(loaded.xp)
        return closing.needed(loaded, function, (self.x, *self.constants), own)

    def value_alone(self, function: NativeFunction) -> NativeFunction:
        """Return ``function``, one of those above, without aux."""
        if not self.has_aux:
            return function

        def value(x: Any, *constants: Any, **tap: Any) -> Any:
            return function(x, *constants, **tap)[0]

        return value

    def _nearby(self) -> Tree:
        return nearby.point(self.x, np.random.default_rng([self.seed, 0x5EED]))

    @property
    def draws_elsewhere(self) -> bool:
        """Whether the second point is the one that is drawn where none is given."""
        drawn = zip(tree.leaves(self._nearby()), tree.leaves(self.elsewhere), strict=True)
        return all(np.array_equal(one, other) for one, other in drawn)

    def _check_in_axes(self, in_axes: Sequence[int | None]) -> None:
        arguments = (self.x, *self.constants)
        if len(in_axes) != len(arguments):
            raise self.mistake(
                f"in_axes has {len(in_axes)} entries for x and {len(self.constants)} constants: "
                "give one axis, or None, for each"
            )
        sizes = {}
        for index, (axis, argument) in enumerate(zip(in_axes, arguments, strict=True)):
            what = f"constants[{index - 1}]" if index else "x"
            for name, leaf in zip(tree.names(argument), tree.leaves(argument), strict=True):
                if axis is None:
                    continue
                if not -leaf.ndim <= axis < leaf.ndim:
                    raise self.mistake(
                        f"in_axes says that samples lie along axis {axis} of {what}{name}, which "
                        f"has shape {leaf.shape}: name an axis that is there, or None"
                    )
                sizes[f"{what}{name}"] = leaf.shape[axis]
        if not sizes:
            raise self.mistake("in_axes holds None alone: name the axis that runs over samples")
        if len(set(sizes.values())) > 1:
            told = ", ".join(f"{size} in {what}" for what, size in sizes.items())
            raise self.mistake(f"in_axes names axes of different lengths: {told} samples")

    def _arrays(self, what: str, value: Tree, *, point: bool = False) -> Tree:
        leaves, names = tree.leaves(value), tree.names(value)
        if point and not leaves:
            raise self.mistake(f"{what} holds no arrays: a Jacobian needs an input")
        arrays = [
            self._array(f"{what}{name}", leaf, point=point)
            for name, leaf in zip(names, leaves, strict=True)
        ]
        return tree.unflatten(value, arrays)

    def _array(self, what: str, leaf: Any, *, point: bool) -> Array:
        array = np.asarray(leaf)
        if array.dtype.kind not in "biufc" or (array.dtype.kind == "c" and not point):
            kind = array.dtype if hasattr(leaf, "dtype") else type(leaf).__name__
            raise self.mistake(
                f"{what} is of dtype {kind}, not a real array: pass float64 arrays"
                if hasattr(leaf, "dtype")
                else f"{what} is a {kind}, not an array: pass arrays alone, and let the function "
                "hold the rest"
            )
        if point and array.size == 0:
            raise self.mistake(
                f"{what} is empty (shape {array.shape}): a Jacobian needs at least one input"
            )
        if point and not np.isfinite(array).all():
            raise self.mistake(f"{what} is not finite: give a point without NaN or inf")
        return array.astype(np.float64) if array.dtype.kind == "f" else array.copy()

    def mistake(self, what: str) -> JacbenchError:
        """Return the error that names this problem and says ``what`` is wrong."""
        return JacbenchError(f"problem {self.name!r}: {what}")
