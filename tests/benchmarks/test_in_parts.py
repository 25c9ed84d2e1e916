"""The command line of scripts that measure several things."""

from __future__ import annotations

import pytest

from benchmarks import in_parts

PARTS = ("large", "thin")


def asked(monkeypatch: pytest.MonkeyPatch, *words: str) -> list[object]:
    monkeypatch.setattr("sys.argv", ["script", *words])
    given = in_parts.asked("What it does.\n\nMore.", PARTS, 60)
    return [given.parts, given.blocks, given.json and given.json.name]


def test_everything_unless_something_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(monkeypatch) == [["large", "thin"], 60, None]
    assert asked(monkeypatch, "thin", "--blocks", "5", "--json", "a.json") == [
        ["thin"],
        5,
        "a.json",
    ]


def test_a_part_that_is_not_there_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        asked(monkeypatch, "thick")
    assert "no part thick: there are large, thin" in capsys.readouterr().err
