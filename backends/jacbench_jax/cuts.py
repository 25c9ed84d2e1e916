"""Where a program takes x out of differentiation on its way to y: seen in its jaxpr."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Set
from pathlib import Path
from typing import Any

import jax
from jax.extend import source_info_util
from jax.extend.core import Literal, jaxprs_in_params

from jacbench.backend.graph_cut import GraphCut


def of(function: Callable[..., Any], x: Any, *constants: Any) -> tuple[GraphCut, ...]:
    """Return which lines of ``function`` stop gradients of what depends on x and reaches y."""
    # a wrapper of its own: of one function JAX keeps what it has traced
    traced = jax.make_jaxpr(lambda *given: function(*given))(x, *constants)  # noqa: PLW0108
    count = len(jax.tree.leaves(x))
    return tuple(dict.fromkeys(_found(traced.jaxpr, set(traced.jaxpr.invars[:count]))))


def _found(jaxpr: Any, of_x: Set[Any]) -> Iterator[GraphCut]:
    """Yield the cuts between the variables ``of_x`` and what ``jaxpr`` returns.

    What enters an inner program as part of x makes all of its inputs so, and all that it returns.
    """
    of_x = set(of_x)
    for equation in jaxpr.eqns:
        if not of_x.isdisjoint(_variables(equation.invars)):
            of_x.update(equation.outvars)
    reaching, cuts = _variables(jaxpr.outvars), []
    for equation in reversed(jaxpr.eqns):
        if reaching.isdisjoint(equation.outvars):
            continue
        inputs = _variables(equation.invars)
        reaching |= inputs
        if not of_x.isdisjoint(inputs):
            cuts.append(equation)
    for equation in reversed(cuts):
        if equation.primitive.name == "stop_gradient":
            yield GraphCut("stop_gradient", _line(equation.source_info))
        for inner in jaxprs_in_params(equation.params):
            yield from _found(inner, set(inner.invars))


def _variables(atoms: Any) -> set[Any]:
    return {atom for atom in atoms if not isinstance(atom, Literal)}


def _line(source_info: Any) -> str:
    told = re.match(r"(.+?):(\d+)", source_info_util.summarize(source_info))
    return "" if told is None else f"{Path(told[1]).name}:{told[2]}"
