"""What is committed in results/ can be read, breaks no promise, and is what the pages show."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import pytest
from rich.console import Console

from jacbench import Verdict, problems, read, registry, table
from jacbench.results import Run

ROOT = Path(__file__).resolve().parents[1]
RUNS = sorted((ROOT / "results").glob("cpu-*.json")) + sorted(
    (ROOT / "results").glob("cuda-*.json")
)
PAGE = (ROOT / "results" / "README.md").read_text(encoding="utf-8")


@pytest.fixture(params=RUNS, ids=lambda path: path.stem)
def run(request: pytest.FixtureRequest) -> Run:
    return read(request.param)


def test_there_is_a_run() -> None:
    assert RUNS


def test_every_cell_agrees_or_is_unsupported(run: Run) -> None:
    for result in run.cells:
        assert result.verdict in (Verdict.AGREES, Verdict.UNSUPPORTED), result
        if result.verdict is Verdict.AGREES:
            assert result.error is not None
            assert result.tolerance is not None
            assert result.error <= result.tolerance
            assert result.median_s
        else:
            assert result.reason


def test_every_problem_method_and_dtype_is_there(run: Run) -> None:
    asked = {
        (problem, method, dtype)
        for problem in problems.names()
        for method in registry.method_names()
        for dtype in ("float64", "float32")
    }
    assert {(r.cell.problem, r.cell.method, r.cell.dtype) for r in run.cells} == asked


def test_one_thread_was_one_core(run: Run) -> None:
    for name, settings in run.fingerprint["settings"].items():
        assert settings["measured_cores"] < 1.1, name


def test_the_page_shows_the_tables_of_the_file(run: Run) -> None:
    assert table.markdown(run).strip() in PAGE


def test_the_readme_shows_a_table_of_the_file() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (shown,) = [part for part in readme.split("```") if part.startswith("text\n")]
    file = io.StringIO()
    console = Console(file=file, width=150)
    console.print(table.terminal(read(RUNS[0]), console, timed=True))
    known = {line.strip() for line in file.getvalue().splitlines()}
    assert {line.strip() for line in shown.splitlines()[1:]} <= known


@pytest.mark.parametrize(("name", "keys"), [("xp", "overhead"), ("wrapper", "through")])
def test_overhead_on_the_page_is_that_of_the_files(name: str, keys: str) -> None:
    path = ROOT / "results" / f"overhead-{name}.json"
    for row in json.loads(path.read_text(encoding="utf-8"))["rows"]:
        assert f"| {row[keys]['median']:.3f} |" in PAGE
        assert math.isfinite(row[keys]["median"])
        if row.get("judged", True):
            assert row[keys]["median"] <= {"xp": 1.05, "wrapper": 1.02}[name]
