"""The catalogue: every problem by name, without computing or importing any until it is asked for.

One list feeds the tests, the benchmarks and the reports. A family is a module here; its builders
take the :class:`Entry` and return the :class:`~jacbench.problems.problem.Problem`.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from jacbench.core.errors import JacbenchError, MissingError, unknown
from jacbench.problems.catalogue import CATALOGUE
from jacbench.problems.entry import Entry

if TYPE_CHECKING:  # listing the catalogue does without NumPy
    from jacbench.problems.problem import Problem

__all__ = ["CATALOGUE", "OUTPUTS", "WRT", "Entry", "entry", "get", "matching", "names"]

WRT = "wrt"
"""The key in brackets that names inputs or an intermediate value: ``name[wrt=Z]``."""
OUTPUTS = "outputs"
"""The key in brackets that numbers the outputs to keep, in C order: ``name[outputs=0,3]``."""

_SIZED = re.compile(r"(?P<name>.+)\[(?P<options>\w+=[^\[\]]*)\]")


def names() -> list[str]:
    """Return every problem's name, in catalogue order."""
    return [entry.name for entry in CATALOGUE]


def entry(name: str) -> Entry:
    """Return the catalogue's entry for ``name``, with the sizes asked for in its brackets."""
    plain, options = _parsed(name)
    for candidate in CATALOGUE:
        if candidate.name == plain:
            return candidate if not options else _sized(candidate, name, options)
    raise _unknown(name)


@functools.cache
def get(name: str) -> Problem:
    """Build the problem ``name``; the same one each time."""
    found = entry(name)
    module, _, builder = found.build.partition(":")
    problem: Problem = getattr(importlib.import_module(module), builder)(found)
    options = _parsed(name)[1]
    if WRT in options:
        problem = importlib.import_module("jacbench.problems.derived").by(problem, options[WRT])
    if OUTPUTS in options:
        problem = problem.outputs([int(row) for row in options[OUTPUTS].split(",")])
    return replace(problem, name=name) if problem.name != name else problem


def matching(patterns: Sequence[str]) -> list[str]:
    """Return the names that match any of the shell ``patterns``, in catalogue order, each once.

    A pattern may end in brackets with sizes or with what the derivative is by:
    ``nn/digits-cnn[batch=64]``, ``basics/linear-sum[wrt=Z]``. A pattern that matches nothing is an
    error: it is a slip, and what it meant would be missing.
    """
    found: dict[str, int] = {}
    for pattern in patterns:
        matched = _matching(pattern)
        if not matched:
            raise _unknown(pattern)
        found.update(matched)
    return sorted(found, key=lambda name: found[name])


def check_brackets(chosen: Sequence[str]) -> None:
    """Raise the line for brackets of which only the built problem can say that they are wrong."""
    for name in chosen:
        if {WRT, OUTPUTS} & set(_parsed(name)[1]):
            with contextlib.suppress(MissingError):  # told in its cells
                get(name)


def _matching(pattern: str) -> dict[str, int]:
    """Return the names that match with their places in the catalogue."""
    every = list(enumerate(names()))
    plain, options = _parsed(pattern)
    if not options:  # else [m=2] would be a class of characters
        return {name: place for place, name in every if fnmatchcase(name, pattern)}
    brackets = pattern[len(plain) :]
    asked = {f"{name}{brackets}": place for place, name in every if fnmatchcase(name, plain)}
    for name in asked:
        entry(name)  # says what the problem has, where it has no such size
    return asked


def _parsed(name: str) -> tuple[str, dict[str, str]]:
    """Split ``name[key=value,...]`` into the name and its options."""
    match = _SIZED.fullmatch(name)
    if match is None:
        return name, {}
    options: dict[str, str] = {}
    key = ""
    for part in match["options"].split(","):
        before, equals, value = part.partition("=")
        if equals:
            key = before.strip()
            options[key] = value.strip()
        else:
            options[key] += f",{part}"
    return match["name"], options


def _sized(known: Entry, name: str, options: Mapping[str, str]) -> Entry:
    sizes = dict(known.parameters)
    for key, value in options.items():
        if key == WRT:
            continue
        if key == OUTPUTS:
            if not all(row.strip().isdecimal() for row in value.split(",")):
                raise JacbenchError(
                    f"problem {name!r}: outputs is {value!r}: give numbers such as outputs=0,3"
                )
            continue
        if key not in sizes:
            has = ", ".join(f"{k}={v}" for k, v in sizes.items()) or "no sizes to choose"
            raise JacbenchError(f"problem {name!r}: {known.name} has no {key!r}: it has {has}")
        if not value.isdecimal() or int(value) < 1:
            raise JacbenchError(
                f"problem {name!r}: {key} is {value!r}: give a whole number of at least 1"
            )
        sizes[key] = int(value)
    by_some = WRT in options
    return replace(known, name=name, parameters=sizes, intermediate=known.intermediate or by_some)


def _unknown(asked: str) -> Exception:
    return unknown("problem", asked, names(), hint="jacbench list shows them all")
