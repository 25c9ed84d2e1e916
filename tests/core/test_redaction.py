"""No absolute path, user name or host name is left; everything else stays as it was."""

from __future__ import annotations

import getpass
import platform
import tempfile
from pathlib import Path

import numpy as np
import pytest

from jacbench.core import redaction


@pytest.fixture(autouse=True)
def somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "griselda")
    monkeypatch.setattr(platform, "node", lambda: "turmalin")


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("cannot read /opt/secret/data.npz", "cannot read data.npz"),
        ("cannot read '/opt/secret/data.npz'", "cannot read 'data.npz'"),
        ("(/opt/secret/data.npz)", "(data.npz)"),
        ("path=/opt/secret/data.npz, line 3", "path=data.npz, line 3"),
        ("/opt/a/b.py:12: error", "b.py:12: error"),
        ("file:///opt/secret/data.npz", "data.npz"),
        ("/opt/one/a and /opt/two/b", "a and b"),
    ],
)
def test_absolute_paths_become_relative(raw: str, clean: str) -> None:
    assert redaction.text(raw) == clean


@pytest.mark.parametrize(
    "text",
    [
        "",
        "‖J-R‖/‖R‖ = 0.5 > 1e-12",
        "RuntimeError: sizes 3/4 and 5/6 differ",
        "see https://docs.pytorch.org/docs/stable/func.api.html",
        "basics/mlp-weights-jax.jacrev-cpu-float64",
        "a/b/c.py, line 3",
        "1 / 2 / 3",
        "y.shape + x.shape, (20, 1, 47)",
        "root cause of the localhost error",
    ],
)
def test_other_text_stays(text: str) -> None:
    assert redaction.text(text) == text


def test_files_are_named_relative_to_the_import_path() -> None:
    shown = redaction.text(f'File "{np.linalg.__file__}", line 1')
    assert shown == 'File "numpy/linalg/__init__.py", line 1'


def test_files_off_the_import_path_are_named_from_their_package(tmp_path: Path) -> None:
    package = tmp_path / "somewhere" / "package" / "inner"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").touch()
    assert redaction.relative(package / "module.py", roots=[]) == "package/inner/module.py"


def test_temporary_files_are_relative_to_their_folder() -> None:
    path = Path(tempfile.gettempdir()).resolve() / "run-1" / "part.json"
    assert str(path.parent.parent) not in redaction.text(f"cannot write {path}")


def test_frames_with_spaces_in_their_path() -> None:
    assert redaction.text('File "/opt/my secret folder/x.py", line 1') == 'File "x.py", line 1'


def test_pseudo_files_stay() -> None:
    assert redaction.text('File "<stdin>", line 1') == 'File "<stdin>", line 1'


def test_names_of_user_and_machine_are_taken_out() -> None:
    assert redaction.text("griselda at turmalin: turmaline") == "… at …: turmaline"


@pytest.mark.parametrize("name", ["root", "user", "runner", "ab", ""])
def test_names_that_say_nothing_stay(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: name)
    assert redaction.text("the root user of ab is a runner") == "the root user of ab is a runner"


def test_a_user_without_a_name_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr(getpass, "getuser", unknown)
    assert redaction.text("plain") == "plain"


def test_a_host_with_characters_of_regular_expressions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "node", lambda: "node.c++(1")
    assert redaction.text("nodexc and plain") == "nodexc and plain"


def test_traceback_has_every_frame_and_no_folder() -> None:
    def inner() -> None:
        raise ValueError("griselda was in /opt/secret/x.py")

    try:
        inner()
    except ValueError as exc:
        shown = redaction.traceback_text(exc)
    assert "in inner" in shown
    assert "ValueError: … was in x.py" in shown
    assert str(Path(__file__).parent) not in shown
    assert Path(__file__).name in shown
