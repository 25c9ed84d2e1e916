"""Which arguments a function of the user's takes, beside the namespace of a neutral one."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

from jacbench.backend import registry

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True)
class Signature:
    """The arguments of a function.

    Attributes
    ----------
    positional
        Names of those given by position, in order.
    required
        How many of them have no default.
    most
        How many there may be; None: any number.
    keywords
        Names of those given by keyword alone.
    needed
        Those of ``keywords`` without a default.
    """

    positional: tuple[str, ...]
    required: int
    most: int | None
    keywords: tuple[str, ...] = ()
    needed: tuple[str, ...] = ()

    def takes(self, count: int) -> bool:
        """Say whether ``count`` arguments can be given by position."""
        return self.required <= count and (self.most is None or count <= self.most)

    def name(self, index: int) -> str:
        """Return the name of the argument at ``index``; ``x0``, ``x1`` where it has none."""
        return self.positional[index] if index < len(self.positional) else f"x{index}"

    def __str__(self) -> str:
        parts = [*self.positional, *(["*"] if self.keywords else []), *self.keywords]
        return f"({', '.join(parts)})"


UNKNOWN = Signature(("x",), 1, None)
"""Of a function that does not say, such as some that are written in C."""


def is_neutral(function: Any) -> bool:
    """Say whether ``function`` is written over a namespace, ``f(xp, x, ...)``."""
    parameters = _parameters(function)
    return bool(parameters and parameters[0].name == "xp" and parameters[0].kind in _POSITIONAL)


def is_model(function: Any) -> bool:
    """Say whether ``function`` is a module of a library that a backend adapts."""
    return any(descriptor.recognises(function) for descriptor in registry.descriptors().values())


def of(function: Any) -> Signature:
    """Return the arguments of ``function``; a torch module's are those of its ``forward``."""
    forward = getattr(function, "forward", None) if is_model(function) else None
    parameters = _parameters(function if forward is None else forward)
    if parameters is None:
        return UNKNOWN
    if is_neutral(function):
        parameters = parameters[1:]
    positional = [p for p in parameters if p.kind in _POSITIONAL]
    keywords = [p for p in parameters if p.kind is p.KEYWORD_ONLY]
    any_number = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    return Signature(
        tuple(p.name for p in positional),
        sum(p.default is p.empty for p in positional),
        None if any_number else len(positional),
        tuple(p.name for p in keywords),
        tuple(p.name for p in keywords if p.default is p.empty),
    )


def _parameters(function: Any) -> list[inspect.Parameter] | None:
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return None
