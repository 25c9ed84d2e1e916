"""After the clock has stopped: what was timed is asked again, and nothing of it is timed.

Before it was timed a method answered at two points, three times in all. Here the very objects that
were timed answer at points that they have never seen, and everything they gave before is looked at
again. What is found wrong gets no time; what only looks odd is a caution.
"""

from __future__ import annotations

import functools
import inspect
import math
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import CodeType, FrameType
from typing import Any

import numpy as np

from jacbench.backend import Native, registry
from jacbench.checking import process_state
from jacbench.checking import verdict as settle
from jacbench.checking.checks import Kept, Refused, Settled, Trial
from jacbench.checking.new_points import NewPoints
from jacbench.checking.reference import Point
from jacbench.core import tree
from jacbench.core.arrays import Array
from jacbench.core.cell import Verdict

BUDGET_S = 0.5
"""What asking again may take, beyond a call at one new point, seconds.

Of the processor where that computes, so that a neighbour leaves nothing out; never more than four
times as long by the clock on the wall.
"""
IN_A_ROW = 22
"""Calls for the same x one after the other: what is wrong at every 7th shows three times."""
TURNS = 5
"""Turns in which two times are compared."""
KEEPING = 3.0
"""How many times as fast an answer at the same x may be as at a new one."""
FASTER = 10.0
"""How many times as fast as the function itself its Jacobian may be without a word."""
LATE = 2.0
"""How many times the call's own time may go by after it, before its result can be read."""
FEW_S = 20e-6
"""A difference of fewer seconds is noise, or what handling arrays costs."""
INEXACT = 1e3
"""How many times its own tolerance a method that is inexact may be off at a new point.

Differences keep their step, and what it costs grows with derivatives that nobody knows.
"""


def again(
    settled: Settled, last: Native, points: NewPoints | None, *, whole: bool, threads: bool = True
) -> Settled:
    """Return ``settled`` as it is, or with the verdict that asking again came to.

    Nothing is raised for a fault of the method: that is a verdict, and then nothing is prepared any
    more. Costs three calls and comparisons; ``whole`` adds what :data:`BUDGET_S` allows.

    Parameters
    ----------
    settled
        A cell that agrees and was timed.
    last
        What the last of its calls at x returned; None where nobody kept it.
    points
        Points that the method has not seen; None where there are none to be had.
    whole
        True for the first time, false for what has to be looked at after every stretch.
    threads
        False where a second thread would not share the settings under which the cell was settled.
    """
    trial = settled.trial
    if trial is None or settled.prepared is None:
        return settled
    with warnings.catch_warnings():
        # they were kept when the cell was settled
        warnings.simplefilter("ignore")
        before = process_state.take(trial.backend)
        asked = _Recheck(settled, trial, points, threads=threads)
        try:
            asked.run(last, whole=whole)
            found = replace(settled, result=asked.told())
        except Refused as refusal:
            told = f"asked again after it was timed: {refusal.reason}"
            found = Settled(
                replace(settled.result, verdict=refusal.verdict, reason=told, **refusal.found)
            )
        except Exception as exc:  # noqa: BLE001 - whatever a method raises
            told_of = settle.fault(settled.result, trial.method, trial.backend, exc)
            reason = f"asked again after it was timed: {told_of.reason}"
            found = Settled(replace(told_of, reason=reason))
        changes = process_state.put_back(before)
    return settle.with_changes(found, changes)


class _Recheck:
    """One cell, asked again."""

    def __init__(
        self, settled: Settled, trial: Trial, points: NewPoints | None, *, threads: bool
    ) -> None:
        assert settled.prepared is not None  # noqa: S101 - the caller has looked
        assert trial.target is not None  # noqa: S101 - it has run
        self.trial, self.x, self.result = trial, settled.x, settled.result
        self.points, self.threads = points, threads
        self.call, self.target = settled.prepared.call, trial.target
        self.here = trial.reference.here
        self.cautions: list[str] = []
        self.left_out: list[str] = []
        self._call_s = math.inf
        self.codes = _codes(self.target.function, trial.problem.jacobian)

    def told(self) -> Any:
        """Return the result with what was found, and what there was no time for."""
        notes = dict(self.result.notes)
        if self.left_out:
            notes["not_asked_again"] = ", ".join(self.left_out)
        cautions = tuple(dict.fromkeys((*self.result.cautions, *self.cautions)))
        error = max(self.trial.error, self.result.error or 0.0)
        return replace(self.result, cautions=cautions, notes=notes, error=error)

    def run(self, last: Native, *, whole: bool) -> None:
        """Go through the steps; the dear ones as far as there is time."""
        self._x_is_unchanged("the timed calls changed x")
        if last is not None:
            self._check(last, self.here, "in the last timed call")
        self._kept_are_unchanged(self.trial.kept, "a result of before was overwritten later")
        begun = self._now()
        self._check_far()
        if not whole:
            return
        if math.isinf(self._call_s):  # there was no new point
            self._call_s = _seconds(lambda: self.call(self.x), 1)
        steps: Sequence[tuple[str, int, Callable[[], None]]] = (
            ("at a point near x", 1, self._check_near),
            ("whether its result is there when it returns", TURNS + 1, self._check_waiting),
            ("many times in a row", 4, self._check_in_a_row),
            ("with new values in the same x", 4, self._check_rewritten),
            ("whether its result is its own", 2, self._check_own),
            ("whether it writes into x", 1, self._check_reading),
            ("from a second thread", 1, self._check_thread),
            ("whether it keeps answers", 8 * TURNS, self._check_keeping),
            ("whether it is faster than the function", 2 * TURNS, self._check_faster),
        )
        for name, calls, step in steps:
            if self._spent_s(begun) + calls * self._call_s > BUDGET_S:
                self.left_out.append(name)
            else:
                step()

    # --- what every step stands on ---

    def _now(self) -> tuple[float, float]:
        """Return the time by the wall's clock and by the processor's."""
        return time.perf_counter(), time.process_time()

    def _spent_s(self, begun: tuple[float, float]) -> float:
        """Return what has gone by, as :data:`BUDGET_S` counts it."""
        wall, cpu = (now - then for now, then in zip(self._now(), begun, strict=True))
        return max(cpu, wall / 4) if self.result.cell.device == "cpu" else wall

    def _check(self, native: Native, point: Point, when: str) -> None:
        with _because(when):
            self.trial.check_answer(native, point, self.target, when)

    def _x_is_unchanged(self, reason: str) -> None:
        for leaf, right in zip(tree.leaves(self.x), tree.leaves(self.here.x), strict=True):
            if not np.array_equal(self.trial.backend.to_numpy(leaf), right):
                raise Refused(Verdict.DISAGREES, reason)

    def _kept_are_unchanged(self, kept: Sequence[Kept], reason: str) -> None:
        for one in kept:
            if not _equal(self.trial.copies(one.native), one.copies):
                raise Refused(
                    Verdict.DISAGREES, f"{reason}: each call must return arrays of its own"
                )

    # --- new points ---

    def _check_far(self) -> None:
        """Ask at a point far from those seen; where it is no fair one, at another."""
        self._at_new_points("here", "at a new point, far from those it was checked at")

    def _check_near(self) -> None:
        self._at_new_points("elsewhere", "at a new point near x")

    def _at_new_points(self, which: str, when: str) -> None:
        while self.points is not None and (new := self.points.current()) is not None:
            point: Point = getattr(new, which)
            try:
                with self._inexact_too(new.error), _because(when):
                    self._ask_at(point, when)
            except Refused as refused:
                if self._counts(refused, point):
                    raise
                self.points.discard()
            else:
                return
        if which == "here":
            self.left_out.append("at a new point")

    def _ask_at(self, point: Point, when: str) -> None:
        x = self.trial.put(point.x)
        begun = self._now()
        try:
            native = self.call(x)
        except Exception as exc:
            raised = settle.failed(self.result, exc)
            raise Refused(
                Verdict.FAILED, f"{when}: {raised.reason}", traceback=raised.traceback
            ) from exc
        self._call_s = min(self._call_s, self._spent_s(begun))
        self.trial.check_answer(native, point, self.target, when)

    @contextmanager
    def _inexact_too(self, reference_error: float) -> Iterator[None]:
        """Allow for differences, the method's or the reference's: they are less exact elsewhere."""
        trial, before, error = self.trial, self.trial.tolerance, self.trial.error
        own = trial.method.tolerance(self.result.cell.dtype)
        trial.tolerance = max(before, reference_error)
        if own is not None:
            trial.tolerance = max(before, min(INEXACT * own, 0.1))
        try:
            yield
        finally:
            trial.tolerance = before
            if own is not None or reference_error:
                trial.error = error

    def _counts(self, refused: Refused, point: Point) -> bool:
        """Say whether a miss at a new point is the method's: others must be right there."""
        assert self.points is not None  # noqa: S101 - there was a point
        known = refused.found.get("error", math.inf)
        error = math.inf if known is None else float(known)
        if not self.points.tells(point, error):
            return False
        new, cell, backend = self.points.current(), self.result.cell, self.trial.backend
        assert new is not None  # noqa: S101 - the point is one of them
        others = [name for name in backend.witnesses if name != cell.method]
        moved = replace(self.trial.problem, x=new.here.x, elsewhere=new.elsewhere.x)
        return not others or any(
            settle.settle(
                replace(cell, method=name, operator="jacobian"),
                moved,
                backend,
                registry.method(name),
                new,
            ).result.verdict
            is Verdict.AGREES
            for name in others
        )

    # --- the same x ---

    def _check_rewritten(self) -> None:
        """Write another point's values into the very x that was timed, and then its own."""
        other = self.trial.reference.elsewhere
        mine = [self.trial.backend.to_numpy(leaf) for leaf in tree.leaves(self.x)]
        result = self.call(self.x)
        if not _written(self.x, self.trial.put(other.x)):
            return
        try:
            self._check(
                result,
                self.here,
                "its result changes with x after the call has returned: it is computed later, or "
                "shares the memory of x",
            )
            self._check(
                self.call(self.x),
                other,
                "it keeps answers by the array x, not by the values in it: asked with other values",
            )
        finally:
            _written(self.x, self.trial.put(tree.unflatten(self.x, mine)))
        self._check(self.call(self.x), self.here, "asked again with x as it was before")

    def _check_in_a_row(self) -> None:
        """Ask for x again and again, and look at all results at the end."""
        count = IN_A_ROW if self._call_s * IN_A_ROW < BUDGET_S / 4 else 4
        kept = []
        for number in range(count):
            native = self.call(self.x)
            self._check(native, self.here, f"in call {number + 1} of {count} for the same x")
            if sum(array.nbytes for array in self.trial.copies(native)) * count < 1 << 26:
                kept.append(Kept(native, self.trial.copies(native)))
        self._kept_are_unchanged(kept, f"one of {count} results was overwritten by a later call")

    def _check_own(self) -> None:
        """Write into a result, as its owner may, and ask again."""
        result = self.call(self.x)
        shared = (self.target.constants, self.target.vector)
        before = [self.trial.copies(part) for part in shared]
        if not all(
            _filled(leaf) for leaf in tree.leaves(result) if self.trial.backend.is_array(leaf)
        ):
            return
        self._x_is_unchanged("its result shares the memory of x")
        try:
            self._check(self.call(self.x), self.here, "once a result of before was written into")
        except Refused:
            if all(_equal(self.trial.copies(p), b) for p, b in zip(shared, before, strict=True)):
                raise
            self.cautions.append(
                "its result shares memory with what it is computed from: writing into it changes "
                "later answers"
            )
            for part, copies in zip(shared, before, strict=True):
                arrays = [a for a in tree.leaves(part) if self.trial.backend.is_array(a)]
                _written(arrays, [self.trial.put(copy) for copy in copies])

    def _check_reading(self) -> None:
        """Ask with an x that may not be written into, or that counts what is written."""
        x = self.trial.put(self.here.x)
        leaves = tree.leaves(x)
        counts = [getattr(leaf, "_version", None) for leaf in leaves]
        for leaf in leaves:
            if isinstance(leaf, np.ndarray):
                leaf.flags.writeable = False
        told = "it writes into x, and puts x back before it returns"
        try:
            self.call(x)
        except ValueError as exc:
            if "read-only" not in str(exc):
                raise
            raise Refused(Verdict.DISAGREES, told) from exc
        if [getattr(leaf, "_version", None) for leaf in leaves] != counts:
            raise Refused(Verdict.DISAGREES, told)

    def _check_thread(self) -> None:
        """Ask from a second thread, as a server or a data loader would."""
        if not self.threads or self.result.cell.device != "cpu":
            return
        x, found = self.trial.put(self.here.x), list[Native]()
        raised = list[BaseException]()

        def ask() -> None:
            try:
                found.append(self.call(x))
            except Exception as exc:  # noqa: BLE001 - told as a caution
                raised.append(exc)

        thread = threading.Thread(target=ask, name="jacbench-second-thread")
        thread.start()
        thread.join()
        if raised:
            self.cautions.append(
                f"it works in the thread that prepared it alone: in another it raised "
                f"{type(raised[0]).__name__}"
            )
        else:
            self._check(found[0], self.here, "from a second thread")

    # --- time ---

    def _check_waiting(self) -> None:
        """Refuse a result that is computed once somebody reads it."""
        if self._evaluates(lambda: None, first=self.call):
            raise Refused(
                Verdict.DISAGREES, "it computes its result when that is read, not when it is called"
            )
        cell, backend = self.result.cell, self.trial.backend
        calls, reads, controls = [], [], []
        for _ in range(TURNS):
            begun = time.perf_counter()
            native = self.call(self.x)
            called = time.perf_counter()
            arrays = self.trial.copies(native)
            reads.append(time.perf_counter() - called)
            calls.append(called - begun)
            there = [backend.put(array, cell.device, cell.dtype) for array in arrays]
            backend.synchronise(there)
            begun = time.perf_counter()
            self.trial.copies(there)
            controls.append(time.perf_counter() - begun)
        late, call_s = min(reads) - min(controls), min(calls)
        if late > max(LATE * call_s, FEW_S):
            raise Refused(
                Verdict.DISAGREES,
                f"it returns before its result is there: {late:.2g} s go by after a call of "
                f"{call_s:.2g} s until the result can be read",
            )

    def _check_keeping(self) -> None:
        """Compare an answer at the same x with one at an x like it that is new each time."""
        new = iter(self._like_x(8 + 3 * TURNS))
        if self._keeps(new):
            raise Refused(
                Verdict.DISAGREES,
                "it keeps answers: the function is evaluated at a new x, and not again at the same",
            )
        ratio = self._fresh_over_same(new)
        if ratio > KEEPING:
            self.cautions.append(
                f"answers at the same x are {ratio:.2g} times as fast as at a new one: is it "
                "keeping answers?"
            )

    def _keeps(self, new: Iterator[Native]) -> bool:
        """Say whether the function is evaluated at each new x, and not when asked for it again.

        Between the pairs are 1, 3 and 0 other calls: no k-th call, as a guard's, begins them all.
        """
        for others in (1, 3, 0, 0):
            again = functools.partial(self.call, next(new))
            if not self._evaluates(again) or self._evaluates(again):
                return False
            for _ in range(others):
                self.call(next(new))
        return True

    def _fresh_over_same(self, new: Iterator[Native]) -> float:
        """Return how many times as long a call takes at an x that is new; 1 where it may be noise.

        By the processor's time, where the processor computes: a neighbour does not count.
        """
        clock = time.process_time if self.result.cell.device == "cpu" else time.perf_counter
        same: list[float] = []
        fresh: list[float] = []
        for _ in range(TURNS):
            self.call(self.x)
            for xs, into in (([self.x] * 3, same), ([next(new) for _ in range(3)], fresh)):
                begun = clock()
                for x in xs:
                    self.call(x)
                into.append((clock() - begun) / 3)
        if min(fresh) - min(same) < FEW_S / 10:
            return 1.0
        return float(min(fresh) / max(min(same), 1e-9))

    def _like_x(self, count: int) -> list[Native]:
        """Return so many x, all different, each a few roundings from x."""
        eps = 4 * float(np.finfo(self.result.cell.dtype).eps)

        def like(k: int) -> Native:
            def moved(leaf: Array) -> Array:
                if leaf.dtype.kind != "f":
                    return leaf
                return np.asarray(leaf * (1 + k * eps) if leaf.any() else leaf + k * eps)

            return self.trial.put(tree.map_leaves(moved, self.here.x))

        return [like(k) for k in range(1, count + 1)]

    def _evaluates(
        self, call: Callable[[], Any], *, first: Callable[[Any], Native] | None = None
    ) -> bool:
        """Say whether ``call`` runs the function, or its Jacobian by hand, in Python.

        With ``first``, whether reading what that returned does. Where the process is profiled by
        somebody else, or a compiler runs the function, nothing is seen.
        """
        native = None if first is None else first(self.x)
        if sys.getprofile() is not None:
            return False
        ran = False

        def watch(frame: FrameType, event: str, _: Any) -> None:
            nonlocal ran
            ran = ran or (event == "call" and frame.f_code in self.codes)

        sys.setprofile(watch)
        try:
            call() if first is None else self.trial.copies(native)
        finally:
            sys.setprofile(None)
        return ran

    def _check_faster(self) -> None:
        """Tell of a Jacobian that is there sooner than the function's value."""
        cell, backend = self.result.cell, self.trial.backend
        known = {} if self.points is None else self.points.function_s
        key = cell.backend, cell.device
        if key not in known:
            ways = (self.target.function, backend.staged(self.target.function))
            known[key] = min(map(self._function_seconds, ways))
        call_s = min(_seconds(lambda: self.call(self.x), 3) for _ in range(TURNS))
        if known[key] > FASTER * call_s and known[key] - call_s > FEW_S / 10:
            self.cautions.append(
                f"it is {known[key] / call_s:.2g} times as fast as the function itself: is it "
                "computed in every call?"
            )

    def _function_seconds(self, function: Callable[..., Native]) -> float:
        """Return the time of the function's value at x; infinite where it has none this way."""

        def value() -> None:
            self.trial.backend.synchronise(function(self.x, *self.target.constants))

        try:
            value()
        except Exception:  # noqa: BLE001 - what a compiler cannot take may be called step by step
            return math.inf
        return min(_seconds(value, 3) for _ in range(TURNS))


@contextmanager
def _because(reason: str) -> Iterator[None]:
    """Name the step in what it refuses."""
    try:
        yield
    except Refused as refused:
        if refused.reason.startswith(reason):
            raise
        raise Refused(refused.verdict, f"{reason}: {refused.reason}", **refused.found) from refused


def _equal(one: Sequence[Array], other: Sequence[Array]) -> bool:
    return len(one) == len(other) and all(
        np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in zip(one, other, strict=True)
    )


def _written(x: Native, values: Native) -> bool:
    """Write ``values`` into the arrays of x; say whether the library lets that be done."""
    try:
        for leaf, value in zip(tree.leaves(x), tree.leaves(values), strict=True):
            leaf[...] = value
    except (TypeError, ValueError, RuntimeError):
        return False
    return True


def _filled(leaf: Native) -> bool:
    """Write NaN into all of an array; say whether the library lets that be done."""
    try:
        leaf[...] = math.nan
    except (TypeError, ValueError, RuntimeError):
        return False
    return True


def _seconds(call: Callable[[], Any], times: int) -> float:
    begun = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - begun) / times


def _codes(*functions: Callable[..., Any] | None) -> frozenset[CodeType]:
    """Return the code of what is written in Python among ``functions``."""
    found = set()
    for function in functions:
        if function is None:
            continue
        whole: Any = inspect.unwrap(function)
        whole = getattr(whole, "func", whole)  # of functools.partial
        code = getattr(whole, "__code__", None)
        if isinstance(code, CodeType):
            found.add(code)
    return frozenset(found)
