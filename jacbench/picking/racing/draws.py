"""What is drawn by lot: the order in which candidates are timed, and on which processor."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from typing import TypeVar

from jacbench.picking.bench import Bench
from jacbench.picking.options import PickOptions

T = TypeVar("T")


class Draws:
    """One generator for all that is drawn, from the seed of the options.

    Parameters
    ----------
    benches
        The processes that are bound.
    options
        Their threads, and the seed.
    bind
        True where the benches may be bound to processors.
    """

    def __init__(self, benches: Sequence[Bench], options: PickOptions, *, bind: bool) -> None:
        self._benches, self._options = benches, options
        self._bind = bind
        self._rng = random.Random(options.seed)  # noqa: S311 - an order, no secret
        self._cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []

    def order(self, among: Sequence[T]) -> list[T]:
        """Return all of ``among`` in an order drawn anew."""
        return self._rng.sample(among, len(among))

    def bind_to_one(self) -> None:
        """Put all benches on one processor, drawn anew: else cores would be compared."""
        if self._options.threads == 1 and self._may_bind:
            cpu = self._rng.choice(self._cpus)
            for bench in self._benches:
                bench.bind([cpu])

    def unbind(self) -> None:
        """Give all benches every processor again."""
        if self._may_bind:
            for bench in self._benches:
                bench.bind(self._cpus)

    @property
    def _may_bind(self) -> bool:
        return self._bind and len(self._cpus) > 1
