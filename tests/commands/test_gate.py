"""``jacbench gate`` as a CI job starts it: real workers, real commits, files and exit statuses."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jacbench import read
from jacbench.core.cell import Verdict
from tests.gating.test_gate import schema_errors
from tests.gating.test_side import git, worktrees
from tests.results.test_run import schema_errors as results_errors
from tests.runs import PROBLEM, environment, jacbench, strict, tiny_site

Usage = Callable[..., tuple[int, str]]
QUICK = ("--launches", "2", "--blocks", "4", "--extensions", "0")
TINY = ("--method", "tiny.right")
MODEL = """
import os, signal
import numpy as np
from jacbench import Problem
from scaling import SCALE

REPEATS = 40
TICKS = os.environ.get("TICKS", os.devnull)

def tick():
    with open(TICKS, "a") as ticks:
        ticks.write(".")

tick()

def heavy(xp, x):
    for _ in range(REPEATS):
        x = xp.sin(x)
    return SCALE * x

def cube(xp, x):
    return x**3

def cube_jacobian(x):
    return np.diag(3 * x**2)

def called(xp, x):
    # Two workers are asked what they have; then come two launches of two.
    if TICKS != os.devnull and os.path.getsize(TICKS) == 6:
        tick()
        os.kill(os.getppid(), getattr(signal, os.environ["SIGNAL"]))
    return x * x

x = np.array([0.3, 0.5, 0.7])
several = [
    Problem(name="my/heavy", function=heavy, x=x),
    Problem(name="my/cube", function=cube, x=x, jacobian=cube_jacobian),
]
calling = Problem(name="my/calling", function=called, x=x)
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a repository with a model and a package of its own, in one commit."""
    root = tmp_path / "repository"
    (root / "src" / "scaling").mkdir(parents=True)
    (root / "model.py").write_text(MODEL, encoding="utf-8")
    (root / "src" / "scaling" / "__init__.py").write_text("SCALE = 2.0", encoding="utf-8")
    git(root, "init", "--quiet", "--initial-branch", "main")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "the first")
    return root


# Mistakes


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "nothing to compare with: give --base-python or --base-ref (or --self-test)"),
        (("--head-ref", "main"), "nothing to compare with"),
        (("--base-ref", "main", "--blocks", "5"), "--blocks 5: give an even number"),
        (("--base-ref", "main", "--launches", "1"), "--launches 1: give a whole number"),
        (("--base-ref", "main", "--time-limit", "0"), "--time-limit 0: give a number of seconds"),
        (("--base-ref", "main", "--memory", "x"), "--memory 'x': give a size"),
        (("--self-test", "--base-ref", "main"), "--self-test compares this environment with its"),
        (("--self-test", "--head-python", "x"), "--self-test compares this environment with its"),
        (("--base-python", "absent/python"), "absent/python' does not run"),
        (("--base-python", "x", "--policy", "absent.toml"), "absent.toml"),
        (("--base-python", "x", "--json", "no/such/file"), "--json 'no/such/file' cannot be"),
        (("--base-python", "x", "--markdown", "no/such/file"), "--markdown 'no/such/file' cannot"),
        (("--base-python", "x", "--output", "/dev/null/x"), "output folder '/dev/null/x' cannot"),
        (("--base-ref", ""), "git rev-parse failed for"),
        (("--no-such-option",), "No such option: --no-such-option"),
    ],
)
def test_a_mistake_is_one_line(usage: Usage, words: tuple[str, ...], told: str) -> None:
    status, said = usage("gate", *words)
    assert status == 2
    assert told in said
    assert said.startswith("jacbench: ")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("no/such-problem",), "head (this environment): unknown problem 'no/such-problem'"),
        ((PROBLEM, "--method", "no.such"), "head (this environment): unknown method 'no.such'"),
        (("absent.py:f",), "there is no file"),
    ],
)
def test_what_a_worker_refuses_is_one_line(usage: Usage, words: tuple[str, ...], told: str) -> None:
    status, said = usage("gate", *words, "--base-python", sys.executable)
    assert status == 2
    assert told in said
    assert said.count("\n") == 1


def test_a_file_that_ends_the_interpreter_is_one_line(usage: Usage, tmp_path: Path) -> None:
    (tmp_path / "ends.py").write_text("import os; os._exit(7)", encoding="utf-8")
    status, said = usage("gate", "ends.py:f", "--base-python", sys.executable)
    assert status == 2
    assert "could not be asked what it has: the worker exited with status 7" in said
    assert said.count("\n") == 1


# Identical sides


def test_identical_sides(tmp_path: Path) -> None:
    page = tmp_path / "summary.md"
    page.write_text("What another step wrote.\n", encoding="utf-8")
    done = jacbench(
        *("gate", PROBLEM, *TINY, *QUICK),
        *("--base-python", sys.executable, "--json", "-"),
        *("--markdown", str(page), "--output", "results"),
        cwd=tmp_path,
        env=environment(tiny_site()),
    )
    assert done.stderr == ""
    assert done.returncode == 0
    found = strict(done.stdout)
    assert schema_errors(found) == []
    assert found["ok"]
    assert found["stopped"] is None
    (row,) = found["cells"]
    assert (row["problem"], row["method"]) == (PROBLEM, "tiny.right")
    assert row["base"]["verdict"] == row["head"]["verdict"] == "agrees"
    assert 0 < row["time"]["low"] <= row["time"]["ratio"] <= row["time"]["high"]
    assert row["time"]["pairs"] >= 8
    for side in ("base", "head"):
        assert found[side]["fingerprint"]["settings"]["tiny"]["tiny_threads"] == 1
    text = page.read_text(encoding="utf-8")
    assert text.startswith("What another step wrote.\n### ✅ jacbench gate: ")
    (path,) = (tmp_path / "results").iterdir()
    content = json.loads(path.read_text(encoding="ascii"))["jacbench"]
    assert results_errors(content) == []
    assert content["gate"]["cells"] == found["cells"]
    (result,) = read(path).cells
    assert result.verdict is Verdict.AGREES
    assert result.median_s == row["head"]["median_s"]


# Two versions of a user's own model


def test_what_became_slower_and_what_became_wrong(repository: Path, tmp_path: Path) -> None:
    model = repository / "model.py"
    text = model.read_text(encoding="utf-8").replace("REPEATS = 40", "REPEATS = 240")
    model.write_text(text.replace("3 * x**2", "3.01 * x**2"), encoding="utf-8")
    out = tmp_path / "out.json"
    done = jacbench(
        *("gate", "model.py:several", *TINY, *QUICK, "--base-ref", "main", "--json", str(out)),
        cwd=repository,
        env=environment(tiny_site()),
    )
    assert done.stderr == ""
    assert done.returncode == 1
    found = strict(out.read_text(encoding="utf-8"))
    assert schema_errors(found) == []
    rows = {row["problem"]: row for row in found["cells"]}
    heavy, cube = rows["my/heavy"], rows["my/cube"]
    assert heavy["outcome"] == "regression"
    # Some five times as long: what a noisy machine makes of that is still a regression.
    assert heavy["time"]["ratio"] > 2
    assert heavy["time"]["pairs"] == 16  # both stages
    assert "the problem's source differs between base and head" in heavy["cautions"]
    assert cube["outcome"] == "became wrong"
    assert (cube["base"]["verdict"], cube["head"]["verdict"]) == ("agrees", "failed")
    assert found["counts"] == {"became wrong": 1, "regression": 1}
    # On standard output, since the object went to a file.
    assert "FAIL: 2 cells: 1 became wrong, 1 regression" in done.stdout
    assert done.stdout.index("my/cube") < done.stdout.index("my/heavy")
    assert "head: the working tree" in done.stdout
    assert len(worktrees(repository)) == 1


def test_each_side_imports_its_own_package(repository: Path, tmp_path: Path) -> None:
    # By an absolute path, and with a slip that the package of head alone has.
    package = repository / "src" / "scaling" / "__init__.py"
    package.write_text("raise RuntimeError('of head')", encoding="utf-8")
    named = f"{repository / 'model.py'}:several"
    done = jacbench(
        *("gate", named, *TINY, *QUICK, "--base-ref", "HEAD"),
        cwd=repository,
        env=environment(tiny_site()),
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("jacbench: head (the working tree): ")
    assert "RuntimeError: of head (line 5 of model.py)" in done.stderr
    assert len(worktrees(repository)) == 1


@pytest.mark.parametrize("signal", ["SIGINT", "SIGTERM"])
def test_an_interrupt_keeps_what_was_measured(
    repository: Path, tmp_path: Path, signal: str
) -> None:
    done = jacbench(
        *("gate", "model.py:calling", *TINY, *QUICK, "--base-ref", "main", "--json", "-"),
        *("--output", str(tmp_path / "results")),
        cwd=repository,
        env=environment(tiny_site(), SIGNAL=signal, TICKS=str(tmp_path / "ticks")),
    )
    assert done.returncode == 130
    found = strict(done.stdout)
    assert schema_errors(found) == []
    assert found["stopped"] == "interrupted"
    (row,) = found["cells"]
    assert row["head"]["verdict"] == "agrees"
    assert row["time"]["pairs"] == 4
    assert len(list((tmp_path / "results").iterdir())) == 1
    assert len(worktrees(repository)) == 1


# The self-test


def test_the_self_test(tmp_path: Path) -> None:
    out, page = tmp_path / "out.json", tmp_path / "page.md"
    done = jacbench(
        *("gate", PROBLEM, *TINY, *QUICK, "--self-test", "--pairs", "1", "--cells", "1"),
        *("--json", str(out), "--markdown", str(page)),
        cwd=tmp_path,
        env=environment(tiny_site()),
    )
    assert done.stderr == ""
    assert done.returncode == 0
    found: dict[str, Any] = strict(out.read_text(encoding="utf-8"))
    assert schema_errors(found, "selftest") == []
    kinds = {(r["rule"], r["quantity"], r["injected"]): r["pairs"] for r in found["rates"]}
    plain = "--benchmark-compare-fail=median:5%"
    assert kinds == {
        ("gate", "time", 0.0): 1,
        ("gate", "time", 0.05): 1,
        **{(plain, "time", level): 1 for level in (0.0, 0.05, 0.1, 0.2)},
    }
    assert [trial["injected"] for trial in found["trials"]] == [0.0, 0.05]
    assert found["settings"]["launches"] == 2
    assert found["seconds"] > found["seconds_of_pytest_benchmark"] > 0
    assert "+5 %" in done.stdout
    assert page.read_text(encoding="utf-8").startswith("### What the gate can resolve here\n")
