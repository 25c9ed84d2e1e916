"""Problems as objects, timed in this process; named ones beside them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jacbench as jb
from jacbench import JacbenchError, Verdict
from jacbench.results import writer
from tests.driving import QUICK, cube, problem
from tests.results.test_run import schema_errors
from tests.runs import PROBLEM, strict


def test_check_of_a_problem_object() -> None:
    run = jb.check(problem(), methods=["numpy.*"], operators=["jacobian"], dtypes=["all"])
    assert [result.verdict for result in run.cells] == [Verdict.AGREES] * 6
    assert run.ok
    assert (run.cells[0].m, run.cells[0].n, run.cells[0].median_s) == (3, 3, None)
    assert schema_errors(run.to_json()) == []


def test_check_finds_a_wrong_hand_written_jacobian() -> None:
    wrong = problem(jacobian=lambda x: np.diag(2 * x**2))
    run = jb.check(wrong, methods=["numpy.complex-step"])
    (cell,) = run.cells
    assert cell.verdict is Verdict.FAILED
    assert "its own jacobian= is the odd one out" in str(cell.reason)
    assert not run.ok


def test_run_of_a_problem_object_writes_a_file(tmp_path: Path) -> None:
    run = jb.run(problem(), **QUICK, output=tmp_path)
    (result,) = run.cells
    assert result.verdict is Verdict.AGREES
    assert result.median_s is not None
    assert result.rounds == len(run.samples[result.cell])
    (path,) = tmp_path.iterdir()
    assert run.path == path
    assert jb.read(path).cells == run.cells
    assert schema_errors(strict(path.read_text())["jacbench"]) == []


def test_two_runs_into_one_folder_have_two_files(tmp_path: Path) -> None:
    runs = [jb.run(problem(), **QUICK, output=tmp_path) for _ in range(2)]
    assert all(run.ok for run in runs)
    paths = {run.path for run in runs}
    assert paths == set(tmp_path.iterdir())
    assert len(paths) == 2


def test_objects_and_names_in_one_run(tmp_path: Path) -> None:
    run = jb.run(problem(), PROBLEM, **QUICK, output=tmp_path)
    assert {r.cell.problem: r.verdict for r in run.cells} == {
        PROBLEM: Verdict.AGREES,
        "mine/cube": Verdict.AGREES,
    }
    assert all(result.median_s for result in run.cells)
    assert set(run.fingerprint["settings"]) == {"workers", "in_process"}
    block = strict(next(tmp_path.iterdir()).read_text())["jacbench"]
    assert schema_errors(block) == []
    assert len(block["cells"]) == 2


def test_function_that_fails_only_after_many_calls_has_no_time(tmp_path: Path) -> None:
    calls = []

    def jacobian(x: Any) -> Any:
        calls.append(1)
        if len(calls) > 40:
            raise ArithmeticError("late")
        return np.diag(3 * x**2)

    run = jb.run(problem(jacobian=jacobian), **QUICK, output=tmp_path)
    (result,) = run.cells
    assert result.verdict is Verdict.FAILED
    assert result.reason == "in a timed call: ArithmeticError: late"
    assert result.median_s is None
    document = strict(next(tmp_path.iterdir()).read_text())
    assert document["benchmarks"] == []


def test_conftest_and_options_of_the_users_own_project_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "conftest.py").write_text("raise RuntimeError('hostile conftest')")
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTEST_ADDOPTS", "--no-such-option-either")
    assert jb.run(problem(), **QUICK).ok
    assert os.environ["PYTEST_ADDOPTS"] == "--no-such-option-either"
    assert "PYTEST_DISABLE_PLUGIN_AUTOLOAD" not in os.environ


def test_mistakes_leave_no_file(tmp_path: Path) -> None:
    for what, options, message in (
        ([problem()], {"methods": ["numpy.analytics"]}, "did you mean 'numpy.analytic'"),
        ([problem()], {"dtypes": ["float16"]}, "unknown dtype"),
        (["no/problem"], {}, "unknown problem"),
        ([cube], {}, "function is neither a pattern over problem names nor a jacbench.Problem"),
    ):
        with pytest.raises(JacbenchError, match=message):
            jb.run(*what, **{**QUICK, **options}, output=tmp_path / "out")
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []


def test_disk_that_fills_up_during_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(writer.tempfile, "tempdir", str(tmp_path / "tmp"))
    replace = Path.replace

    def full(self: Path, target: Path) -> Path:
        if Path(target).parent == tmp_path / "out":
            raise OSError(28, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", full)
    run = jb.run(problem(), **QUICK, output=tmp_path / "out")
    assert run.path is not None
    assert run.path.is_relative_to(tmp_path / "tmp")
    assert jb.read(run.path).cells == run.cells
