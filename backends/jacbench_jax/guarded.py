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
    more: Callable[[Any], Sequence[Any]],
) -> Structured:
    """Return ``made`` with its calls compiled: the one that is held, where the guard asks for it.

    Parameters
    ----------
    whole
        ``(x, rest)`` to the result, and what the comparison needs of it.
    apart
        ``(x, that, rest, one of more)`` to the difference between the result's product with a
        random vector and the function's own, and to the sum of the absolute values of all that
        was added up for each entry.
    more
        Returns the random vectors, each with all that is kept beside it, from what the entries of
        one are multiplied with.
    """
    alone = jax.jit(lambda x, rest: whole(x, rest)[0]).lower(target.x, rest).compile()

    def beside(x: Any, both: tuple[Any, Any]) -> tuple[Any, Any]:
        rest, vector = both
        result, of_result = whole(x, rest)
        difference, scale = apart(x, of_result, rest, vector)
        difference, tiny = jnp.abs(difference), float(np.finfo(scale.dtype).tiny)
        of_largest = difference.max() / (scale.max() + tiny)
        return result, jnp.stack([(difference / (scale + tiny)).max(), of_largest])

    def holding(met: Any) -> guard.Held:
        given = [(rest, vector) for vector in more(met)]
        both = jax.jit(beside).lower(target.x, given[0]).compile()

        def held(x: Any, number: int) -> tuple[Any, guard.Gap]:
            result, gaps = both(x, given[number % len(given)])
            lines, of_largest = np.asarray(gaps).tolist()  # which waits for all of it
            return result, (lines, lambda: of_largest)

        return held

    return replace(
        made,
        call=first_ready(alone, rest),
        holding=holding,
        notes={**made.notes, **memory(alone)},
    )
