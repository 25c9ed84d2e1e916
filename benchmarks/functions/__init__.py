"""Functions that jacbench's choice of a method is tried on, and nothing else.

None is in the catalogue, and none may be used to tune a rule or a threshold: a choice that is right
here was not made for these. Each is written as a user of its library would write it.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util

from .case import FAMILIES, Case, Native

__all__ = ["FAMILIES", "Case", "Native", "cases"]

_WRITTEN_FOR = {"": "neutral", "torch": "in_torch", "jax": "in_jax", "autograd": "in_autograd"}
"""The module of the functions of each library; without one, those over any namespace."""


@functools.cache
def cases() -> tuple[Case, ...]:
    """Return the cases of the libraries that are installed, those over any namespace first."""
    found: list[Case] = []
    for library, module in _WRITTEN_FOR.items():
        if library and importlib.util.find_spec(library) is None:
            continue
        found += importlib.import_module(f"{__name__}.{module}").CASES
    return tuple(found)
