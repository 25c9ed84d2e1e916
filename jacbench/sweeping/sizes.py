"""Which sizes a sweep visits, and the problems of the catalogue that they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jacbench import problems
from jacbench.core.errors import JacbenchError

Sizes = str | int | Sequence[int]
"""``16:4096`` for doublings, ``16:4096:5`` for five geometric steps, ``16,32,100``, or numbers."""

MOST = 100
"""Sizes of one sweep: with more, what was meant is something else."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One size of a sweep.

    Attributes
    ----------
    problem
        Its name, with the sizes in brackets.
    sizes
        The parameters that were given, and their values here.
    x
        Where it lies on the axis of the sweep.
    """

    problem: str
    sizes: Mapping[str, int]
    x: float


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a sweep visits.

    Attributes
    ----------
    problem
        Its name, without the sizes that are swept.
    axis
        What x is: the parameter that varies, the first of several, or ``m / n``.
    points
        By x, which differs from each to the next.
    beside
        What varies or was set besides the axis, ``m = 16 to 64``; '' where nothing does.
    """

    problem: str
    axis: str
    points: tuple[Point, ...]
    beside: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The problems' names, by x."""
        return tuple(point.problem for point in self.points)


def plan(problem: str, asked: Mapping[str, Sizes]) -> Plan:
    """Return the points of a sweep of ``problem`` over the sizes ``asked`` for.

    Parameters that vary go together step by step: each has as many values, or a single one.

    Raises
    ------
    JacbenchError
        One line for a problem or a parameter that is not there, sizes that are none, parameters
        that do not go together, or fewer than two sizes.
    """
    known = problems.entry(problem).parameters
    has = ", ".join(f"{name}={value}" for name, value in known.items())
    if not known:
        raise JacbenchError(
            f"problem {problem!r} has no sizes to choose: jacbench list shows those that have"
        )
    if not asked:
        raise JacbenchError(
            f"nothing to sweep: {problem} has {has}: give sizes, such as "
            f"--{next(iter(known))} 16:4096"
        )
    in_brackets = problem.partition("[")[2].rstrip("]").split(",")
    said = {part.partition("=")[0].strip() for part in in_brackets}
    for name in asked:
        if name not in known:
            raise JacbenchError(f"problem {problem!r} has no size {name!r}: it has {has}")
        if name in said:
            raise JacbenchError(f"--{name}: {problem!r} says it in its brackets: say it once")
    given = {name: values(name, sizes) for name, sizes in asked.items()}
    varying = [name for name, found in given.items() if len(set(found)) > 1]
    if not varying:
        raise JacbenchError(
            "a sweep needs at least two sizes: give a range such as "
            f"--{next(iter(given))} 16:4096, or use jacbench run for one"
        )
    rows = _together(given)
    axis, positions = _axis(varying, rows)
    if len(set(positions)) < len(positions):
        raise JacbenchError(
            f"{axis} is the same at several steps of this sweep: let it differ at each, or give "
            "first the size that does"
        )
    points = [
        Point(problem=_named(problem, row), sizes=row, x=x)
        for row, x in zip(rows, positions, strict=True)
    ]
    return Plan(
        problem=problem,
        axis=axis,
        points=tuple(sorted(points, key=lambda point: point.x)),
        beside=", ".join(_told(name, given[name]) for name in given if name != axis),
    )


def values(name: str, sizes: Sizes) -> tuple[int, ...]:
    """Return the whole numbers that ``sizes`` mean, in the order given.

    Raises
    ------
    JacbenchError
        One line where they mean none, or too many.
    """
    asked = f"--{name} {sizes}" if isinstance(sizes, (str, int)) else f"{name}={sizes!r}"
    try:
        found = _values(sizes)
    except (TypeError, ValueError, OverflowError):
        found = ()
    if not found or min(found) < 1:
        raise JacbenchError(
            f"{asked}: give whole numbers of at least 1: a range 16:4096 (doublings), 16:4096:5 "
            "(five geometric steps), or a list 16,32,100"
        )
    if len(found) > MOST:
        raise JacbenchError(f"{asked}: {len(found)} sizes: a sweep has at most {MOST}")
    return found


def _values(sizes: Sizes) -> tuple[int, ...]:
    if isinstance(sizes, int):
        return (sizes,)
    if not isinstance(sizes, str):
        return tuple(_whole(value) for value in sizes)
    if ":" not in sizes:
        return tuple(int(part) for part in sizes.split(","))
    first, last, *steps = (int(part) for part in sizes.split(":"))
    if min(first, last) < 1 or len(steps) > 1:
        return ()
    if steps:
        return _geometric(first, last, steps[0])
    small, large = sorted((first, last))
    count = (large // small).bit_length()
    doublings = [small << i for i in range(count)]
    # Downwards from the first, which is the one that was named.
    return tuple(doublings if first <= last else [first >> i for i in range(count)])


def _whole(value: object) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(value)
    return int(value.__index__())


def _geometric(first: int, last: int, steps: int) -> tuple[int, ...]:
    """Return ``steps`` whole numbers from ``first`` to ``last``, each about as many times the last.

    Neighbours may be equal where there are fewer whole numbers than steps.
    """
    if steps < 2:
        return ()
    if steps > MOST:
        return tuple(range(1, steps + 1))  # only counted: the caller says that they are too many
    ratio = last / first
    return tuple(round(first * ratio ** (i / (steps - 1))) for i in range(steps))


def _together(given: Mapping[str, Sequence[int]]) -> list[dict[str, int]]:
    """Return the sizes of each step, each once; a single value holds at all of them."""
    counts = {name: len(found) for name, found in given.items() if len(found) > 1}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{name} has {count}" for name, count in counts.items())
        raise JacbenchError(
            f"sizes that vary together go step by step, and {told}: give each as many, or one"
        )
    rows = [
        {name: found[step] if len(found) > 1 else found[0] for name, found in given.items()}
        for step in range(max(counts.values()))
    ]
    return list({tuple(row.values()): row for row in rows}.values())


def _axis(varying: Sequence[str], rows: Sequence[Mapping[str, int]]) -> tuple[str, list[float]]:
    """Return what x is and its value at each step: m / n where these two alone vary."""
    if set(varying) == {"m", "n"}:
        ratios = [row["m"] / row["n"] for row in rows]
        if len(set(ratios)) > 1:
            return "m / n", ratios
    axis = varying[0]
    return axis, [float(row[axis]) for row in rows]


def _named(problem: str, sizes: Mapping[str, int]) -> str:
    told = ",".join(f"{name}={value}" for name, value in sizes.items())
    return f"{problem[:-1]},{told}]" if problem.endswith("]") else f"{problem}[{told}]"


def _told(name: str, found: Sequence[int]) -> str:
    return f"{name} = {found[0]}" + (f" to {found[-1]}" if len(set(found)) > 1 else "")
