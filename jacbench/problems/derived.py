"""Problems made from others: by some of the inputs, of some of the outputs, by an intermediate."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, TypeVar

import numpy as np

from jacbench.backend import Native, registry
from jacbench.core import tree
from jacbench.core.arrays import Array
from jacbench.core.errors import unknown
from jacbench.core.function_types import Namespace, NativeFunction
from jacbench.core.known_fault import KnownFault
from jacbench.core.tree import Tree
from jacbench.problems.closing import ClosedOver
from jacbench.problems.counted_function import Calls, home
from jacbench.problems.fields import ProblemFields

JacobianFunction = Callable[..., Array]
Problem = TypeVar("Problem", bound=ProblemFields)


# --- by some of the inputs ---


def subset(problem: Problem, *patterns: str) -> Problem:
    """Return ``problem`` by some of the leaves of x; the others become a constant.

    Parameters
    ----------
    patterns
        Shell patterns over the leaves' paths, the keys and indices on the way joined by dots:
        ``2`` or ``2.*`` for the last of three layers, ``conv1.weight``, ``*.bias``.

    Returns
    -------
    A problem whose x is a dict of the chosen leaves by path, in the order of its sorted keys.
    """
    paths = tree.paths(problem.x)
    twice = [path for path in paths if paths.count(path) > 1]
    if twice:
        raise problem.mistake(f"two inputs are called {twice[0]!r}: use keys without dots")
    chosen = [path for path in paths if any(_matches(path, pattern) for pattern in patterns)]
    for pattern in patterns:
        if not any(_matches(path, pattern) for path in paths):
            hint = f"it has {', '.join(paths)}"
            raise problem.mistake(str(unknown("input", pattern, paths, hint=hint)))
    pick = _Pick(tree.map_leaves(lambda _: None, problem.x), tuple(paths), frozenset(chosen))
    axes = problem.in_axes
    return dataclasses.replace(
        problem,
        name=f"{problem.name}[wrt={','.join(patterns)}]",
        function=None if problem.function is None else pick.neutral(problem.function),
        native={backend: pick.native(_later(problem, backend)) for backend in problem.native},
        x=pick.x(problem.x),
        elsewhere=pick.x(problem.elsewhere),
        constants=(pick.rest(problem.x), *problem.constants),
        jacobian=pick.jacobian(problem.jacobian),
        known_faults=_each(problem.known_faults, pick.jacobian),
        in_axes=None if axes is None else (axes[0], axes[0], *axes[1:]),
        intermediate=None,
    )


def _matches(path: str, pattern: str) -> bool:
    return fnmatchcase(path, pattern) or fnmatchcase(path, f"{pattern}.*")


@dataclass(frozen=True)
class _Pick:
    """Some leaves of a tree as a dict by path, the others as another."""

    like: Tree
    paths: tuple[str, ...]
    chosen: frozenset[str]

    def x(self, whole: Tree) -> dict[str, Any]:
        named = dict(zip(self.paths, tree.leaves(whole), strict=True))
        return {path: leaf for path, leaf in named.items() if path in self.chosen}

    def rest(self, whole: Tree) -> dict[str, Any]:
        named = dict(zip(self.paths, tree.leaves(whole), strict=True))
        return {path: leaf for path, leaf in named.items() if path not in self.chosen}

    def whole(self, x: Any, rest: Any) -> Tree:
        leaves = [x[path] if path in self.chosen else rest[path] for path in self.paths]
        return tree.unflatten(self.like, leaves)

    def neutral(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def picked(xp: Namespace, x: Any, rest: Any, *constants: Any, **tap: Any) -> Any:
            return function(xp, self.whole(x, rest), *constants, **tap)

        return picked

    def native(self, function: NativeFunction) -> NativeFunction:
        def picked(x: Any, rest: Any, *constants: Any, **tap: Any) -> Any:
            return function(self.whole(x, rest), *constants, **tap)

        return picked

    def jacobian(self, whole: JacobianFunction | None) -> JacobianFunction | None:
        if whole is None:
            return None

        def picked(x: Any, rest: Any, *constants: Any) -> Array:
            everything = self.whole(x, rest)
            blocks = dict(zip(self.paths, tree.columns(everything).values(), strict=True))
            J = whole(everything, *constants)
            return np.concatenate([J[:, blocks[path]] for path in sorted(self.chosen)], axis=1)

        return picked


def _later(problem: ProblemFields, backend: str) -> NativeFunction:
    """Return the native function of ``problem``, imported when it is first called."""

    def function(*arguments: Any, **tap: Any) -> Any:
        found = problem.native_function(backend)
        assert found is not None  # noqa: S101 - asked only of those in the mapping
        return found(*arguments, **tap)

    return function


# --- of some of the outputs ---


def outputs(problem: Problem, rows: Sequence[int]) -> Problem:
    """Return ``problem`` with only the outputs ``rows``, counted in C order, as a vector."""
    m = Calls(problem, home(problem)).value(problem.x, problem.constants).size
    asked = np.asarray(rows).reshape(-1)
    inside = all(-m <= row < m for row in asked.tolist())
    if asked.dtype.kind not in "iu" or not asked.size or not inside:
        raise problem.mistake(
            f"outputs {asked.tolist()} asked for, and it has {m}: give numbers from 0 to {m - 1}"
        )
    wanted = asked.astype(np.int64) % m

    def cut(xp: Namespace, returned: Any, places: Any) -> Any:
        y, aux = returned if problem.has_aux else (returned, None)
        some = xp.take(xp.reshape(y, (-1,)), places, axis=0)
        return (some, aux) if problem.has_aux else some

    def neutral(xp: Namespace, x: Any, places: Any, *constants: Any, **tap: Any) -> Any:
        assert problem.function is not None  # noqa: S101 - else this is not used
        return cut(xp, problem.function(xp, x, *constants, **tap), places)

    def native(backend: str) -> NativeFunction:
        whole = _later(problem, backend)

        def function(x: Any, places: Any, *constants: Any, **tap: Any) -> Any:
            return cut(registry.load(backend).xp, whole(x, *constants, **tap), places)

        return function

    def some_rows(whole: JacobianFunction | None) -> JacobianFunction | None:
        if whole is None:
            return None
        return lambda x, _, *constants: whole(x, *constants)[wanted]

    return dataclasses.replace(
        problem,
        name=f"{problem.name}[outputs={','.join(map(str, wanted))}]",
        function=None if problem.function is None else neutral,
        native={backend: native(backend) for backend in problem.native},
        constants=(wanted, *problem.constants),
        jacobian=some_rows(problem.jacobian),
        known_faults=_each(problem.known_faults, some_rows),
        in_axes=None,
        intermediate=None,
    )


# --- by an intermediate value ---


def at(problem: Problem, name: str, jacobian: JacobianFunction | None = None) -> Problem:
    """Return ``problem`` by its intermediate value ``name``, at the same point.

    The new x is a shift that is added to the value, zero at the point: every method then gives the
    derivative by the value, in reverse and in forward mode. The old x becomes the first constant.

    Parameters
    ----------
    jacobian
        ``jacobian(shift, x, *constants)``, the (m, n) matrix by the shift, where it is known.
    """
    values = intermediates(problem)
    if name not in values:
        hint = f"it passes {', '.join(values) or 'none'} through tap()"
        raise problem.mistake(str(unknown("intermediate value", name, values, hint=hint)))
    if len(values[name]) > 1:
        raise problem.mistake(
            f"intermediate value {name!r} is computed {len(values[name])} times in one evaluation: "
            "give each its own name"
        )
    return dataclasses.replace(
        problem,
        name=f"{problem.name}[wrt={name}]",
        function=None if problem.function is None else _Shifted(problem.function, name),
        native={
            backend: _Shifted(_later(problem, backend), name, before=0)
            for backend in problem.native
        },
        x=np.zeros(values[name][0]),
        elsewhere=None,
        constants=(problem.x, *problem.constants),
        jacobian=jacobian,
        known_faults=(),
        in_axes=None,
        tapped=False,
        kink_distance=None,  # the base's says nothing of the shift
        intermediate=name,
    )


def intermediates(problem: ProblemFields) -> dict[str, list[tuple[int, ...]]]:
    """Return the shapes of the values that ``problem`` passes through ``tap``, by name."""
    if not problem.tapped:
        return {}
    calls = Calls(problem, home(problem))
    found: dict[str, list[tuple[int, ...]]] = {}

    def record(name: str, value: Any) -> Any:
        found.setdefault(name, []).append(tuple(value.shape))
        return value

    calls.value(problem.x, problem.constants, tap=record)
    return found


@dataclass(frozen=True)
class _Shifted:
    """A function whose intermediate ``name`` is shifted by one of its arguments.

    ``before`` arguments come first: ``xp`` where it is neutral, none where it is native.
    """

    function: Callable[..., Any]
    name: str
    before: int = 1

    def __call__(self, *arguments: Any) -> Any:
        return self.with_value(*arguments)[0]

    def with_value(self, *arguments: Any) -> tuple[Any, Native]:
        """Return what the function returns, and the shifted value."""
        xp, shift, rest = (
            arguments[: self.before],
            arguments[self.before],
            arguments[self.before + 1 :],
        )
        seen: list[Native] = []
        returned = self.function(*xp, *rest, tap=_shifter(self.name, shift, seen))
        return returned, seen[0]


def shifted(
    problem: ProblemFields, backend: str, xp: Namespace
) -> Callable[..., tuple[Native, Native]] | None:
    """Return ``f(x, *constants) -> (y, Z)`` with the intermediate Z that x shifts, or None."""
    native = problem.native_function(backend)
    found = problem.function if native is None else native
    if not isinstance(found, _Shifted):
        return None
    before = () if native is not None else (xp,)

    def value_and_intermediate(x: Any, *constants: Any) -> tuple[Native, Native]:
        returned, Z = found.with_value(*before, x, *constants)
        return (returned[0] if problem.has_aux else returned), Z

    held = problem.held(backend)
    return ClosedOver(value_and_intermediate, held) if held else value_and_intermediate


def _shifter(name: str, shift: Any, seen: list[Native]) -> Callable[[str, Any], Any]:
    def tap(where: str, value: Any) -> Any:
        if where != name:
            return value
        shifted = value + shift
        seen.append(shifted)
        return shifted

    return tap


def _each(
    faults: Sequence[KnownFault],
    change: Callable[[JacobianFunction | None], JacobianFunction | None],
) -> tuple[KnownFault, ...]:
    changed = []
    for fault in faults:
        jacobian = change(fault.jacobian)
        assert jacobian is not None  # noqa: S101 - None only of None
        changed.append(dataclasses.replace(fault, jacobian=jacobian))
    return tuple(changed)


def by(problem: Problem, what: str) -> Problem:
    """Return ``problem`` by the inputs that match ``what``, else by the intermediate so named.

    Several patterns over inputs are parted by commas: ``0,2``.
    """
    paths, patterns = tree.paths(problem.x), what.split(",")
    if all(any(_matches(path, pattern) for path in paths) for pattern in patterns):
        return subset(problem, *patterns)
    values = intermediates(problem)
    if what in values:
        return at(problem, what)
    known = [*filter(None, paths), *values]
    hint = (
        f"inputs: {', '.join(paths) if any(paths) else 'x alone'}; intermediate values: "
        f"{', '.join(values) or 'none'}"
    )
    raise problem.mistake(str(unknown("input or intermediate value", what, known, hint=hint)))
