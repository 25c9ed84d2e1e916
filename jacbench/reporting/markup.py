"""Text from files and libraries, made fit for a terminal and for Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_MARKUP = re.compile(r"[\\`*_\[\]~#$|]")
"""A backslash among them, else one in the text would undo that before a bar."""


def printable(text: str) -> str:
    """Return ``text`` without control characters: a file's names must not drive a terminal."""
    return "".join(c if c.isprintable() else "�" for c in text)


def escaped(text: str) -> str:
    """Return ``text`` as Markdown that shows it as it is: neither HTML nor markup in it works."""
    marked = _MARKUP.sub(r"\\\g<0>", printable(text))
    return marked.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def markdown_lines(head: Sequence[str], body: Iterable[Sequence[str]], middle: str) -> list[str]:
    """Return a Markdown table; ``middle`` aligns all columns but the first and the last."""
    return [
        "| " + " | ".join(map(escaped, head)) + " |",
        "| --- |" + f" {middle} |" * (len(head) - 2) + " --- |",
        *("| " + " | ".join(map(escaped, row)) + " |" for row in body),
    ]
