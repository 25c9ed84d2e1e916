"""The committed JSON schemas are those that their definitions give."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import schemas

FILES = schemas.files()


def test_every_schema_file_has_a_definition() -> None:
    assert set(schemas.PACKAGE.rglob("*.schema.json")) == set(FILES)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_schema_files_are_up_to_date(file: Path) -> None:
    again = "write it anew: make schemas"
    assert file.read_text(encoding="utf-8") == FILES[file], again
