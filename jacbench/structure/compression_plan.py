"""How to compress the Jacobian at hand: a pattern, its check, and whether it is worth it."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from jacbench.backend import Target, UnfitError
from jacbench.core.errors import JacbenchError
from jacbench.core.pattern import Pattern
from jacbench.structure import compression, probe_order
from jacbench.structure.compression import Compression
from jacbench.structure.pattern_check import Products, missed
from jacbench.structure.probe_order import Side, shape_of

DENSITY = 0.3
"""The share of places beyond which a Jacobian is not worth compressing."""

COLOURS = 0.5
"""The same for the number of colours, as a share of min(m, n): what a dense method needs."""

NEARLY = 1.5
"""Columns and rows are both offered where neither needs more colours than this times the other."""


@dataclass(frozen=True, eq=False)
class Plan:
    """How a Jacobian can be compressed.

    Attributes
    ----------
    pattern
        Where it may be other than zero.
    compressions
        The one with fewest colours first; columns before rows where they are equal. Another
        follows where it needs hardly more.
    notes
        What was found, for the results file.
    everywhere
        True where the pattern follows from the program text, so that it holds for every x.
    """

    pattern: Pattern
    compressions: tuple[Compression, ...]
    notes: dict[str, str | int | float]
    everywhere: bool = False

    @property
    def best(self) -> Compression:
        """The compression with fewest colours."""
        return self.compressions[0]

    def noted(self, by: str, *why: str) -> Plan:
        """Return the plan with a note of what gave the pattern, and why nothing before that did."""
        because = {"pattern_because": "; ".join(filter(None, why))} if any(why) else {}
        return replace(self, notes={"pattern": by, **self.notes, **because})


Detection: TypeAlias = tuple[str, Callable[[], Pattern]]
"""What finds, from the program text, a pattern that holds for every x; and its name."""


def plan(
    target: Target,
    points: Sequence[Products],
    detect: Sequence[Detection] = (),
    *,
    probe: bool = True,
    before: Pattern | None = None,
    further: Callable[[], Iterable[Products]] = tuple,
) -> Plan:
    """Find the pattern, check it at every point and compress it.

    Parameters
    ----------
    target
        Its own pattern, where it has one, is taken and checked.
    points
        Products with J at x, and elsewhere.
    detect
        What finds a pattern without products, in turn: tried before products are.
    probe
        Whether to go on to products where that finds none.
    before
        Places that were seen at other points, to be held too.
    further
        Products at points of other signs and scales. What products find at ``points`` is held
        against them, and looked for there too where it misses something.

    Raises
    ------
    UnfitError
        Where the Jacobian is too dense for this to pay, or no pattern is found.
    JacbenchError
        Where a pattern was given, and is of another shape or wrong.
    """
    shape = shape_of(target)
    sides, lacking = _sides(points[0], shape)
    if target.pattern is not None:
        return _given(target.pattern, target, points, sides).noted("given", lacking)
    attempts = probe_order.promising(target, points[0], sides)
    why: list[str] = []
    for by, pattern_of in detect:
        try:
            made = _plan_of(pattern_of(), sides, before)
            if _holds(made, points, target.dtype):
                return replace(made, everywhere=True).noted(by, *why, lacking)
            why.append(f"{by} misses a place")
        except UnfitError as exc:
            why.append(f"{by}: {exc}")
    if not probe:
        raise UnfitError(why[0])
    probed = probe_order.find(points, shape, attempts)
    made = _plan_of(probed.pattern, sides, before)
    if not _holds(made, points, target.dtype):
        raise UnfitError(
            "its products with J do not repeat: no pattern that random products give holds for "
            "others"
        )
    used, looked_at = probed.products * len(points), len(points)
    for at in further():
        made, more = _widened(made, at, target, sides, attempts)
        used, looked_at = used + more, looked_at + 1
    made.notes["products"] = used
    made.notes["caveat"] = f"a coupling that is dead at {_count(looked_at)} is not seen"
    return made.noted("probing", *why, lacking)


def _widened(
    made: Plan,
    at: Products,
    target: Target,
    sides: Sequence[Side],
    attempts: Sequence[probe_order.Attempt],
) -> tuple[Plan, int]:
    """Return the plan with the places of one more point, and how many products that took.

    Where that does not pay the plan is as it was: whoever comes by that point finds out.
    """
    with contextlib.suppress(UnfitError):
        if not _holds(made, [at], target.dtype):
            probed = probe_order.find([at], shape_of(target), attempts)
            wider = _paying(made.pattern.union(probed.pattern), sides)
            if _holds(wider, [at], target.dtype):
                return wider, probed.products
    return made, 0


def _count(points: int) -> str:
    return "the one point looked at" if points == 1 else f"the {points} points looked at"


def too_dense(nnz: int, shape: tuple[int, int]) -> str | None:
    """Return why a Jacobian with at least ``nnz`` entries is not worth compressing, or None."""
    (m, n), density = shape, nnz / math.prod(shape)
    if density <= DENSITY:
        return None
    return (
        f"J has {nnz} of {m} x {n} places, {100 * density:.0f} %: compressing pays below "
        f"{100 * DENSITY:.0f} %"
    )


def _plan_of(pattern: Pattern, sides: Sequence[Side], before: Pattern | None = None) -> Plan:
    """Return the compressions worth trying, fewest colours first; refuse what does not pay.

    The places known ``before`` are held too, as long as that pays.
    """
    if before is not None:
        with contextlib.suppress(UnfitError):
            return _paying(pattern.union(before), sides)
    return _paying(pattern, sides)


def _paying(pattern: Pattern, sides: Sequence[Side]) -> Plan:
    m, n = pattern.shape
    dense = too_dense(pattern.nnz, pattern.shape)
    if dense is not None:
        raise UnfitError(dense)
    made = _compressed(pattern, sides)
    if made[0].count > COLOURS * min(m, n):
        told = " and ".join(f"{one.count} products by {one.by}" for one in made)
        raise UnfitError(
            f"J takes {told} compressed, of min(m, n) = {min(m, n)} that it takes whole: "
            f"compressing pays below {100 * COLOURS:.0f} %"
        )
    return _plan_by(made)


def _compressed(pattern: Pattern, sides: Sequence[Side]) -> list[Compression]:
    makers = {"columns": compression.by_columns, "rows": compression.by_rows}
    return sorted((makers[side](pattern) for side in sides), key=lambda c: c.count)


def _plan_by(made: list[Compression]) -> Plan:
    pattern, fewest = made[0].pattern, made[0].count
    notes: dict[str, str | int | float] = {
        "nnz": pattern.nnz,
        "density": round(pattern.density, 6),
        "colours": fewest,
        "compressed_by": made[0].by,
    }
    return Plan(pattern, tuple(one for one in made if one.count <= NEARLY * fewest), notes)


def _holds(made: Plan, points: Sequence[Products], dtype: str) -> bool:
    return all(missed(made.best, at, dtype) is None for at in points)


def _given(
    pattern: Pattern, target: Target, points: Sequence[Products], sides: Sequence[Side]
) -> Plan:
    """Return the plan of a user's pattern, or say which place it misses."""
    if pattern.shape != shape_of(target):
        raise JacbenchError(
            f"the pattern has shape {pattern.shape} and the Jacobian {shape_of(target)}: give one "
            "boolean for each output (row) and input (column)"
        )
    made = _plan_by(_compressed(pattern, sides))
    for at in points:
        wrong = missed(made.best, at, target.dtype)
        if wrong is not None:
            what = "row" if made.best.by == "columns" else "column"
            raise JacbenchError(
                f"the given pattern is wrong: {what} {wrong} of J has an entry outside of it"
                f"{_place(made.best, at, wrong)}: mark every place that can be other than zero, or "
                "leave the pattern out"
            )
    return made


def _sides(products: Products, shape: tuple[int, int]) -> tuple[tuple[Side, ...], str]:
    """Return by which sides products can be computed, and the library's words on the other.

    One side is enough: a library may lack a forward rule, or a function have no reverse mode.
    """
    m, n = shape
    working: list[Side] = []
    raised: list[Exception] = []
    sides: tuple[tuple[Side, int], ...] = (("columns", n), ("rows", m))
    for side, size in sides:
        try:
            if products.attempt is None:
                products.by(side)(np.ones((1, size)))
            else:
                products.attempt(side)
            working.append(side)
        except Exception as exc:  # noqa: BLE001 - the other side may do; if not, it is raised
            raised.append(exc)
    if not working:
        raise raised[0]
    why = ""
    if raised:
        lacks = "forward" if working == ["rows"] else "reverse"
        said = " ".join(str(raised[0]).split())[:100]
        why = f"no {lacks} mode here: {said}"
    return tuple(working), why


def _place(given: Compression, at: Products, wrong: int) -> str:
    """Return which entry of a row (or column) the pattern misses, where one product can tell."""
    m, n = given.pattern.shape
    known = given.pattern.csr(np.ones(given.pattern.nnz))
    by_columns = given.by == "columns"
    one_hot = np.zeros((1, m if by_columns else n))
    one_hot[0, wrong] = 1.0
    try:
        line = (at.pull if by_columns else at.push)(one_hot)[0]
    except Exception:  # noqa: BLE001 - the line is known without it
        return ""
    held = (known[[wrong]] if by_columns else known[:, [wrong]].T).toarray()[0]
    outside = np.flatnonzero((line != 0) & (held == 0))
    if not outside.size:
        return ""
    return f", in {'column' if by_columns else 'row'} {outside[0]}"
