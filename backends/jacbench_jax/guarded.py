"""A structured Jacobian as executables: alone, and with one more product that it is held against.

The product comes from the same executable as the Jacobian, so that XLA shares what both compute.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jacbench.backend import Target
from jacbench.structure import guard
from jacbench.structure.guard import Structured
from jacbench_jax.method import first_ready
from jacbench_jax.staged import memory


def compiled(
    target: Target,
    made: Structured,
    whole: Callable[[Any, Any], tuple[Any, Any]],
    rest: tuple[Any, ...],
    apart: Callable[[Any, Any, Any, Any], tuple[Any, Any]],
    more: Callable[[], Sequence[Any]],
) -> Structured:
    """Return ``made`` with its calls compiled: the one that is held, where the guard asks for it.

    Parameters
    ----------
    whole
        ``(x, rest)`` to the result, and what the comparison needs of it.
    apart
        ``(x, that, rest, one of more)`` to the difference between the result's product with a
        random vector and the function's own, and to the latter.
    more
        Returns the random vectors, each with all that is kept beside it.
    """
    every = guard.looked_at(target, everywhere=made.everywhere)
    alone = jax.jit(lambda x, rest: whole(x, rest)[0]).lower(target.x, rest).compile()
    made = replace(made, call=first_ready(alone, rest), notes={**made.notes, **memory(alone)})
    if every is not None:

        def beside(x: Any, both: tuple[Any, Any]) -> tuple[Any, Any]:
            rest, vector = both
            result, of_result = whole(x, rest)
            difference, one = apart(x, of_result, rest, vector)
            return result, jnp.stack([jnp.abs(difference).max(), jnp.abs(one).max()])

        given = [(rest, vector) for vector in more()]
        both = jax.jit(beside).lower(target.x, given[0]).compile()

        def held(x: Any, number: int) -> tuple[Any, float, float]:
            result, sizes = both(x, given[number % len(given)])
            gap, size = np.asarray(sizes).tolist()  # which waits for all of it
            return result, gap, size

        made = replace(made, held=held)
    return made
