"""What a file of figures says of where they come from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks import provenance
from jacbench.results import fingerprint
from tests.runs import ROOT, strict

SCRIPTS = sorted(
    path
    for path in (ROOT / "benchmarks").glob("*.py")
    if re.search(r'"--json"|in_parts\.asked\(', path.read_text(encoding="utf-8"))
    and path.name != "in_parts.py"
)


def test_a_file_says_where_its_figures_come_from(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    provenance.write(file, {"torch": {"threads": 1}}, rows=[{"µ": 0.5}], summary={})
    found = strict(file.read_text(encoding="utf-8"))
    assert list(found) == ["machine", "versions", "settings", "load", "rows", "summary"]
    assert found["machine"] == fingerprint.machine()
    assert found["versions"] == fingerprint.versions()
    assert (found["settings"], found["rows"]) == ({"torch": {"threads": 1}}, [{"µ": 0.5}])


def test_settings_of_another_process_are_not_told() -> None:
    assert list(provenance.provenance()) == ["machine", "versions", "load"]


def test_the_caption_is_one_line() -> None:
    assert re.fullmatch(r".+, \d+ cores, 1 thread; .*numpy \d.*", provenance.caption())


def test_there_are_scripts() -> None:
    assert len(SCRIPTS) == 12


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_script_writes_it(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    assert "provenance.write(" in text
    assert "write_text(json" not in text
