"""A run that was cut off goes on: nothing twice, nothing from elsewhere, nothing edited."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import jacbench as jb
from jacbench import JacbenchError, Verdict
from jacbench.running import backend_worker, resume
from jacbench.running.worker_process import Worker
from tests.results.test_run import schema_errors
from tests.running.test_driver import Told
from tests.runs import PROBLEM, jacbench, strict

METHODS = ["numpy.analytic", "numpy.complex-step", "numpy.central-difference"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A complete run of three methods, with two visits each."""
    folder = tmp_path_factory.mktemp("whole")
    jb.run(PROBLEM, methods=METHODS, budget_s=0.02, visits=2, seed=3, output=folder)
    (path,) = folder.iterdir()
    return strict(path.read_text())


@pytest.fixture
def cut(whole: dict[str, Any], tmp_path: Path) -> Callable[..., Path]:
    """Write the file as if the run had been cut off, and changed since."""

    def write(change: Callable[[dict[str, Any]], None]) -> Path:
        document = json.loads(json.dumps(whole))
        change(document)
        path = tmp_path / "run.json"
        path.write_text(json.dumps(document), encoding="ascii")
        return path

    return write


def without_turn(document: dict[str, Any], method: str = METHODS[1]) -> None:
    """Take away all that is known of one cell, and one visit of another."""
    block = document["jacbench"]
    block["interrupted"] = True
    for cell in block["cells"]:
        if cell["method"] == method:
            cell |= {"verdict": "not run", "reason": "interrupted", "median_s": None}
            cell |= {"low_s": None, "high_s": None, "visits": None, "rounds": None}
    rows = document["benchmarks"]
    rows[:] = [row for row in rows if row["params"]["method"] != method]


def one_visit_less(document: dict[str, Any], method: str = METHODS[2]) -> None:
    (row,) = (row for row in document["benchmarks"] if row["params"]["method"] == method)
    first = row["extra_info"]["visit_rounds"][0]
    row["extra_info"]["visit_rounds"] = [first]
    row["stats"]["data"] = row["stats"]["data"][:first]


def both(document: dict[str, Any]) -> None:
    without_turn(document)
    one_visit_less(document)


def test_only_what_is_missing_is_measured(cut: Callable[..., Path], whole: dict[str, Any]) -> None:
    path, told = cut(both), Told()
    run = jb.run(resume=path, progress=told)
    visits = [cell.method for what, cell in told.turns if what != "memory"]
    assert sorted(visits) == sorted([METHODS[1], METHODS[1], METHODS[2]])
    assert [(r.verdict, r.visits) for r in run.cells] == [(Verdict.AGREES, 2)] * 3
    assert not run.interrupted
    # Written into the same file, and nowhere else.
    assert list(path.parent.iterdir()) == [path]
    again = strict(path.read_text())
    assert schema_errors(again["jacbench"]) == []
    assert jb.read(path).cells == run.cells
    before = {cell["method"]: cell for cell in whole["jacbench"]["cells"]}
    after = {cell["method"]: cell for cell in again["jacbench"]["cells"]}
    assert after[METHODS[0]] == before[METHODS[0]]
    assert after[METHODS[1]]["median_s"] > 0
    (kept,) = (r for r in whole["benchmarks"] if r["params"]["method"] == METHODS[2])
    (more,) = (r for r in again["benchmarks"] if r["params"]["method"] == METHODS[2])
    first = kept["extra_info"]["visit_rounds"][0]
    assert more["stats"]["data"][:first] == kept["stats"]["data"][:first]
    assert len(more["extra_info"]["visit_rounds"]) == 2
    # Settings are the file's; what both parts took is added up.
    assert again["jacbench"]["options"] == whole["jacbench"]["options"]
    spent, spent_before = again["jacbench"]["seconds"], whole["jacbench"]["seconds"]
    assert spent["wall"] > spent_before["wall"]
    assert resume.complete(run)


def test_verdicts_are_kept_whatever_they_were(cut: Callable[..., Path]) -> None:
    def failed(document: dict[str, Any]) -> None:
        without_turn(document)
        cell = next(c for c in document["jacbench"]["cells"] if c["method"] == METHODS[2])
        cell |= {"verdict": "timed out", "reason": "took longer than 4 s", "median_s": None}

    run = jb.run(resume=cut(failed))
    verdicts = {r.cell.method: (r.verdict, r.reason) for r in run.cells}
    assert verdicts[METHODS[2]] == (Verdict.TIMED_OUT, "took longer than 4 s")
    assert verdicts[METHODS[1]] == (Verdict.AGREES, None)


def test_a_larger_budget_reaches_what_the_first_did_not(cut: Callable[..., Path]) -> None:
    def spent(document: dict[str, Any]) -> None:
        without_turn(document)
        document["jacbench"]["options"]["total_s"] = 1e-3

    path = cut(spent)
    verdicts = [r.verdict for r in jb.run(resume=path).cells]
    assert sorted(verdicts) == [Verdict.AGREES, Verdict.AGREES, Verdict.NOT_RUN]
    run = jb.run(resume=path, total_s=8.0)
    assert {r.verdict for r in run.cells} == {Verdict.AGREES}
    assert run.options["total_s"] == 8.0


def hashed(name: str) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        without_turn(document)
        assert all(cell[name] for cell in document["jacbench"]["cells"])
        document["jacbench"]["cells"][0][name] = "0123456789abcdef"

    return change


def elsewhere(part: str, name: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        without_turn(document)
        document["jacbench"]["fingerprint"][part][name] = value

    return change


def without_options(document: dict[str, Any]) -> None:
    without_turn(document)
    document["jacbench"]["options"] = {}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (elsewhere("machine", "cpu", "Abacus 3000"), r"\(cpu: Abacus 3000 → .*\)"),
        (elsewhere("versions", "numpy", "1.0"), r"\(numpy: 1.0 → .*\)"),
        (elsewhere("versions", "jacbench", "0.0.1"), r"\(jacbench: 0.0.1 → .*\)"),
        (hashed("problem_hash"), f"has problem '{PROBLEM}', which has been edited since"),
        (hashed("method_hash"), "has method 'numpy.analytic', which has been edited since"),
        (without_options, "does not say how it was measured"),
    ],
)
def test_what_was_measured_otherwise_is_refused(
    cut: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[dict[str, Any]], None],
    why: str,
) -> None:
    path = cut(change)
    before = path.read_bytes()

    def never(*_: object) -> Worker:
        raise AssertionError("a worker was started")

    monkeypatch.setattr(backend_worker, "Worker", never)
    with pytest.raises(JacbenchError, match=why) as caught:
        jb.run(resume=path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"results file '{path}' ")
    assert path.read_bytes() == before


def test_where_nothing_is_missing_that_is_said(whole: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps(whole))
    before = path.read_bytes()
    done = jacbench("run", "--resume", "run.json", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"jacbench: results file 'run.json': {resume.COMPLETE}\n"
    assert path.read_bytes() == before


def test_a_file_cut_short_cannot_be_resumed(whole: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps(whole)[:1000])
    with pytest.raises(JacbenchError, match="is cut short: make it again with jacbench run"):
        jb.run(resume=path)
