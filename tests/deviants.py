"""Methods that lie: wrong, or treacherous, in a way that a check before the clock does not see.

Each is what somebody else's backend might register. ``caught`` is a pattern of what is said of it,
a verdict's reason or a caution; of one that nobody can catch, ``why`` says why.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jacbench.backend import Backend, Method, Prepared, Target, registry
from jacbench.checking import recheck
from jacbench.checking.new_points import NewPoints
from jacbench.checking.reference import Reference, reference
from jacbench.checking.verdict import settle
from jacbench.core import tree
from jacbench.core.arrays import Array
from jacbench.core.cell import Cell, CellResult, Verdict
from jacbench.problems.problem import Problem
from tests.faults import BY_HAND, copied
from tests.planting import Wrapped

TIMED_CALLS = 60
"""Calls in place of those that a clock would run for."""

SIZES = np.array([1.0, 0.8, 1e-6, 1.1, 0.9])
A = SIZES[:, None] * np.array(
    [
        [0.9, -0.4, 0.3, 2e-6],
        [-0.2, 0.7, 0.5, -1e-6],
        [0.4, 0.1, -0.6, 1e-6],
        [0.3, 0.8, 0.2, 3e-6],
        [-0.5, 0.3, 0.6, 2e-6],
    ]
)
X = np.array([0.71, 1.33, 0.42, 1.94])


def function(xp: Any, x: Any, A: Any) -> Any:
    return xp.sin(A @ x) + A @ (x * x)


def jacobian(x: Any, A: Any) -> Array:
    return (np.cos(A @ x)[:, None] + 2 * x) * A


PROBLEM = Problem(name="mine", function=function, x=X, constants=(A,), jacobian=jacobian)


def by_sample(xp: Any, x: Any, A: Any) -> Any:
    return xp.sin(x @ A)


def by_sample_jacobian(x: Any, A: Any) -> Array:
    J = np.einsum("so,io,st->soti", np.cos(x @ A), A, np.eye(len(x)))
    return J.reshape(x.shape[0] * A.shape[1], x.size)


BATCHED = Problem(
    name="batched",
    function=by_sample,
    x=np.array([[0.3, 1.4], [0.7, 0.2]]),
    constants=(A[:2, :3],),
    jacobian=by_sample_jacobian,
    in_axes=(0, None),
)

Call = Callable[[Any], Any]
Make = Callable[[Call, Target], Call]


@dataclass(frozen=True)
class Deviant:
    """One way of being wrong without being caught beforehand."""

    name: str
    make: Make
    caught: str | None
    operator: str = "jacobian"
    why: str = ""
    backend: Callable[[], Backend] = lambda: registry.load("numpy")
    problem: Problem = PROBLEM


DEVIANTS: list[Deviant] = []


def deviant(name: str, caught: str | None, **about: Any) -> Callable[[Make], Make]:
    """Register ``make(right, target) -> call``."""

    def register(make: Make) -> Make:
        DEVIANTS.append(Deviant(name, make, caught, **about))
        return make

    return register


def in_every_operator(name: str, caught: str | None) -> Callable[[Make], Make]:
    """Register the same for each operator that has a method by hand."""

    def register(make: Make) -> Make:
        DEVIANTS.extend(
            Deviant(_named(name, operator), make, caught, operator) for operator in BY_HAND
        )
        return make

    return register


def _named(name: str, operator: str) -> str:
    return name if operator == "jacobian" else f"{operator}: {name}"


def _right(problem: Problem) -> Reference:
    return reference(problem, "float64")


def put_through(
    one: Deviant, *, rightly: Callable[[Problem], Reference] = _right, whole: bool = True
) -> tuple[str, CellResult]:
    """Settle, call as often as a clock would, and ask again; return the step that ended it."""
    problem = BATCHED if one.operator == "batch_jacobian" else one.problem
    base = registry.method(BY_HAND[one.operator])

    def prepare(inner: Method, target: Target) -> Prepared:
        return Prepared(one.make(inner.prepare(target).call, target))

    cell = Cell(problem.name, one.operator, base.info.name, "numpy", "cpu", "float64", 1)
    known = reference(problem, "float64")
    settled = settle(cell, problem, one.backend(), Wrapped(base, prepare), known)
    if settled.prepared is None:
        return "before it is timed", settled.result
    last = None
    for _ in range(TIMED_CALLS):
        last = settled.prepared.call(settled.x)
    points = NewPoints(problem, known, rightly, "float64")
    found = recheck.again(settled, last, points, whole=whole)
    if found.result.verdict is Verdict.AGREES:
        return ("caution" if found.result.cautions else "not caught"), found.result
    return "asked again", found.result


def said(result: CellResult) -> str:
    """Return all that is said of a cell in words."""
    return "; ".join([*([result.reason] if result.reason else []), *result.cautions])


# --- answers kept ---

KEEPS = "it keeps answers"


@deviant("kept by id(x)", f"{KEEPS} by the array x, not by the values")
def by_id(right: Call, target: Target) -> Call:
    kept: dict[int, Any] = {}
    alive: list[Any] = []

    def call(x: Any) -> Any:
        if id(x) not in kept:
            alive.append(x)
            kept[id(x)] = right(x)
        return kept[id(x)].copy()

    return call


@deviant("kept by the address of x's data", f"{KEEPS} by the array x, not by the values")
def by_address(right: Call, target: Target) -> Call:
    kept: dict[int, Any] = {}
    alive: list[Any] = []

    def call(x: Any) -> Any:
        where = x.__array_interface__["data"][0]
        if where not in kept:
            alive.append(x)
            kept[where] = right(x)
        return kept[where].copy()

    return call


@in_every_operator("kept by the value of x", f"{KEEPS}: the function is evaluated at a new x")
def by_value(right: Call, target: Target) -> Call:
    kept: dict[bytes, Any] = {}

    def call(x: Any) -> Any:
        key = b"".join(leaf.tobytes() for leaf in tree.leaves(x))
        if key not in kept:
            kept[key] = right(x)
        return copied(kept[key])

    return call


@deviant("kept by the value of x, the last two", f"{KEEPS}: the function is evaluated at a new x")
def last_two(right: Call, target: Target) -> Call:
    kept: list[tuple[bytes, Any]] = []

    def call(x: Any) -> Any:
        key = x.tobytes()
        for known, answer in kept:
            if known == key:
                return answer.copy()
        kept.append((key, right(x)))
        del kept[:-2]
        return kept[-1][1].copy()

    return call


@deviant("kept on disk by the value of x", f"{KEEPS}: the function is evaluated at a new x")
def on_disk(right: Call, target: Target) -> Call:
    folder = Path(tempfile.mkdtemp(prefix="jacbench-test-"))

    def call(x: Any) -> Any:
        path = folder / f"{hash(x.tobytes())}.npy"
        if not path.exists():
            np.save(path, right(x))
        return np.load(path)

    weakref.finalize(call, shutil.rmtree, folder, ignore_errors=True)
    return call


@deviant("kept by x rounded to 3 digits", r"at a new point near x: .*worst at row")
def by_rounded(right: Call, target: Target) -> Call:
    kept: dict[bytes, Any] = {}

    def call(x: Any) -> Any:
        key = np.round(x, 3).tobytes()
        if key not in kept:
            kept[key] = right(x)
        return kept[key].copy()

    return call


@deviant("kept by the first digits of one entry of x", r"^in a second call: ‖J-R‖")
def by_first(right: Call, target: Target) -> Call:
    kept: dict[str, Any] = {}

    def call(x: Any) -> Any:
        key = f"{x[0]:.0f}"
        if key not in kept:
            kept[key] = right(x)
        return kept[key].copy()

    return call


@deviant("kept by value, computed by no Python that is seen", "times as fast as at a new one")
def unseen(right: Call, target: Target) -> Call:
    kept: dict[bytes, Any] = {}
    (constant,) = target.constants

    def call(x: Any) -> Any:
        key = x.tobytes()
        if key not in kept:
            for _ in range(20):
                kept[key] = (np.cos(constant @ x)[:, None] + 2 * x) * constant
        return kept[key].copy()

    return call


# --- results that are not there yet, or not one's own ---


class Lazy(np.ndarray):
    """An array whose numbers are made when it is read."""

    make: Any = None


class LazyBackend(type(registry.load("numpy"))):  # type: ignore[misc]
    """What a third party's backend of lazy arrays would be."""

    def is_array(self, value: Any) -> bool:
        return isinstance(value, (np.ndarray, np.generic))

    def to_numpy(self, array: Any) -> Any:
        return array.make().copy() if isinstance(array, Lazy) else array.copy()


def lazy(make: Callable[[], Any]) -> Lazy:
    promised = np.empty((len(A), len(X))).view(Lazy)
    promised.make = make
    return promised


@deviant(
    "computed when it is read", "it computes its result when that is read", backend=LazyBackend
)
def late(right: Call, target: Target) -> Call:
    return lambda x: lazy(lambda: right(x))


@deviant(
    "computed when it is read, from a copy of x",
    "it computes its result when that is read",
    backend=LazyBackend,
)
def late_copy(right: Call, target: Target) -> Call:
    def call(x: Any) -> Any:
        own = x.copy()
        return lazy(lambda: right(own))

    return call


@deviant(
    "a thread finishes it later",
    "it returns before its result is there",
    backend=LazyBackend,
)
def finished_later(right: Call, target: Target) -> Call:
    def call(x: Any) -> Any:
        own, into = x.copy(), list[Any]()

        def work() -> None:
            time.sleep(1e-2)
            into.append(right(own))

        thread = threading.Thread(target=work)
        thread.start()

        def make() -> Any:
            thread.join()
            return into[0]

        return lazy(make)

    return call


@deviant("two buffers in turn", r"overwrote the result|was overwritten")
def two_buffers(right: Call, target: Target) -> Call:
    return _ring(right, target, 2)


@deviant("three buffers in turn", "a result of before was overwritten later")
def three_buffers(right: Call, target: Target) -> Call:
    return _ring(right, target, 3)


@deviant("forty buffers in turn", "a result of before was overwritten later")
def forty_buffers(right: Call, target: Target) -> Call:
    return _ring(right, target, 40)


def _ring(right: Call, target: Target, count: int) -> Call:
    buffers = [right(target.x) for _ in range(count)]
    calls = [0]

    def call(x: Any) -> Any:
        calls[0] += 1
        into = buffers[calls[0] % count]
        into[...] = right(x)
        return into

    return call


@deviant("the first result is spoiled after the 30th call", "was overwritten later")
def spoils_first(right: Call, target: Target) -> Call:
    given: list[Any] = []

    def call(x: Any) -> Any:
        given.append(right(x))
        if len(given) == 30:
            given[0][0, 0] += 1
        return given[-1]

    return call


# --- right for a while ---


@deviant("right for the first 3 calls", "in the last timed call: ")
def three_calls(right: Call, target: Target) -> Call:
    return _after(right, 3)


@in_every_operator("right for the first 20 calls", "in the last timed call: ")
def twenty_calls(right: Call, target: Target) -> Call:
    return _after(right, 20)


def _after(right: Call, count: int) -> Call:
    calls = [0]

    def call(x: Any) -> Any:
        calls[0] += 1
        result = copied(right(x))
        if calls[0] > count:
            _spoil(result)
        return result

    return call


def _spoil(result: Any, factor: float = 1 + 1e-6) -> None:
    leaves = tree.leaves(result)
    leaves[-1] *= factor


@deviant("wrong at every 7th call", r"in call \d+ of 22 for the same x|in the last timed call")
def every_seventh(right: Call, target: Target) -> Call:
    calls = [0]

    def call(x: Any) -> Any:
        calls[0] += 1
        return right(x) * (1.001 if calls[0] % 7 == 6 else 1.0)

    return call


@deviant("wrong once 20 ms have gone by", r"asked again after it was timed: ")
def after_a_while(right: Call, target: Target) -> Call:
    until = time.monotonic() + 0.02

    def call(x: Any) -> Any:
        if time.monotonic() > until:
            return right(x) * 1.001
        time.sleep(1e-3)
        return right(x)

    return call


@deviant("right on average: dithered", "two calls for the same x differ|‖J-R‖")
def dithered(right: Call, target: Target) -> Call:
    sign = [1.0]

    def call(x: Any) -> Any:
        sign[0] = -sign[0]
        return right(x) * (1 + sign[0] * 1e-9)

    return call


@deviant("float32 after 20 calls", "in the last timed call: the result is float32")
def narrow_later(right: Call, target: Target) -> Call:
    calls = [0]

    def call(x: Any) -> Any:
        calls[0] += 1
        return right(x).astype(np.float64 if calls[0] <= 20 else np.float32)

    return call


class Elsewhere(np.ndarray):
    """An array of another device."""


class DeviceBackend(LazyBackend):
    """NumPy's arrays, and some that say that they lie elsewhere."""

    def device_of(self, array: Any) -> str:
        return "cuda:0" if isinstance(array, Elsewhere) else "cpu"


@deviant(
    "on another device after 20 calls",
    "in the last timed call: the result lies on cuda:0",
    backend=DeviceBackend,
)
def moved_later(right: Call, target: Target) -> Call:
    calls = [0]

    def call(x: Any) -> Any:
        calls[0] += 1
        return right(x) if calls[0] <= 20 else right(x).view(Elsewhere)

    return call


@deviant("changes the process once it is asked again", "changed the working directory")
def state_later(right: Call, target: Target) -> Call:
    calls = [0]

    def call(x: Any) -> Any:
        calls[0] += 1
        if calls[0] == TIMED_CALLS + 5:
            os.chdir(tempfile.gettempdir())
        return right(x)

    return call


# --- right at the points that are checked ---

FAR = "at a new point, far from those it was checked at: "


@in_every_operator("right at the two checked points alone", FAR)
def two_points(right: Call, target: Target) -> Call:
    seen: list[bytes] = []

    def call(x: Any) -> Any:
        key = b"".join(leaf.tobytes() for leaf in tree.leaves(x))
        if key not in seen and len(seen) < 2:
            seen.append(key)
        result = copied(right(x))
        if key not in seen:
            _spoil(result)
        return result

    return call


def _where(name: str, wrong: Callable[[Any], bool]) -> None:
    def make(right: Call, target: Target) -> Call:
        return lambda x: right(x) * (1.001 if wrong(x) else 1.0)

    DEVIANTS.append(Deviant(name, make, FAR))


_where("wrong where x has negative entries", lambda x: bool((x < 0).any()))
_where("wrong where x has equal entries", lambda x: len(np.unique(x)) < x.size)
_where("wrong where x has large entries", lambda x: bool((np.abs(x) > 2.5).any()))
_where("wrong where x has whole numbers", lambda x: bool((x == np.round(x)).any()))


@deviant("wrong where x is far from where it was prepared", FAR)
def linearised(right: Call, target: Target) -> Call:
    there = target.x.copy()

    def call(x: Any) -> Any:
        return right(x) if np.abs(x - there).max() < 1 else right(there)

    return call


# --- what is the caller's ---


@deviant("x changed by a timed call", "the timed calls changed x")
def changes_later(right: Call, target: Target) -> Call:
    calls = [0]

    def call(x: Any) -> Any:
        result = right(x)
        calls[0] += 1
        if calls[0] == 40:
            x *= 1.5
        return result

    return call


@deviant("x changed and put back", "it writes into x, and puts x back")
def puts_back(right: Call, target: Target) -> Call:
    def call(x: Any) -> Any:
        before = x[0]
        x[0] = before + 1
        x[0] = before
        return right(x)

    return call


PRODUCT = Problem(
    name="product",
    function=lambda xp, x: xp.reshape(x[0] * x[1], (1,)),
    x=X[:2],
    jacobian=lambda x: x[::-1][None, :].copy(),
)


@deviant("a view of the memory of x", "its result changes with x after the call", problem=PRODUCT)
def view_of_x(right: Call, target: Target) -> Call:
    return lambda x: x[::-1][None, :]


LINEAR = Problem(
    name="linear",
    function=lambda xp, x, A: A @ x,
    x=X,
    constants=(A,),
    jacobian=lambda x, A: A.copy(),
)


@deviant(
    "a view of the memory of constants", "its result shares memory with what it is", problem=LINEAR
)
def view_of_constants(right: Call, target: Target) -> Call:
    (constant,) = target.constants
    return lambda x: constant[...]


@deviant(
    "one array for all answers that never change",
    "was overwritten|was written into",
    problem=LINEAR,
)
def one_array(right: Call, target: Target) -> Call:
    J = right(target.x)
    return lambda x: J


@deviant("wrong from a second thread", "from a second thread: ")
def second_thread(right: Call, target: Target) -> Call:
    own = threading.get_ident()
    return lambda x: right(x) * (1.0 if threading.get_ident() == own else 1.001)


# --- entries ---


@deviant("one entry off by 9e-13 of the norm", "|J-R| of one entry over its row's or column's size")
def one_entry(right: Call, target: Target) -> Call:
    def call(x: Any) -> Any:
        J = right(x)
        J[0, 0] += 9e-13 * np.linalg.norm(J)
        return J

    return call


@deviant("a small row wrong by 1e-7 beside large ones", "|J-R| of one entry over its row's")
def small_row(right: Call, target: Target) -> Call:
    def call(x: Any) -> Any:
        J = right(x)
        J[2] *= 1 + 5e-7
        return J

    return call


@deviant("a small column wrong by 1e-7 beside large ones", "|J-R| of one entry over its row's")
def small_column(right: Call, target: Target) -> Call:
    def call(x: Any) -> Any:
        J = right(x)
        J[:, 3] *= 1 + 2e-7
        return J

    return call


@deviant("differences at a step of 1e-9, passed off as exact", r"‖J-R‖/‖R‖ = ")
def differences(right: Call, target: Target) -> Call:
    f, constants = target.function, target.constants

    def call(x: Any) -> Any:
        ends = [f(x + 1e-9 * e, *constants) - f(x, *constants) for e in np.eye(x.size)]
        return np.stack(ends, axis=1) / 1e-9

    return call


@deviant("J faster than f: a constant", r"at another point than it prepared")
def constant(right: Call, target: Target) -> Call:
    J = right(target.x)
    return lambda x: J.copy()


# --- what nobody can catch ---


@deviant(
    "NaN replaced by 0",
    None,
    why="every point compared has a finite Jacobian: where it is not finite nothing is right",
)
def nan_to_zero(right: Call, target: Target) -> Call:
    return lambda x: np.nan_to_num(right(x))


@deviant(
    "wrong on a set of points too small to hit",
    None,
    why="a finite number of points says nothing of one that none of them is near",
)
def rarely(right: Call, target: Target) -> Call:
    return lambda x: right(x) * (2.0 if 0.123 < x[0] < 0.1230001 else 1.0)


@deviant(
    "wrong in an hour",
    None,
    why="nobody waits for so long: what is asked again is asked a moment after the clock stopped",
)
def in_an_hour(right: Call, target: Target) -> Call:
    until = time.monotonic() + 3600
    return lambda x: right(x) * (1.0 if time.monotonic() < until else 2.0)


@deviant(
    "off by less than rounding may be",
    None,
    why="right methods are off by as much: each entry within the tolerance of its row and column",
)
def within_rounding(right: Call, target: Target) -> Call:
    return lambda x: right(x) * (1 + 3e-14)


@deviant(
    "wrong after a million calls",
    None,
    why="it is right for as often as it was timed; every stretch is followed by a check",
)
def a_million(right: Call, target: Target) -> Call:
    return _after(right, 10**6)


@deviant(
    "the constants of its preparation changed later do not count",
    None,
    why="constants belong to the preparation: a compiler may fold them, and a new constant wants a "
    "new preparation",
)
def frozen_constants(right: Call, target: Target) -> Call:
    constants = tuple(c.copy() for c in target.constants)
    return lambda x: jacobian(x, *constants)
