"""What a picked method that uses structure rests on, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_FOUND = {
    "given": "as the problem gives them",
    "probing": "found by random products",
    "program": "from the program text, for every x",
    "asdex": "from the program text by asdex, for every x",
}
"""By what gave a pattern, how that is told; any other is a library's name."""


def lines(picked: Iterable[tuple[str, str, Mapping[str, Any]]]) -> list[str]:
    """Return what holds for each of several methods, a line once for all that share it.

    ``picked`` has for each its label, and what :func:`told` takes.
    """
    labels: dict[str, list[str]] = {}
    for label, structure, notes in picked:
        for line in told(structure, notes):
            labels.setdefault(line, []).append(label)
    return [f"{', '.join(who)}: {line}" for line, who in labels.items()]


def told(structure: str, notes: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each thing that has to hold for the answers of a method to be right.

    Parameters
    ----------
    structure
        What it relies on, see :class:`jacbench.backend.MethodInfo`.
    notes
        What its preparation found out.
    """
    if structure == "sparse" and "nnz" in notes:
        yield f"by a pattern of {_pattern(notes)}"
    if structure == "bottleneck" and "k" in notes:
        constant = f"; {notes['constant']} does not depend on x" if notes.get("constant") else ""
        yield f"through the {notes['k']} values at {notes.get('cut', 'the cut')}{constant}"
    if notes.get("pattern_because"):
        yield str(notes["pattern_because"])
    if notes.get("caveat"):
        yield str(notes["caveat"])


def _pattern(notes: Mapping[str, Any]) -> str:
    by = str(notes.get("pattern", ""))
    how = _FOUND.get(by, f"found by {by}" if by else "found beforehand")
    count = notes.get("colours")
    colours = f", in {count} pass{'es' if count != 1 else ''}" if count is not None else ""
    side = f" over {notes['compressed_by']}" if colours and "compressed_by" in notes else ""
    return f"{notes['nnz']} places, {how}{colours}{side}"
