"""A function f = g o h split at its narrowest place: its Jacobian is Jg Jh.

Reference: A. Griewank and A. Walther, Evaluating Derivatives (2nd ed., 2008), chapter 10: the
chain rule may be multiplied out in any order, and accumulating around a thin middle needs as many
passes as the middle has values, in place of as many as there are inputs or outputs.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence, Set
from dataclasses import dataclass

from jacbench.backend import UnfitError
from jacbench.structure.minimum_cut import minimum_cut
from jacbench.structure.program import Program, Step

NARROW = 4
"""How many times the middle must fit into the narrower of x and y.

Both factors together cost about k passes through f, and the product m n k multiplications beside
min(m, n) passes for the whole: at a half there is next to nothing to win.
"""


@dataclass(frozen=True)
class Half:
    """What is run between x and the middle, or between the middle and y.

    Attributes
    ----------
    steps
        In an order in which they can be run.
    linear
        True where the derivative is the same wherever it is taken, by the steps' own nature.
    work
        The numbers read and written by the steps that a derivative passes: about what a pass costs.
    """

    steps: tuple[Step, ...]
    linear: bool
    work: int


@dataclass(frozen=True)
class Halves:
    """A program split in two.

    Attributes
    ----------
    cut
        The values in the middle, in the program's order.
    k
        How many numbers they hold.
    side
        What the outer half needs beside them: values that depend on x and have no derivative.
    inner, outer
        h from x to the middle, and g from there to y.
    place
        Where the middle is, in words: ``tanh (16,)``.
    """

    cut: tuple[Hashable, ...]
    k: int
    side: tuple[Hashable, ...]
    inner: Half
    outer: Half
    place: str

    def notes(self) -> dict[str, str | int]:
        """Return what the results file keeps: k, where the middle is, which factor is constant."""
        constant = [name for name, half in (("Jg", self.outer), ("Jh", self.inner)) if half.linear]
        found: dict[str, str | int] = {"k": self.k, "cut": self.place}
        return {**found, "constant": " and ".join(constant)} if constant else found


def halve(program: Program) -> Halves:
    """Return ``program`` split where it is narrowest.

    Among equally narrow places the one is taken that leaves the least work, the derivative of a
    linear half being a constant.

    Raises
    ------
    UnfitError
        Where no place is narrow enough for the factors to be cheaper than the whole.
    """
    smooth = program.active
    cut = None
    if program.output in smooth:
        sizes = {v: program.values[v].size if program.values[v].flat else None for v in smooth}
        cut = minimum_cut(sizes, program.edges(), program.inputs, [program.output])
    if cut is None:
        raise UnfitError("no derivative passes from x to y: the Jacobian is zero")
    n = sum(program.values[leaf].size for leaf in program.inputs)
    m = program.values[program.output].size
    if cut.size * NARROW > min(m, n):
        raise UnfitError(
            f"the narrowest place between x and y holds {_count(cut.size)}, of min(m, n) = "
            f"{min(m, n)}: too wide for two thin factors"
        )
    found = [_split(program, ends, cut.size) for ends in (cut.near_outputs, cut.near_inputs)]
    return min(found, key=_remaining)


def _count(size: int) -> str:
    return "1 value" if size == 1 else f"{size} values"


def _remaining(halves: Halves) -> int:
    return sum(half.work for half in (halves.inner, halves.outer) if not half.linear)


def _split(program: Program, ends: Set[Hashable], k: int) -> Halves:
    cut = _ordered(program, ends)
    known = program.computable(cut)
    # What has no derivative and rests on x past the middle is computed with the inner half.
    apart = program.dependent - program.active - known
    outer, rests_on = program.needed([program.output], ends | apart)
    side = _ordered(program, rests_on - ends)
    inner, _ = program.needed([*cut, *side], set(program.inputs))
    return Halves(
        cut,
        k,
        side,
        _half(program, inner, program.inputs),
        _half(program, outer, cut),
        ", ".join(_told(program, value) for value in cut),
    )


def _ordered(program: Program, values: Set[Hashable]) -> tuple[Hashable, ...]:
    written = (value for step in program.steps for value in step.writes)
    return tuple(value for value in (*program.inputs, *written) if value in values)


def _half(program: Program, steps: Sequence[Step], entries: Iterable[Hashable]) -> Half:
    moving = program.moved_by(entries, steps)
    passed = [step for step in steps if not step.blind and not moving.isdisjoint(step.reads)]
    passed = [step for step in passed if not moving.isdisjoint(step.writes)]
    touched = (value for step in passed for value in (*step.reads, *step.writes))
    return Half(
        tuple(steps),
        all(_linear(program, step, moving) for step in passed),
        sum(program.values[value].size for value in touched),
    )


def _linear(program: Program, step: Step, moving: Set[Hashable]) -> bool:
    """Say whether the step is affine in what moves, with factors that do not depend on x."""
    factors = program.dependent.intersection(step.reads) - moving
    return not factors and step.linear(moving)


def _told(program: Program, value: Hashable) -> str:
    step = program.producers.get(value)
    return f"{'x' if step is None else step.name} {program.values[value].shape}"
