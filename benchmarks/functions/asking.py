"""A pick of one of these functions, or of the catalogue's, as a command line asks for it."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import jacbench
from jacbench import problems
from jacbench.core.tree import Tree
from jacbench.picking.answer import Answer

from . import cases

_GIVEN = """\
import sys

sys.path.insert(0, {folder!r})

from functions import asking

f, x = asking.handed_over({name!r})
"""


def handed_over(name: str) -> tuple[Any, Tree]:
    """Return f and x as a user has them: nothing is said of structure or samples.

    A problem has its point, and x is None.
    """
    for case in cases():
        if case.name == name:
            return case.asked()
    return replace(problems.get(name), in_axes=None), None


def pick(name: str, **wanted: Any) -> Answer:
    """Return the pick for the function of that name, measured in workers.

    Parameters
    ----------
    name
        Of a case or of a problem of the catalogue.
    wanted
        As :func:`jacbench.pick` takes it.

    Raises
    ------
    JacbenchError
        In one line, as the command line tells it.
    """
    folder = str(Path(__file__).resolve().parents[1])
    return from_code(_GIVEN.format(folder=folder, name=name), **wanted)


def from_code(code: str, **wanted: Any) -> Answer:
    """Return the pick for the ``f`` that ``code`` makes, in a file of its own."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "given.py"
        file.write_text(code, encoding="utf-8")
        return jacbench.pick(f"{file}:f", **wanted)
