"""The committed JSON schemas are those that their definitions give."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import schemas
from tests.results.test_run import schema_errors

FILES = schemas.files()
RUNS = [
    file
    for pattern in ("cpu-*.json", "sweep.json", "verdicts.json")
    for file in sorted((Path(__file__).parents[2] / "results").glob(pattern))
]


def test_every_schema_file_has_a_definition() -> None:
    assert set(schemas.PACKAGE.rglob("*.schema.json")) == set(FILES)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_schema_files_are_up_to_date(file: Path) -> None:
    again = "write it anew: make schemas"
    assert file.read_text(encoding="utf-8") == FILES[file], again


@pytest.mark.parametrize("file", RUNS, ids=lambda file: file.name)
def test_committed_runs_are_as_the_schema_says(file: Path) -> None:
    content = json.loads(file.read_text(encoding="utf-8"))
    assert not schema_errors(content.get("jacbench", content))
