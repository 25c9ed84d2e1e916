"""Hostile text drives neither a terminal nor a page."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jacbench.reporting.markup import escaped, markdown_lines, printable

HOSTILE = "\x1b[2J\x1b]0;title\x07 a\nb\r\u202e\u200b"
_PUNCTUATION = r"\\[!-/:-@\[-`{-~]"


def unescaped(text: str) -> str:
    """Return what a page shows of ``text``, that has no markup but backslashes and entities."""
    shown = re.sub(_PUNCTUATION, lambda match: match[0][1], text)
    for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        shown = shown.replace(entity, character)
    return shown


def bare(text: str) -> str:
    """Return ``text`` without what a backslash makes ordinary."""
    return re.sub(_PUNCTUATION, "", text)


def test_printable() -> None:
    assert printable(HOSTILE) == "�[2J�]0;title� a�b���"
    assert printable("µs ‖J - R‖ ✅ 雅可比") == "µs ‖J - R‖ ✅ 雅可比"
    assert printable("\ud800") == "�"


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "&lt;",
        "a|b",
        "a\\|b",
        "a\\\\|b",
        "**bold** __init__ `code` ~~gone~~",
        "[click](https://example.org)",
        "![](https://example.org/seen.png)",
        "# heading",
        "$x^2$",
        "\\",
    ],
)
def test_markup_is_shown_as_it_is(text: str) -> None:
    found = escaped(text)
    assert unescaped(found) == text
    assert not set("|*_`~[]<>#$") & set(bare(found))


@given(text=st.text(max_size=30))
def test_whatever_is_escaped_reads_as_it_was(text: str) -> None:
    found = escaped(text)
    assert unescaped(found) == printable(text)
    assert not set("|*_`~[]<>") & set(bare(found))
    assert "\n" not in found


@given(rows=st.lists(st.lists(st.text(max_size=12), min_size=4, max_size=4), max_size=4))
def test_a_table_has_as_many_columns_in_every_row(rows: list[list[str]]) -> None:
    lines = markdown_lines(["a", "b", "c", "d|"], rows, "---:")
    assert len(lines) == 2 + len(rows)
    assert {bare(line).count("|") for line in lines} == {5}
    assert lines[1] == "| --- | ---: | ---: | --- |"
