"""The folders stand in layers, and no import goes up, those inside functions included."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINT = (
    "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
)
FOLDERS = [folder for folder in (ROOT / "jacbench").rglob("*") if folder.is_dir()]


def linted(root: Path) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("importlinter")
    words = [sys.executable, "-c", f"import sys; sys.path.insert(0, '.'); {LINT}"]
    return subprocess.run(words, cwd=root, capture_output=True, text=True, check=False)


def test_every_contract_is_kept() -> None:
    done = linted(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "line",
    [
        "from jacbench.running import driver",
        "def f() -> None:\n    from jacbench.running import driver",
        "import typing\n\nif typing.TYPE_CHECKING:\n    from jacbench.running import driver",
    ],
    ids=["at the top", "in a function", "for a type"],
)
def test_an_import_that_goes_up_is_told(line: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "jacbench", tmp_path / "jacbench")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "jacbench" / "core" / "upward.py").write_text(line + "\n", encoding="utf-8")
    done = linted(tmp_path)
    assert done.returncode != 0
    assert "jacbench.core.upward -> jacbench.running.driver" in done.stdout


def test_no_ignored_import() -> None:
    assert "ignore_imports" not in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_few_files_stand_directly_in_the_package() -> None:
    assert len([path for path in (ROOT / "jacbench").iterdir() if path.is_file()]) <= 8


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_no_folder_is_too_large(folder: Path) -> None:
    assert len([path for path in folder.iterdir() if path.suffix == ".py"]) <= 20
