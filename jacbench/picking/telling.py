"""Telling in a word what goes on, as for a progress line."""

from __future__ import annotations

from collections.abc import Callable

Tell = Callable[[str], None]


def quiet(what: str) -> None:
    """Tell nobody."""
    del what
