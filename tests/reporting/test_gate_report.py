"""What a person reads: the worst first, and nothing that drives a terminal or a page."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from jacbench import read
from jacbench.core.cell import CellResult, Verdict
from jacbench.core.errors import JacbenchError
from jacbench.gating import results_file
from jacbench.gating.gate import GateRun
from jacbench.gating.outcome import Judged, Outcome
from jacbench.gating.settings import GateSettings
from jacbench.gating.side import Side
from jacbench.reporting import gate_report
from tests.gating.simulated import (
    ONE,
    SIDES_HERE,
    THREE,
    TWO,
    Event,
    Machine,
    Version,
    gate_run,
    raising,
    slower,
)
from tests.gating.test_gate import schema_errors
from tests.reporting.test_markup import bare
from tests.results.test_run import schema_errors as results_errors
from tests.samples import cell

HOSTILE = "\x1b[2J<script>x</script>|pipe|\n# [link](https://example.org) `code` __b__ \u202e"


def shown(run: GateRun, width: int = 150) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(gate_report.terminal(run, console))
    stream: Any = console.file
    return stream.getvalue()


@pytest.fixture(scope="module")
def mixed() -> GateRun:
    """Return a run with a cell that became wrong, one that is slower, and one that passes."""
    machine = Machine(
        {
            ("head", ONE): slower(1.5),
            ("head", TWO): Version(verdict=lambda _: Verdict.DISAGREES),
        }
    )
    return gate_run(machine, (THREE, ONE, TWO))


def made(*judged: Judged, **parts: Any) -> GateRun:
    known: dict[str, Any] = {"about": {}, "absent": {}, "seconds": 7.4, "settings": GateSettings()}
    return GateRun(list(judged), SIDES_HERE, **known | parts)


def test_the_worst_comes_first(mixed: GateRun) -> None:
    outcomes = [one.outcome for one in gate_report.ordered(mixed)]
    assert outcomes == [Outcome.WRONG, Outcome.REGRESSION, Outcome.PASS]
    both = gate_run(Machine({("head", ONE): slower(1.2), ("head", TWO): slower(1.9)}), (ONE, TWO))
    assert [one.cell for one in gate_report.ordered(both)] == [TWO, ONE]


@pytest.mark.parametrize(
    ("outcomes", "told"),
    [
        ((), "pass: 0 cells: none"),
        ((Outcome.PASS, Outcome.PASS), "pass: 2 cells: 2 pass"),
        ((Outcome.PASS, Outcome.WRONG), "FAIL: 2 cells: 1 became wrong, 1 pass"),
        (
            (Outcome.REGRESSION, Outcome.INCONCLUSIVE),
            "FAIL: 2 cells: 1 regression, 1 inconclusive",
        ),
        (
            (Outcome.INCONCLUSIVE, Outcome.FASTER),
            "nothing became wrong or slower, but not all could be decided: 2 cells: "
            "1 inconclusive, 1 faster",
        ),
        ((Outcome.GONE, Outcome.IGNORED), "pass: 2 cells: 1 only in base, 1 ignored"),
    ],
)
def test_headlines(outcomes: tuple[Outcome, ...], told: str) -> None:
    assert gate_report.headline(made(*(Judged(ONE, outcome) for outcome in outcomes))) == told


def test_a_row_says_what_is_unusual() -> None:
    odd = cell("torch.vjp", problem="a/b", operator="vjp", dtype="float32", device="cuda:0")
    row = gate_report.row(Judged(odd, Outcome.NEW))
    assert row == ("only in head", "a/b, vjp, cuda:0, float32", "torch.vjp", *[""] * 5)


def test_figures_in_a_row(mixed: GateRun) -> None:
    slow = gate_report.ordered(mixed)[1]
    outcome, problem, method, base, head, ratio, ends, preparation = gate_report.row(slow)
    assert (outcome, problem, method) == ("regression", "a/one", "tiny.right")
    assert base.endswith(" µs")
    assert head.endswith(" µs")
    assert 1.4 < float(ratio) < 1.6
    low, high = map(float, ends.split(" to "))
    assert low <= float(ratio) <= high
    assert preparation == ""


def test_a_preparation_is_in_its_row() -> None:
    versions = {(n, ONE): Version(prepare_s=lambda _: 0.1) for n in ("base", "head")}
    (one,) = gate_run(Machine(versions)).judged
    assert re.fullmatch(r"(9\d\.\d|10\d) ms \((0\.9|1\.0)\d+\)", gate_report.row(one)[-1])


def test_the_terminal_and_the_page_say_the_same(mixed: GateRun) -> None:
    for text in (shown(mixed), gate_report.markdown(mixed).replace("\\", "")):
        assert "FAIL: 3 cells: 1 became wrong, 1 regression, 1 pass" in text
        assert "base: the base" in text
        assert f"{TWO.key}: became wrong: disagrees: as planted" in text
        assert "fresh workers say so again" in text
        for name in ("a/one", "a/two", "a/three"):
            assert name in text


def test_what_passed_is_folded_away_on_a_page(mixed: GateRun) -> None:
    page = gate_report.markdown(mixed)
    before, _, after = page.partition("<details><summary>1 pass</summary>")
    assert "a/three" in after
    assert "a/three" not in before
    assert "a/two" in before
    assert page.startswith("### ❌ jacbench gate: FAIL")
    assert gate_report.markdown(gate_run(Machine())).startswith("### ✅ jacbench gate: pass")
    assert "The gate took 7 s." in gate_report.markdown(made())
    assert "The gate took 2.0 min." in gate_report.markdown(made(seconds=120))


def test_what_stopped_it_and_what_is_absent_is_told() -> None:
    run = made(stopped="interrupted", absent={"jax": "jax is not installed"})
    assert gate_report.notes(run) == ["stopped: interrupted", "left out: jax is not installed"]


def test_alike_cautions_are_told_once() -> None:
    several = [
        Judged(one, Outcome.PASS, cautions=(f"the machine was busy: {n} %", "other"))
        for n, one in enumerate((ONE, TWO, THREE))
    ]
    assert gate_report.notes(made(*several)) == [
        "the machine was busy: 0 % (and 2 more cells)",
        "other (and 2 more cells)",
    ]


def test_versions_that_differ() -> None:
    def about(**versions: str) -> dict[str, Any]:
        return {"fingerprint": {"versions": versions}}

    base, head = about(torch="2.12", a="1"), about(torch="2.13", b="2", a="1")
    run = made(about={"base": base, "head": head})
    assert gate_report.between(run) == [
        "base: the base",
        "head: the head",
        "b: absent -> 2",
        "torch: 2.12 -> 2.13",
    ]


# Hostile text


@pytest.fixture
def hostile() -> GateRun:
    bad = replace(cell(HOSTILE), problem=HOSTILE, dtype=HOSTILE)
    result = CellResult(cell=bad, verdict=Verdict.FAILED, reason=HOSTILE)
    one = Judged(bad, Outcome.WRONG, HOSTILE, result, result, cautions=(HOSTILE,))
    sides = {name: Side(name, HOSTILE, "python", Path()) for name in ("base", "head")}
    about = {"head": {"fingerprint": {"versions": {HOSTILE: HOSTILE}}}}
    run = made(one, replace(one, outcome=Outcome.PASS), about=about, absent={"x": HOSTILE})
    return replace(run, sides=sides, stopped=HOSTILE)


def test_no_text_drives_the_terminal(hostile: GateRun) -> None:
    text = shown(hostile, width=2000)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "<script>x</script>" in text  # ordinary characters there
    assert "[link]" in text  # and no markup of rich's


def test_no_text_works_on_a_page(hostile: GateRun) -> None:
    text = gate_report.markdown(hostile)
    assert "\x1b" not in text
    assert "<script" not in text
    own = ("<details><summary>1 pass</summary>", "</details>", "<sub>", "</sub>")
    rest = text
    for tag in own:
        assert rest.count(tag) == 1
        rest = rest.replace(tag, "")
    assert "<" not in rest
    assert not set("[]`") & set(bare(rest))
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {bare(line).count("|") for line in rows} == {len(gate_report.HEAD) + 1}
    # A line break in a name begins no heading.
    assert [line[:4] for line in text.splitlines() if line.startswith("#")] == ["### "]


# The results file


def test_the_results_file_is_read_and_holds_what_the_gate_says(
    mixed: GateRun, tmp_path: Path
) -> None:
    path = results_file.write(mixed, tmp_path / "new" / "folder")
    content = json.loads(path.read_text(encoding="ascii"))
    assert results_errors(content["jacbench"]) == []
    assert schema_errors(content["jacbench"]["gate"]) == []
    again = read(path)
    found = {result.cell: result for result in again.cells}
    assert found[ONE].verdict is Verdict.AGREES
    assert found[ONE].median_s == pytest.approx(1.5e-4, rel=0.02)
    assert found[ONE].rounds == 3 * 80
    assert found[ONE].peak_bytes == 2**24
    assert found[TWO].verdict is Verdict.DISAGREES
    assert found[TWO].median_s is None
    assert {row["param"] for row in content["benchmarks"]} == {ONE.key, THREE.key}
    row = next(row for row in content["benchmarks"] if row["param"] == ONE.key)
    assert row["stats"]["median"] == pytest.approx(found[ONE].median_s)


def test_what_died_while_it_was_timed_has_no_time(tmp_path: Path) -> None:
    def trouble(event: Event) -> None:
        if (event.side, event.what, event.count) == ("head", "block", 7):
            raise raising("crashed", "as planted")

    run = gate_run(Machine(trouble=trouble))
    (one,) = run.judged
    assert one.head_samples
    content = results_file.document(run)
    assert results_errors(json.loads(json.dumps(content))["jacbench"]) == []
    assert content["benchmarks"] == []
    (row,) = content["jacbench"]["cells"]
    assert (row["verdict"], row["median_s"]) == ("crashed", None)


def test_no_path_of_an_interpreter_is_in_the_file() -> None:
    path = "/home/alice-of-the-tests/venv/bin/python"
    run = gate_run(Machine())
    run.sides = {name: Side(name, path, path, Path()) for name in ("base", "head")}
    assert "alice" not in json.dumps(results_file.document(run))
    # What is printed for whoever gave it names it as given.
    assert run.to_json()["base"]["label"] == path


@pytest.mark.parametrize("judged", [[], [Judged(ONE, Outcome.GONE), Judged(TWO, Outcome.NEW)]])
def test_nothing_measured_is_a_file_too(judged: list[Judged], tmp_path: Path) -> None:
    path = results_file.write(made(*judged), tmp_path)
    assert read(path).cells == []


def test_a_folder_that_cannot_be_written(mixed: GateRun, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(JacbenchError, match="choose another with --output"):
        results_file.write(mixed, tmp_path / "file")
