"""Base and head: interpreters, and commits checked out beside the working tree."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from jacbench.core.errors import JacbenchError
from jacbench.gating.side import Side, commits, interpreter

SIDES = {name: interpreter(name, None) for name in ("base", "head")}


def git(folder: Path, *words: str) -> str:
    mine = ("-c", "user.name=Nobody", "-c", "user.email=nobody@example.org")
    plain = ("-c", "commit.gpgsign=false", "-c", "core.hooksPath=/dev/null")
    done = subprocess.run(
        ["git", "-C", str(folder), *mine, *plain, *words],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a repository of two commits and a dirty file, and stand in it."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    root = tmp_path / "repository"
    (root / "src").mkdir(parents=True)
    git(root, "init", "--quiet", "--initial-branch", "main")
    for content in ("first", "second"):
        (root / "model.py").write_text(content, encoding="utf-8")
        (root / "src" / "package.py").write_text(content, encoding="utf-8")
        git(root, "add", ".")
        git(root, "commit", "--quiet", "-m", content)
    git(root, "tag", "v1", "HEAD~1")
    (root / "model.py").write_text("edited", encoding="utf-8")
    monkeypatch.chdir(root)
    return root


def content(side: Side, file: str = "model.py") -> str:
    return (side.root / file).read_text(encoding="utf-8")


def worktrees(root: Path) -> list[str]:
    listed = git(root, "worktree", "list", "--porcelain").splitlines()
    return [line for line in listed if line.startswith("worktree ")]


# Commits


def test_two_commits(repository: Path) -> None:
    with commits({"base": "v1", "head": "main"}, SIDES, []) as sides:
        assert [content(sides[name]) for name in ("base", "head")] == ["first", "second"]
        for name, ref in (("base", "v1"), ("head", "main")):
            side = sides[name]
            commit = git(repository, "rev-parse", f"{ref}^{{commit}}")
            assert side.label == f"{ref} ({commit[:10]})"
            assert side.path == (side.root, side.root / "src")
            assert side.python == sys.executable
        folders = [side.root for side in sides.values()]
        assert len(worktrees(repository)) == 3
    assert not any(folder.exists() for folder in folders)
    assert len(worktrees(repository)) == 1
    assert content(Side("", "", "", repository)) == "edited"


def test_the_working_tree_is_head_as_it_is(repository: Path) -> None:
    with commits({"base": "HEAD", "head": None}, SIDES, []) as sides:
        assert [content(sides[name]) for name in ("base", "head")] == ["second", "edited"]
        assert sides["head"].label == "the working tree"
        assert sides["head"].root == repository
    assert content(Side("", "", "", repository)) == "edited"
    assert git(repository, "status", "--porcelain") == "M model.py"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, JacbenchError])
def test_checkouts_go_whatever_happens(repository: Path, error: type[BaseException]) -> None:
    with ExitStack() as stack:
        stack.enter_context(pytest.raises(error))
        sides = stack.enter_context(commits({"base": "v1", "head": "main"}, SIDES, []))
        (sides["base"].root / "left_behind.txt").write_text("x", encoding="utf-8")
        (sides["head"].root / "model.py").write_text("changed", encoding="utf-8")
        raise error
    assert len(worktrees(repository)) == 1
    assert not sides["base"].root.exists()
    assert not sides["base"].root.parent.exists()


def test_files_are_named_from_where_one_stands(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository / "src")
    with commits({"base": "v1", "head": None}, SIDES, []) as sides:
        assert content(sides["base"], "package.py") == "first"
        assert content(sides["base"], "../model.py") == "first"
        assert content(sides["head"], "package.py") == "second"
        # What is imported hangs on the repository, not on where one stands.
        assert sides["head"].path == (repository, repository / "src")


def test_folders_to_import_from(repository: Path) -> None:
    with commits({"base": "v1", "head": None}, SIDES, ["src", "absent"]) as sides:
        assert sides["base"].path == (sides["base"].root / "src",)
        first, *rest = sides["base"].environment(1)["PYTHONPATH"].split(os.pathsep)
        assert first == str(sides["base"].root / "src")
        assert all(Path(entry).is_absolute() for entry in rest)


def test_without_commits_nothing_is_checked_out(tmp_path: Path) -> None:
    with commits({"base": None, "head": None}, SIDES, []) as sides:
        assert sides == SIDES


@pytest.mark.parametrize("ref", ["no-such-branch", "--all", "-h", "HEAD:model.py", "", "v1..main"])
def test_what_is_no_commit(repository: Path, ref: str) -> None:
    for refs in ({"base": "v1", "head": ref}, {"base": ref, "head": None}):
        with pytest.raises(JacbenchError) as caught, commits(refs, SIDES, []):
            raise AssertionError
        message = str(caught.value)
        assert "\n" not in message
        assert f"'{ref}" in message
        assert "give a commit of the repository that you are in" in message
    assert len(worktrees(repository)) == 1


def test_no_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with (
        pytest.raises(JacbenchError, match=r"^git rev-parse failed .*not a git repository"),
        commits({"base": "main", "head": None}, SIDES, []),
    ):
        raise AssertionError


def test_no_git(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repository))
    with (
        pytest.raises(JacbenchError, match=r"^git does not run .*: install git$"),
        commits({"base": "main", "head": None}, SIDES, []),
    ):
        raise AssertionError


# Interpreters


def test_this_environment() -> None:
    side = interpreter("head", None)
    assert (side.python, side.label, side.root) == (
        sys.executable,
        "this environment",
        Path.cwd(),
    )
    side.check()


def test_an_environment_by_its_folder_or_its_interpreter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    python = tmp_path / "venv" / "bin" / "python"
    python.symlink_to(sys.executable)
    monkeypatch.chdir(tmp_path)
    for named in ("venv", "venv/bin/python", "./venv", str(python)):
        side = interpreter("base", named)
        # A link is not followed: its place says what is installed.
        assert side.python == str(python)
        assert side.label == named
    monkeypatch.setenv("HOME", str(tmp_path))
    assert interpreter("base", "~/venv").python == str(python)
    assert interpreter("base", "python3.12").python == "python3.12"


def script(folder: Path, text: str, *, mode: int = 0o755) -> Side:
    file = folder / "python"
    file.write_text(text, encoding="utf-8")
    file.chmod(mode)
    return interpreter("base", str(file))


def refusal(side: Side) -> str:
    with pytest.raises(JacbenchError) as caught:
        side.check()
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_an_interpreter_without_jacbench(tmp_path: Path) -> None:
    side = script(tmp_path, f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    assert refusal(side) == (
        f"base ({side.label}) cannot import this jacbench's gate (ModuleNotFoundError: No module "
        f"named 'jacbench'): install the same jacbench there, {side.python} -m pip install jacbench"
    )


@pytest.mark.parametrize("text", ["#!/bin/sh\nexit 0\n", '#!/bin/sh\necho "$@"\n'])
def test_a_program_that_is_no_interpreter(tmp_path: Path, text: str) -> None:
    assert "cannot import this jacbench's gate" in refusal(script(tmp_path, text))


def test_what_does_not_run(tmp_path: Path) -> None:
    absent = interpreter("base", str(tmp_path / "absent" / "python"))
    assert refusal(absent) == (
        f"--base-python {absent.python!r} does not run (No such file or directory): give the path "
        "of a Python interpreter"
    )
    assert "does not run (No such file" in refusal(interpreter("head", str(tmp_path)))
    assert "does not run (Permission denied)" in refusal(script(tmp_path, "", mode=0o644))
    assert "does not run (Exec format error)" in refusal(script(tmp_path, "\x7fELF"))


def test_what_lies_where_one_stands_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "jacbench.py").write_text("raise RuntimeError('another one')", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    interpreter("head", None).check()


def test_an_environment_is_pinned_and_without_pytests_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "--boom")
    monkeypatch.setenv("PYTHONPATH", f"relative{os.pathsep}{os.pathsep}/absolute")
    env = interpreter("head", None).environment(3)
    assert "PYTEST_ADDOPTS" not in env
    assert env["OMP_NUM_THREADS"] == "3"
    assert env["PYTHONPATH"].split(os.pathsep) == [str(Path.cwd() / "relative"), "/absolute"]
