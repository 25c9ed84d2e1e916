"""What is committed in results/ can be read, breaks no promise, and is what the pages show."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks import pages, pick_pages
from jacbench import Verdict, problems, read
from jacbench.backend import registry
from jacbench.core import operators
from jacbench.reporting import run_table
from jacbench.results.run import Run

ROOT = Path(__file__).resolve().parents[2]
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
        assert not result.verdict.is_fault, result
        if result.verdict is Verdict.AGREES:
            assert result.error is not None
            assert result.tolerance is not None
            assert result.error <= result.tolerance
            assert result.median_s
        else:
            assert result.reason


def test_every_jacobian_is_there_in_both_dtypes() -> None:
    first = [name for name in problems.names() if name.startswith(("basics/", "shape/"))]
    asked = {
        (problem, method, dtype)
        for problem in first
        for method in methods_for(
            "jacobian", intermediate=problems.entry(problem).intermediate, structured=True
        )
        for dtype in ("float64", "float32")
    }
    cells = [result.cell for result in read(ROOT / "results" / pages.JACOBIANS).cells]
    assert {(cell.problem, cell.method, cell.dtype) for cell in cells} == asked


def methods_for(operator: str, *, intermediate: bool, structured: bool) -> list[str]:
    return [
        info.name
        for descriptor in registry.descriptors().values()
        for info in descriptor.methods
        if info.operator == operator
        and (intermediate or not info.by_intermediate)
        and (structured or not info.structure)
    ]


def everything(names: list[str], *, structured: bool) -> set[tuple[str, str, str]]:
    """Return problem, operator and method of every cell that makes sense."""
    entries = [problems.entry(name) for name in names]
    return {
        (entry.name, operator, method)
        for entry in entries
        for operator in operators.offered(batch=entry.batch)
        for method in methods_for(operator, intermediate=entry.intermediate, structured=structured)
    }


def test_networks_are_there_by_every_operator() -> None:
    names = [name for name in problems.names() if name.startswith("nn/")]
    cells = [result.cell for result in read(ROOT / "results" / pages.NETWORKS).cells]
    found = {(cell.problem, cell.operator, cell.method) for cell in cells}
    assert found == everything([*names, "basics/generator"], structured=False)


def test_every_cell_has_a_verdict_and_none_is_a_fault() -> None:
    checked = read(ROOT / "results" / pages.VERDICTS)
    cells = [result.cell for result in checked.cells]
    assert {(c.problem, c.operator, c.method) for c in cells} == everything(
        problems.names(), structured=True
    )
    assert checked.ok
    shown = (ROOT / "results" / "verdicts.md").read_text(encoding="utf-8")
    assert run_table.verdicts_markdown(checked).strip() in shown


def test_one_thread_was_one_core(run: Run) -> None:
    for name, settings in run.fingerprint["settings"].items():
        assert settings["measured_cores"] < 1.1, name


@pytest.mark.parametrize(
    ("file", "page"), [(pages.JACOBIANS, "README.md"), (pages.NETWORKS, "networks.md")]
)
def test_the_page_shows_the_tables_of_the_file(file: str, page: str) -> None:
    shown = (ROOT / "results" / page).read_text(encoding="utf-8")
    assert run_table.markdown(read(ROOT / "results" / file)).strip() in shown


def test_the_readme_shows_a_table_of_the_file() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (shown,) = [part for part in readme.split("```") if part.startswith("text\n")]
    file = io.StringIO()
    console = Console(file=file, width=150)
    console.print(run_table.terminal(read(ROOT / "results" / pages.BENCH), console, timed=True))
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


PICK_PARTS = (
    *("structure", "products", "habits", "time"),
    *("regret", "compiled", "mended", "busy", "limit"),
)


@pytest.mark.parametrize("part", PICK_PARTS)
def test_the_page_of_the_pick_shows_its_files(part: str) -> None:
    page = (ROOT / "results" / "pick.md").read_text(encoding="utf-8")
    text = pick_pages.parts()[part]
    assert text.count("\n") > 5
    assert text in page


def test_no_part_of_the_page_of_the_pick_is_forgotten() -> None:
    assert set(pick_pages.parts()) == set(PICK_PARTS)


def test_who_crashed_is_named() -> None:
    found = _figures("regret-compiled")
    quiet = [{**row, "ended": []} for row in found["rows"]]
    assert "Crashed or took too long" not in pick_pages.regret({**found, "rows": quiet})
    first = {**quiet[0], "ended": ["torch.compile-jacfwd", "torch.compile-jacrev"]}
    told = pick_pages.regret({**found, "rows": [first, *quiet[1:]]})
    assert f"`torch.compile-jacfwd`, `torch.compile-jacrev` on {first['name']}." in told


def test_the_readme_says_what_the_pick_is_worth() -> None:
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    whole = _figures("regret")["summary"]
    assert f"over {whole['functions']} functions, `torch.compile` left out" in text
    assert f"took {100 * whole['p95']:.0f} % longer" in text
    assert f"and {100 * whole['max']:.0f} % at worst" in text
    busy = _figures("regret-busy")["summary"]
    beside = f"{100 * busy['p95']:.0f} % beside two busy neighbours, in the 95th percentile"
    assert f"{beside} ({busy['functions']} functions)" in text
    means = {name: mean["mean"] for name, mean in _figures("habits")["means"].items()}
    assert f"it is {means['torch.func.jacrev']:.0f} times faster than always" in text
    assert f"and {means['jax.jacrev']:.1f} times faster than always a jitted" in text
    share = _figures("time-to-answer")["summary"]["median_share"]
    assert round(1 / share) == 5
    assert "a fifth of the time of measuring every method" in text


def _figures(name: str) -> Any:
    return json.loads((ROOT / "results" / f"{name}.json").read_text(encoding="utf-8"))
