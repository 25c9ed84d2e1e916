"""A function as straight-line code: what each step reads, and what a derivative passes through."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Value:
    """What is known of a value before it is computed.

    Attributes
    ----------
    shape
        Its shape; of several arrays in one value, any shape of as many entries.
    carries
        True where it can have a derivative: floating-point, real or complex.
    flat
        True where it can be laid out as a vector of real numbers: one real array.
    """

    shape: tuple[int, ...]
    carries: bool
    flat: bool

    @property
    def size(self) -> int:
        """The number of entries."""
        return math.prod(self.shape)


@dataclass(frozen=True, eq=False)
class Step:
    """One operation of a library.

    Attributes
    ----------
    name
        The operation's, for messages.
    reads, writes
        Values, without the numbers that stand in the code itself.
    linear
        ``linear(moving)`` says whether the operation is affine in the values of ``moving``
        together, whatever the others are. It must not say so of one that it does not know.
    source
        The library's own object.
    blind
        True where the derivative of what it writes is zero everywhere, by definition.
    """

    name: str
    reads: tuple[Hashable, ...]
    writes: tuple[Hashable, ...]
    linear: Callable[[Set[Hashable]], bool]
    source: Any = None
    blind: bool = False


@dataclass(frozen=True, eq=False)
class Program:
    """Steps in an order in which they can be run, from the leaves of x to y.

    Attributes
    ----------
    steps
        The operations. No step changes a value in place.
    values
        Every value that a step reads or writes, and the inputs.
    inputs
        The leaves of x. All other values that no step writes are constants.
    output
        The value y; one that is not in ``values`` does not depend on x.
    """

    steps: tuple[Step, ...]
    values: Mapping[Hashable, Value]
    inputs: tuple[Hashable, ...]
    output: Hashable

    @functools.cached_property
    def producers(self) -> dict[Hashable, Step]:
        """The step that writes each value."""
        return {value: step for step in self.steps for value in step.writes}

    @functools.cached_property
    def dependent(self) -> set[Hashable]:
        """The values that depend on x in any way: through integers and comparisons too."""
        found = set(self.inputs)
        for step in self.steps:
            if not found.isdisjoint(step.reads):
                found.update(step.writes)
        return found

    @functools.cached_property
    def active(self) -> set[Hashable]:
        """The values whose derivative by x is not zero by definition."""
        return self.moved_by(self.inputs, self.steps)

    def moved_by(self, entries: Iterable[Hashable], steps: Iterable[Step]) -> set[Hashable]:
        """Return ``entries``, and what carries their derivative on through ``steps``."""
        found = set(entries)
        for step in steps:
            if not step.blind and not found.isdisjoint(step.reads):
                found.update(value for value in step.writes if self.values[value].carries)
        return found

    def edges(self) -> Iterator[tuple[Hashable, Hashable]]:
        """Yield ``(a, b)`` where a derivative passes from a to b in one step."""
        for step in self.steps:
            written = [value for value in step.writes if value in self.active]
            for read in self.active.intersection(step.reads):
                yield from ((read, value) for value in written if not step.blind)

    def computable(self, given: Iterable[Hashable]) -> set[Hashable]:
        """Return ``given``, and what follows from it and from constants without x."""
        found = set(given)
        for step in self.steps:
            if all(read in found or read not in self.dependent for read in step.reads):
                found.update(step.writes)
        return found

    def needed(
        self, wanted: Iterable[Hashable], given: Set[Hashable]
    ) -> tuple[tuple[Step, ...], set[Hashable]]:
        """Return the steps that lead to ``wanted``, and those values of ``given`` they rest on."""
        steps, rests_on = set(), set()
        ahead, seen = list(wanted), set()
        while ahead:
            value = ahead.pop()
            if value in seen:
                continue
            seen.add(value)
            if value in given:
                rests_on.add(value)
            elif value in self.producers:
                step = self.producers[value]
                steps.add(step)
                ahead.extend(step.reads)
        return tuple(step for step in self.steps if step in steps), rests_on
