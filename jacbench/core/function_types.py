"""What a problem's functions are called with, and what they may name on the way."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any, TypeAlias

Namespace: TypeAlias = ModuleType | SimpleNamespace


NeutralFunction: TypeAlias = Callable[..., Any]
"""``f(xp, x, *constants)``, written over the operations of :mod:`jacbench.core.namespace`."""


NativeFunction: TypeAlias = Callable[..., Any]
"""``f(x, *constants)`` over the arrays of one library."""


Tap: TypeAlias = Callable[[str, Any], Any]
"""``tap(name, value)`` returns the value to go on with: a function names its intermediates so."""


def untapped(name: str, value: Any) -> Any:
    """Return ``value``: the tap of a function that is just evaluated."""
    del name
    return value
