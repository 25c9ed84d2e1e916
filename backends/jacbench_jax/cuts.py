"""Where a program stops gradients: seen in its jaxpr."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
from jax.extend import source_info_util
from jax.extend.core import jaxprs_in_params


def stops(function: Callable[..., Any], *arguments: Any) -> str:
    """Return which lines of ``function`` stop gradients; empty where none does."""
    # a wrapper of its own: of one function JAX keeps what it has traced
    traced = jax.make_jaxpr(lambda *given: function(*given))(*arguments)  # noqa: PLW0108
    return ", ".join(dict.fromkeys(_found(traced.jaxpr)))


def _found(jaxpr: Any) -> Iterator[str]:
    for equation in jaxpr.eqns:
        if equation.primitive.name == "stop_gradient":
            yield f"stop_gradient{_line(equation.source_info)}"
        for inner in jaxprs_in_params(equation.params):
            yield from _found(inner)


def _line(source_info: Any) -> str:
    told = re.match(r"(.+?):(\d+)", source_info_util.summarize(source_info))
    return "" if told is None else f" ({Path(told[1]).name}, line {told[2]})"
