"""A comparison is shown whole, as plain text, and as an object that its schema describes."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from rich.console import Console
from typer import Typer
from typer.testing import CliRunner

from jacbench.commands.compare import compare as command
from jacbench.comparing.comparison import Comparison, compare
from jacbench.core.cell import CellResult, Verdict
from jacbench.core.errors import JacbenchError
from jacbench.reporting import comparison_table
from jacbench.results import run as results
from jacbench.results import writer
from jacbench.results.run import Run
from tests import samples
from tests.comparing.test_compare import fingerprint, plain, run, visits
from tests.reporting.test_run_table import HOSTILE
from tests.runs import ROOT, strict
from tests.samples import agrees


def terminal(comparison: Comparison, *, every: bool = False, width: int = 200) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width)
    console.print(comparison_table.terminal(comparison, console, every=every))
    return file.getvalue()


def schema_errors(content: Any) -> list[str]:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema checks the schema")
    text = (
        resources.files("jacbench.comparing")
        .joinpath("compare.schema.json")
        .read_text(encoding="utf-8")
    )
    validator = jsonschema.Draft202012Validator(strict(text))
    validator.check_schema(strict(text))
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(content)]


def three() -> tuple[Run, Run]:
    """Return two runs: one cell stays, one is slower, one becomes wrong."""
    base = run({"a.kept": visits(1), "a.slow": visits(2), "a.wrong": visits(3)})
    new = run({"a.kept": visits(1), "a.slow": visits(4, 1.3e-5)})
    wrong = CellResult(
        cell=base.cells[2].cell, verdict=Verdict.DISAGREES, reason="row 0: 1 where 2 is right"
    )
    new.cells.append(wrong)
    return base, new


def hostile() -> tuple[Run, Run]:
    """Return two runs whose every text drives a terminal or a page."""
    cell = replace(samples.cell(HOSTILE), problem=HOSTILE, operator=HOSTILE)
    machine = {"machine": {"cpu": HOSTILE}, "versions": {HOSTILE: "1"}, "settings": {}}
    base = replace(agrees("a.b", iqr_s=1e-7), cell=cell, cautions=(HOSTILE,))
    gone = replace(base, cell=replace(cell, dtype=HOSTILE))
    wrong = CellResult(cell=gone.cell, verdict=Verdict.DISAGREES, reason=HOSTILE)
    return (
        samples.run(base, gone, fingerprint=machine),
        samples.run(replace(base, median_s=1e-4), wrong),
    )


def test_a_table_names_what_changed_and_counts_the_rest() -> None:
    text = terminal(compare(*three()))
    lines = [line.split() for line in text.splitlines() if "some/problem" in line]
    assert [line[:2] for line in lines[:2]] == [["became", "wrong"], ["slower", lines[1][1]]]
    assert "a.kept" not in text
    assert "agrees → disagrees: row 0: 1 where 2 is right" in text
    assert "3 cells: 1 became wrong, 1 slower, 1 same (1 of them not listed: --all)" in text
    assert "jacbench gate" in " ".join(text.split())
    assert "a.kept" in terminal(compare(*three()), every=True)


def test_a_time_of_another_machine_is_shown_as_a_trend() -> None:
    base = run({"a.b": visits(1)})
    new = run({"a.b": visits(2, 1.32e-5)}, fingerprint=fingerprint("machine", cpu="Slide Rule"))
    text = terminal(compare(base, new))
    assert "machine differs: cpu: Abacus 3000 → Slide Rule" in text
    assert "times are trends, and no violation: other CPU" in text
    (line,) = (line for line in text.splitlines() if "trend: 1.3" in line)
    assert "x, other CPU" in line
    assert "slower" not in text


def test_a_narrow_terminal_does_without_columns() -> None:
    found = compare(*three())
    wide, narrow = terminal(found, width=200), terminal(found, width=80)
    assert "limit" in wide.splitlines()[5]
    assert max(map(len, narrow.splitlines())) <= 80
    assert "ratio" in narrow


def test_what_else_grew_is_told_with_its_limit() -> None:
    before = agrees("a.b", peak_bytes=2**20, prepare_s=0.1, error=1e-16)
    after = replace(before, peak_bytes=2**23, prepare_s=0.3, error=1e-13)
    text = terminal(compare(samples.run(before), samples.run(after)))
    assert "preparation 100 ms → 300 ms, limit x 2" in text
    assert "memory 1 MiB → 8 MiB, limit x 1.2" in text
    assert "error 1.0e-16 → 1.0e-13, limit x 10" in text


def test_a_note_of_many_cells_is_told_once() -> None:
    cells = [agrees(f"a.m{i}") for i in range(5)]  # three rounds each
    text = terminal(compare(samples.run(*cells), samples.run(*cells)))
    assert text.count("only 3 rounds") == 1
    assert "some/problem-a.m0-cpu-float64: only 3 rounds (4 more likewise)" in text


def test_no_name_drives_a_terminal() -> None:
    text = terminal(compare(*hostile()))
    assert all(c.isprintable() or c == "\n" for c in text)
    assert "[bold red]" in text


def test_no_name_is_markup_in_markdown() -> None:
    text = comparison_table.markdown(compare(*hostile()))
    assert all(c.isprintable() or c == "\n" for c in text)
    assert "<b>" not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    bars = {line.replace("\\|", "").count("|") for line in rows}
    assert bars == {len(comparison_table.COLUMNS) + 1}


def test_a_long_name_is_cut() -> None:
    cell = replace(samples.cell(), problem="x" * 100_000)
    text = comparison_table.markdown(compare(samples.run(replace(agrees(), cell=cell)), three()[0]))
    assert len(text) < 5_000


@settings(max_examples=60)
@given(samples.runs, samples.runs)
def test_whatever_is_compared_is_shown_and_described(base: Run, new: Run) -> None:
    found = compare(base, new)
    shown = terminal(found, every=True) + comparison_table.markdown(found, every=True)
    assert all(c.isprintable() or c == "\n" for c in shown)
    content = comparison_table.to_json(found)
    assert schema_errors(strict(json.dumps(content, allow_nan=False))) == []
    assert sum(content["counts"].values()) == len(content["rows"])


def test_the_schema_refuses_what_it_does_not_describe() -> None:
    content = json.loads(json.dumps(comparison_table.to_json(compare(*three()))))
    assert schema_errors(content) == []
    assert schema_errors({**content, "more": 1})
    content["rows"][0]["outcome"] = "fine"
    assert schema_errors(content)


def test_a_plain_file_is_described_without_a_path(tmp_path: Path) -> None:
    base = plain(tmp_path, "base.json", {"t.py::a": 1e-5})
    new = plain(tmp_path, "new.json", {"t.py::a": 2e-5})
    content = comparison_table.to_json(compare(base, new))
    assert schema_errors(json.loads(json.dumps(content))) == []
    assert (content["base"]["file"], content["base"]["kind"]) == ("base.json", "pytest-benchmark")
    assert content["rows"][0]["cell"] is None
    assert str(tmp_path) not in json.dumps(content)


# The command


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    return [
        str(writer.write(tmp_path / f"{name}.json", results.document(made, {})))
        for name, made in zip(("base", "new"), three(), strict=True)
    ]


@pytest.fixture
def invoke() -> Any:
    app = Typer(pretty_exceptions_enable=False)
    app.command()(command)

    def call(*words: str) -> Any:
        return CliRunner().invoke(app, list(words))

    return call


def test_the_exit_status_is_one_for_a_violation(invoke: Any, files: list[str]) -> None:
    done = invoke(*files)
    assert done.exit_code == 1
    assert "1 became wrong, 1 slower" in done.output
    done = invoke(files[0], files[0])
    assert done.exit_code == 0
    assert "nothing can differ" in done.output


def test_a_policy_file_is_obeyed(invoke: Any, files: list[str], tmp_path: Path) -> None:
    rules = tmp_path / "policy.toml"
    rules.write_text('[[limit]]\nmethod = "a.*"\nignore = true\n')
    done = invoke(*files, "--policy", str(rules))
    assert done.exit_code == 0
    assert "became wrong (ignored)" in done.output


def test_a_mistake_is_an_error_of_ours(invoke: Any, files: list[str], tmp_path: Path) -> None:
    for words in (
        [files[0], str(tmp_path / "absent.json")],
        [*files, "--policy", str(tmp_path / "absent.toml")],
        [*files, "--json", str(tmp_path / "absent" / "out.json")],
    ):
        assert isinstance(invoke(*words).exception, JacbenchError)


def test_json_and_markdown_are_what_is_printed(
    invoke: Any, files: list[str], tmp_path: Path
) -> None:
    done = invoke(*files, "--json", "-")
    assert done.exit_code == 1
    assert strict(done.stdout)["counts"]["became wrong"] == 1
    assert schema_errors(strict(done.stdout)) == []
    out = tmp_path / "out.json"
    done = invoke(*files, "--markdown", "--all", "--json", str(out))
    assert done.stdout.startswith("- base: ")
    assert "| same |" in done.stdout
    assert strict(out.read_text())["rows"]


def test_the_command_imports_nothing_heavy_until_it_runs() -> None:
    code = (
        "import sys, jacbench.commands.compare; "
        "print({'numpy', 'rich.table', 'jacbench.comparing.comparison'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "set()"
