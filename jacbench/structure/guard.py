"""Each answer of a structured Jacobian, held against a product of the function itself.

A sparsity pattern, samples that are apart, a narrow middle: seen at a few points, each may be gone
at the next one, and the Jacobian is then wrong without a word. So a random product with the
Jacobian, computed from its parts, is compared with the same product of the function. A place that
is missed has part in it for all vectors but a set of measure zero, whence one vector is enough.
"""

from __future__ import annotations

import itertools
import math
import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np

from jacbench.backend import Method, Native, Prepared, Target, UnfitError, registry
from jacbench.core import tree
from jacbench.core.arrays import Array
from jacbench.core.errors import JacbenchError
from jacbench.core.layouts import FactoredLayout, Layout, SparseLayout
from jacbench.core.pattern import Pattern
from jacbench.core.tree import Tree
from jacbench.structure import points
from jacbench.structure.autotune import ROUNDS, SECONDS
from jacbench.structure.pattern_check import VECTORS, Compared, Products, wrong
from jacbench.structure.probe_order import Side, shape_of

ROUNDING = 64
"""Units of rounding within which two ways to one product agree, line by line.

Where they do not, two more products in NumPy decide: this limit costs time, and refuses nothing.
"""

FLOOR = 1e-4
"""Of the largest line: what was found to be rounding there is not looked into again up to this."""

BYTES = 2**25
"""For vectors drawn beforehand, and what they are multiplied with."""

MOST = 16
"""Vectors drawn beforehand; they are taken in turn."""

DEAR = 1.1
"""From so many times a call's own time on the guard's cost is told.

A random product costs about as much as one of those that the Jacobian is put together from: with k
of them a call takes about (k + 1) / k times as long.
"""

SLICE = 2**20
"""Entries of a dense Jacobian that are looked at together."""

_SEED = 0x9A4D


Gap: TypeAlias = tuple[float, Callable[[], float]]
"""How far two ways to one product are apart: of the line where that is most, beside its size.

And, computed only where that is asked, the largest difference beside the size of the largest line.
"""


Held: TypeAlias = Callable[[Native, int], tuple[Native, Gap]]
"""The result from x and the number of a call, with how far two ways to one product are apart."""


def gap(apart: Array, scale: Array) -> Gap:
    """Return how far two ways to one product are apart.

    Parameters
    ----------
    apart
        The difference, a line for each entry of the product.
    scale
        What rounding allows in each: the sum of the absolute values of all that was added up. So a
        small line is held against itself, and not against the largest.
    """
    tiny, apart = np.finfo(scale.dtype).tiny, abs(apart)

    def whole() -> float:
        return float(apart.max() / (scale.max() + tiny))

    return float((apart / (scale + tiny)).max()), whole


@dataclass(frozen=True, eq=False)
class Structured:
    """A Jacobian prepared for a structure.

    Attributes
    ----------
    call
        From x to the native result, synchronised.
    holding
        Returns what gives the same result and holds it against a product, by vectors that suit
        the ``met`` of :func:`vectors`.
    layout
        Of the result; None: that of the method.
    notes
        What the preparation found out.
    everywhere
        True where the structure follows from the program text, so that it holds for every x.
    side
        Whether products by ``columns``, J v, or by ``rows``, u J, are compared.
    pattern
        The sparsity pattern, where that is the structure: the next one is to hold it too.
    """

    call: Callable[[Native], Native] = field(default=lambda _: None)
    holding: Callable[[Array], Held] = field(
        default=lambda _met: lambda *_: (None, (0.0, lambda: 0.0))
    )
    layout: Layout | None = None
    notes: dict[str, str | int | float] = field(default_factory=dict)
    everywhere: bool = False
    side: Side = "columns"
    pattern: Pattern | None = None


def cost(alone: Callable[[], object], held: Callable[[], object], every: int) -> float:
    """Return about how many times as long a call takes with the guard: of a few calls each."""
    ways, best = (alone, held), [math.inf, math.inf]
    begun = time.perf_counter()
    for round_ in range(ROUNDS + 1):
        for number, way in enumerate(ways):
            start = time.perf_counter()
            way()
            if round_:  # the first may load what it needs
                best[number] = min(best[number], time.perf_counter() - start)
        if round_ and time.perf_counter() - begun > SECONDS:
            break
    without, looked = best
    return round(1 + max(0.0, looked / without - 1) / every, 2)


def qualified(caveat: str, which: str, does: str) -> str:
    """Return what was not seen where a structure was looked for, and what is done about it."""
    return (
        f"{caveat} beforehand; {which} is held against a product of the function itself, and what "
        f"it misses is {does}"
    )


def is_guarded(notes: Mapping[str, Any]) -> bool:
    """Say whether what was prepared, with these notes, rests on what was seen at points alone."""
    return "guard_cost" in notes


def share(notes: Mapping[str, Any]) -> str | None:
    """Return how much of each call is the guard's, in words; None where that is little."""
    times = notes.get("guard_cost")
    if not isinstance(times, float) or times <= DEAR:
        return None
    return f"of which the guard about {100 * (1 - 1 / times):.0f} %"


def looked_at(target: Target, *, everywhere: bool) -> int | None:
    """Return that one call in so many is looked at; None: none.

    ``everywhere`` says that the structure holds for every x: it is looked at where that is asked.
    """
    if target.guard.mode == "off" or (everywhere and target.guard.every is None):
        return None
    return target.guard.every or 1


class StructuredMethod(Method):
    """A method that relies on a structure, and is guarded where that was seen at points alone."""

    @abstractmethod
    def structured(self, target: Target, before: Pattern | None = None) -> Structured:
        """Find the structure of ``target``, which has to hold the places of ``before``.

        Raises
        ------
        UnfitError
            Where it has none.
        """

    @abstractmethod
    def products_of(self, target: Target) -> Callable[[Native], Products]:
        """Return from x to products with the function's Jacobian there that know no structure."""

    def further(self, target: Target) -> Iterator[Native]:
        """Yield points of other signs, scales and branches, in the function's domain."""
        backend = registry.load(registry.descriptor_of(self.info.name).name)

        def put(x: Tree) -> Native:
            return tree.map_leaves(lambda leaf: backend.put(leaf, target.device, target.dtype), x)

        def value(x: Tree) -> Array:
            return np.asarray(backend.to_numpy(target.function(put(x), *target.constants)))

        own = tree.map_leaves(backend.to_numpy, target.x)
        yield from map(put, points.further(own, value))

    def holding(self, target: Target, made: Structured, result: Native) -> Held:
        """Return the held call of ``made``, whose result at one point is ``result``."""
        layout = made.layout or self.layout(target)
        return made.holding(met(self.to_numpy(result), layout, shape_of(target), made.side))

    def to_numpy(self, result: Native) -> list[Array]:
        """Return the arrays of a result, in float64."""
        backend = registry.load(registry.descriptor_of(self.info.name).name)
        parts = [backend.to_numpy(part) for part in tree.leaves(result)]
        return [part.astype(np.float64, copy=False) for part in parts]

    def prepare(self, target: Target) -> Prepared:
        """Find the structure; guard it where it is not known to hold for every x."""
        made = self.structured(target)
        every = looked_at(target, everywhere=made.everywhere)
        if every is None:
            told = "off" if target.guard.mode == "off" else "none: it holds for every x"
            return Prepared(made.call, {**made.notes, "guard": told}, made.layout)
        which = "every call" if every == 1 else f"one call in {every}"
        notes = {**made.notes, "guard": f"{which}: {target.guard.mode}"}
        x = target.x
        held = self.holding(target, made, made.call(x))
        notes["guard_cost"] = cost(lambda: made.call(x), lambda: held(x, 0), every)
        if "caveat" in notes:
            does = "found anew" if target.guard.mode == "repair" else "an error"
            notes["caveat"] = qualified(str(notes["caveat"]), which, does)
        return Prepared(Guarded(self, target, made, held, every), notes, made.layout)


class Guarded:
    """The call of a structured Jacobian that looks whether the structure still holds.

    Attributes
    ----------
    every
        One call in so many is looked at.
    repairs
        How often the structure has been found anew.
    """

    def __init__(
        self,
        method: StructuredMethod,
        target: Target,
        made: Structured,
        held: Held,
        every: int,
    ) -> None:
        self.every = every
        self.repairs = 0
        self._method, self._target, self._now = method, target, (made, held)
        self._eps = float(np.finfo(target.dtype).eps)
        self._limit, self._floor = ROUNDING * self._eps, 0.0
        self._products = method.products_of(target)
        self._calls = itertools.count()
        self._lock = threading.Lock()
        self._rng = np.random.default_rng(_SEED)

    def __call__(self, x: Native) -> Native:
        """Return the native result at ``x``."""
        return self.answer(x)[0]

    def answer(self, x: Native) -> tuple[Native, Layout | None]:
        """Return the native result at ``x``, and its layout: a repair may have changed that."""
        (made, held), number = self._now, next(self._calls)
        if number % self.every:
            return made.call(x), made.layout
        result, (lines, whole) = held(x, number // self.every)
        # what is no number is neither
        if lines <= self._limit or (self._floor and whole() <= self._floor):
            return result, made.layout
        return self._doubted(x, made, result, (lines, whole))

    def _doubted(
        self, x: Native, made: Structured, result: Native, gap: Gap
    ) -> tuple[Native, Layout | None]:
        """Look more closely; find the structure anew where it is gone."""
        with self._lock:
            told = self._wrong(x, made, result)
            if told is None:
                self._let_pass(*gap)
                return result, made.layout
            if self._target.guard.mode == "raise":
                raise JacbenchError(
                    f"{self._name}: {told}: the structure seen where it was prepared is not that "
                    'of this x: prepare it here, or with guard="repair"'
                )
            known = self._now[0]
            made = known if known is not made else self._anew(x, told)
            result = made.call(x)
            told = self._wrong(x, made, result)
            if told is not None:
                made = self._anew(x, told)
                result = made.call(x)
                told = self._wrong(x, made, result)
            if told is not None:
                raise self._unfit(f"{told}, whatever structure is found")
            if made is not known:
                self._now = made, self._method.holding(self._target, made, result)
            return result, made.layout

    def _let_pass(self, lines: float, whole: Callable[[], float]) -> None:
        """Widen what is let pass, so that as much rounding is not looked into again.

        Where a line is nothing but rounding, no share of its own size tells how much there is: it
        is the largest line beside which that is small.
        """
        if 2 * lines <= self._eps**0.5:
            self._limit = max(self._limit, 2 * lines)
        elif 2 * whole() <= FLOOR:
            self._floor = max(self._floor, 2 * whole())

    @property
    def layout(self) -> Layout | None:
        """The layout of the next result; None: that of the method."""
        return self._now[0].layout

    @property
    def _name(self) -> str:
        return self._method.info.name

    def _anew(self, x: Native, told: str) -> Structured:
        """Return the Jacobian for the structure at ``x``, with the places known before."""
        before = self._now[0].pattern
        # places add up; of any other structure the one of this x is asked for
        elsewhere = None if before is None else self._target.x
        target = replace(self._target, x=_own(x), elsewhere=elsewhere, pattern=None)
        try:
            made = self._method.structured(target, before)
        except UnfitError as exc:
            raise self._unfit(f"{told}, and {exc}") from exc
        self.repairs += 1
        return made

    def _unfit(self, told: str) -> JacbenchError:
        return JacbenchError(
            f"{self._name}: the structure does not hold at this x: {told}: take a method that "
            "needs no structure"
        )

    def _wrong(self, x: Native, made: Structured, result: Native) -> str | None:
        """Return where the result differs from the function's own products, by new vectors."""
        target, side = self._target, made.side
        layout = made.layout or self._method.layout(target)
        m, n = shape_of(target)
        parts = self._method.to_numpy(result)
        drawn = self._rng.standard_normal((VECTORS, n if side == "columns" else m))
        product = self._products(x).by(side)

        def compared(factors: Array | float) -> Compared:
            vectors = (drawn * factors).astype(target.dtype).astype(np.float64)
            asked = product(vectors).astype(np.float64)
            found, size = _times(parts, layout, m, vectors, side)
            return Compared(vectors, asked, found, size + abs(asked))

        held = compared(evened(met(parts, layout, (m, n), side), target.dtype))
        if held.overflows:  # on the way to small lines there may be large numbers
            held = compared(1.0)
        asked, found = held.asked, held.found
        # an entry of J that is no number shows by itself
        off = wrong(held, product, target.dtype) & np.isfinite(found)
        lines = np.flatnonzero(off.any(axis=0))
        if not lines.size:
            return None
        line = int(lines[0])
        worst = int(np.argmax(off[:, line]))
        return (
            f"{'row' if side == 'columns' else 'column'} {line} of J times a random vector is "
            f"{found[worst, line]:.6g}, and {asked[worst, line]:.6g} by the function itself"
        )


def _own(x: Native) -> Native:
    """Return a copy: what is the caller's may be written to by the time it is used again."""

    def copied(leaf: Native) -> Native:
        for name in ("clone", "copy"):
            if hasattr(leaf, name):
                return getattr(leaf, name)()
        return leaf

    return tree.map_leaves(copied, x)


def _times(
    parts: list[Array], layout: Layout, m: int, vectors: Array, side: Side
) -> tuple[Array, Array]:
    """Return each vector's product with J, and the same of the absolute values."""
    factors: list[Any]
    if isinstance(layout, SparseLayout):
        factors = [layout.pattern.csr(parts[0])]
    elif isinstance(layout, FactoredLayout):
        factors = list(parts)
    else:
        factors = [layout.matrix(parts, m)]
    if side == "rows":
        factors = [factor.T for factor in reversed(factors)]
    products = vectors.T, abs(vectors.T)
    for factor in reversed(factors):
        products = factor @ products[0], abs(factor) @ products[1]
    return products[0].T, products[1].T


def met(parts: list[Array], layout: Layout, shape: tuple[int, int], side: Side) -> Array:
    """Return the sums of the absolute values that each entry of a vector is multiplied with.

    For products by columns those of J's columns, (n,), and by rows those of its rows, (m,).
    """
    if not isinstance(layout, (SparseLayout, FactoredLayout)):
        # in slices: the whole of it may be large
        along = 0 if side == "columns" else 1
        rows = np.array_split(layout.matrix(parts, shape[0]), 1 + math.prod(shape) // SLICE)
        sums = [abs(some).sum(axis=along) for some in rows]
        return np.asarray(sum(sums)) if side == "columns" else np.concatenate(sums)
    other: Side = "rows" if side == "columns" else "columns"
    ones = np.ones((1, shape[0 if side == "columns" else 1]))
    return np.asarray(_times(parts, layout, shape[0], ones, other)[1][0])


def evened(met: Array, dtype: str) -> Array:
    """Return powers of two that bring what a vector's entries are multiplied with to one size.

    A row of J that is 1e-30 of another adds to the same columns: beside it, nothing of it is left
    in a product u J, unless the entries of u make up for that. Where a sum is 0 or no number they
    are 1. At most 1e19 in float32, and 1e60 in float64.
    """
    seen = np.isfinite(met) & (met > 0)
    factors = np.ones(met.size)
    if seen.any():
        powers = np.log2(met[seen])
        most = min(float(np.finfo(dtype).maxexp) / 2, 200.0)
        factors[seen] = np.exp2(np.clip(np.round(np.median(powers) - powers), -most, most))
    return factors


def vectors(met: Array, dtype: str, bytes_each: int) -> Array:
    """Return random vectors to compare products by, as rows: as many as ``BYTES`` allow.

    Of entries between 0.5 and 1.5, of either sign, times what evens out what they are multiplied
    with: none is so small that this is lost. Drawn once, which is enough against a function that
    does not know them: what is missed has to be 0 along one of a few directions by accident.

    Parameters
    ----------
    met
        The sums of absolute values that each entry is multiplied with: see :func:`met`.
    bytes_each
        What one takes, with all that is kept beside it.
    """
    count, size = int(np.clip(BYTES // max(1, bytes_each), 2, MOST)), met.size
    rng = np.random.default_rng([_SEED, size])
    sign = rng.choice([-1.0, 1.0], (count, size))
    drawn = sign * rng.uniform(0.5, 1.5, (count, size)) * evened(met, dtype)
    return np.asarray(drawn, dtype=dtype)
