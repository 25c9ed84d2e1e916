"""Two runs, cell by cell: what is planted is found, noise is not, and nothing vanishes silently."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jacbench.comparing.comparison import Comparison, Outcome, Row, compare
from jacbench.core.cell import Cell, CellResult, Verdict
from jacbench.core.errors import JacbenchError
from jacbench.measuring import statistics
from jacbench.results import policy, writer
from jacbench.results import run as results
from jacbench.results.policy import Limits, Policy
from jacbench.results.run import Run
from tests import samples
from tests.samples import agrees

WRONG = (Verdict.DISAGREES, Verdict.FAILED, Verdict.CRASHED, Verdict.TIMED_OUT)
OPTIONS = {"timer": "perf_counter"}


def visits(
    seed: int, median_s: float = 1e-5, *, noise: float = 0.05, between: float = 0.0, each: int = 30
) -> list[list[float]]:
    """Return three visits of rounds, log-normal around a median that each visit moves a little."""
    rng = np.random.default_rng(seed)
    return [
        (median_s * np.exp(rng.normal(rng.normal(0, between), noise, each))).tolist()
        for _ in range(3)
    ]


def run(figures: Mapping[str, Sequence[Sequence[float]]], **parts: Any) -> Run:
    """Return a run of methods that agree, by name, with their visits."""
    cells = {m: agrees(m, float(np.median(np.concatenate(v)))) for m, v in figures.items()}
    own = {cells[m].cell: [list(visit) for visit in v] for m, v in figures.items()}
    return samples.run(*cells.values(), visits=own, **parts)


def of(verdict: Verdict, method: str = "jax.jacrev", **parts: Any) -> Run:
    """Return a run of one cell."""
    if verdict is Verdict.AGREES:
        return samples.run(agrees(method, **parts))
    return samples.run(CellResult(cell=samples.cell(method), verdict=verdict, **parts))


def only(comparison: Comparison) -> Row:
    (row,) = comparison.rows
    return row


def fingerprint(part: str, **changes: Any) -> dict[str, Any]:
    """Return the fingerprint of other runs with another machine, versions or settings."""
    found = copy.deepcopy(samples.FINGERPRINT)
    found[part] |= changes
    return found


# Times


def test_twenty_percent_is_found_and_sized() -> None:
    row = only(compare(run({"jax.jacrev": visits(1)}), run({"jax.jacrev": visits(2, 1.2e-5)})))
    assert row.outcome is Outcome.SLOWER
    assert row.time.violated
    assert row.fails
    assert row.time.ratio == pytest.approx(1.2, rel=0.05)
    assert row.time.low is not None
    assert row.time.high is not None
    assert 1 < row.time.low < row.time.ratio < row.time.high
    assert row.time.limit == 1.10


def test_a_little_is_no_violation() -> None:
    found = compare(run({"jax.jacrev": visits(1)}), run({"jax.jacrev": visits(2, 1.05e-5)}))
    assert only(found).outcome is Outcome.SAME
    assert found.ok
    wide = visits(1, noise=0.5, each=4), visits(2, 1.05e-5, noise=0.5, each=4)
    assert only(compare(*(run({"a.b": v}) for v in wide))).outcome is Outcome.INCONCLUSIVE


def test_of_many_cells_that_are_the_same_hardly_one_is_told_slower() -> None:
    # visits differ by a tenth: of 200 cells by themselves, some are beyond the limit by chance
    methods = [f"jax.m{i}" for i in range(200)]
    base, new = (
        run({m: visits(1000 * side + i, between=0.1) for i, m in enumerate(methods)})
        for side in (1, 2)
    )
    found = compare(base, new)
    alone = [row for row in found.rows if (row.time.low or 0) > 1 or (row.time.high or 2) < 1]
    assert len(alone) >= 2
    assert found.counts.get(Outcome.SLOWER, 0) + found.counts.get(Outcome.FASTER, 0) <= 1
    assert found.ok
    doubted = [row for row in alone if abs(math.log(row.time.ratio or 1)) > math.log(1.1)]
    assert any("by chance" in note for row in doubted for note in row.notes)


def test_what_is_slower_in_many_cells_is_told_in_each() -> None:
    methods = [f"jax.m{i}" for i in range(20)]
    base = run({m: visits(i, between=0.01) for i, m in enumerate(methods)})
    new = run({m: visits(500 + i, 1.5e-5, between=0.01) for i, m in enumerate(methods)})
    assert compare(base, new).counts == {Outcome.SLOWER: 20}


@pytest.mark.parametrize("between", [0.0, 0.03])
def test_noise_alone_is_seldom_slower(between: float) -> None:
    methods = [f"jax.m{i}" for i in range(200)]
    base, new = (
        run({m: visits(1000 * side + i, between=between) for i, m in enumerate(methods)})
        for side in (1, 2)
    )
    counts = compare(base, new).counts
    assert counts.get(Outcome.SLOWER, 0) <= 4
    assert counts.get(Outcome.FASTER, 0) <= 4
    assert counts[Outcome.SAME] > 100


@settings(max_examples=50)
@given(seed=st.integers(0, 2**32 - 1), each=st.integers(2, 60), noise=st.floats(0.01, 0.3))
def test_the_interval_of_a_ratio_knows_no_sides(seed: int, each: int, noise: float) -> None:
    base, new = visits(seed, each=each, noise=noise), visits(seed + 1, each=each, noise=noise)
    one = statistics.independent_ratio_interval(base, new)
    other = statistics.independent_ratio_interval(new, base)
    assert one.low <= one.estimate <= one.high
    assert other.estimate == pytest.approx(1 / one.estimate)
    assert other.low == pytest.approx(1 / one.high)
    assert other.high == pytest.approx(1 / one.low)


@settings(max_examples=50)
@given(seed=st.integers(0, 2**32 - 1), ratio=st.floats(0.5, 2.0), noise=st.floats(0.01, 0.2))
def test_faster_one_way_is_slower_the_other(seed: int, ratio: float, noise: float) -> None:
    base = run({"a.b": visits(seed, noise=noise)})
    new = run({"a.b": visits(seed + 1, 1e-5 * ratio, noise=noise)})
    mirror = {Outcome.FASTER: Outcome.SLOWER, Outcome.SLOWER: Outcome.FASTER}
    there, back = only(compare(base, new)).outcome, only(compare(new, base)).outcome
    assert back is mirror.get(there, there)


def test_the_interval_holds_the_true_ratio() -> None:
    held = 0
    for seed in range(300):
        base, new = visits(seed, between=0.05), visits(seed + 1000, 1.3e-5, between=0.05)
        found = statistics.independent_ratio_interval(base, new)
        held += found.low <= 1.3 <= found.high
    assert held >= 276  # 92 %


def test_thousands_of_rounds_are_thinned_and_their_median_kept() -> None:
    base, new = np.full(30_000, 1e-6), np.full(30_000, 2e-6)
    base[::2] *= 1.01
    found = statistics.independent_ratio_interval([base.tolist()], [new.tolist()])
    assert found.low == pytest.approx(2.0, rel=0.02)
    assert found.high == pytest.approx(2.0, rel=0.02)


@pytest.mark.parametrize(
    ("base", "new", "told"),
    [
        ([[1e-6]], [[2e-6]], "only 1 rounds"),
        ([[1e-6, 1e-6]] * 2, [[2e-6] * 9], "only 4 rounds"),
        ([[0.0] * 9 + [1e-6] * 10], [[2e-6] * 9], "no interval"),
        ([[-1e-6] * 2 + [1e-6] * 10], [[2e-6] * 9], "no interval"),
        ([[1e-300] * 9], [[1e300] * 9], "no interval"),
    ],
)
def test_too_little_to_judge_by_is_inconclusive(
    base: list[list[float]], new: list[list[float]], told: str
) -> None:
    row = only(compare(run({"a.b": base}), run({"a.b": new})))
    assert row.outcome is Outcome.INCONCLUSIVE
    assert row.time.low is None
    assert any(told in note for note in row.notes)
    assert not row.fails


def test_without_samples_the_spread_gives_the_interval_and_says_so() -> None:
    base, new = (
        samples.run(agrees("a.b", median, iqr_s=2e-7, rounds=50), visits={})
        for median in (1e-5, 1.3e-5)
    )
    row = only(compare(base, new))
    assert row.outcome is Outcome.SLOWER
    assert "interval from interquartile ranges: no samples on one side" in row.notes
    still = [replace(r.cells[0], iqr_s=0.0) for r in (base, new)]
    row = only(compare(*(samples.run(result, visits={}) for result in still)))
    assert row.outcome is Outcome.INCONCLUSIVE  # a spread of zero is a clock's


def test_a_time_on_one_side_alone_is_told() -> None:
    base = run({"a.b": visits(1), "a.c": visits(2)})
    new = samples.run(agrees("a.b", None), run({"a.c": visits(3)}).cells[0])
    row = next(r for r in compare(base, new).rows if "a.b" in r.name)
    assert (row.outcome, row.notes) == (Outcome.INCONCLUSIVE, ("no time in new",))


def test_a_check_is_compared_by_its_verdicts() -> None:
    checked = samples.run(agrees("a.b", None), of(Verdict.FAILED, "a.c").cells[0])
    timed = run({"a.b": visits(1), "a.c": visits(2)})
    found = compare(timed, checked)
    assert [row.outcome for row in found.rows] == [Outcome.BECAME_WRONG, Outcome.NEITHER]
    assert "new has no times, as after a check: verdicts alone are compared" in found.notes


# Verdicts


@pytest.mark.parametrize(
    ("before", "after", "outcome"),
    [
        *((Verdict.AGREES, wrong, Outcome.BECAME_WRONG) for wrong in WRONG),
        (Verdict.AGREES, Verdict.KNOWN_FAULT, Outcome.BECAME_WRONG),
        (Verdict.KNOWN_FAULT, Verdict.DISAGREES, Outcome.BECAME_WRONG),
        (Verdict.UNSUPPORTED, Verdict.CRASHED, Outcome.BECAME_WRONG),
        *((wrong, Verdict.AGREES, Outcome.BECAME_RIGHT) for wrong in WRONG),
        (Verdict.KNOWN_FAULT, Verdict.AGREES, Outcome.BECAME_RIGHT),
        (Verdict.AGREES, Verdict.UNSUPPORTED, Outcome.ONLY_IN_BASE),
        (Verdict.AGREES, Verdict.TOO_LARGE, Outcome.ONLY_IN_BASE),
        (Verdict.AGREES, Verdict.NOT_RUN, Outcome.ONLY_IN_BASE),
        (Verdict.DISAGREES, Verdict.NOT_RUN, Outcome.ONLY_IN_BASE),
        (Verdict.UNSUPPORTED, Verdict.AGREES, Outcome.ONLY_IN_NEW),
        (Verdict.NOT_RUN, Verdict.FAILED, Outcome.ONLY_IN_NEW),
        (Verdict.NOT_RUN, Verdict.NOT_RUN, Outcome.NEITHER),
        (Verdict.FAILED, Verdict.CRASHED, Outcome.NEITHER),
        (Verdict.FAILED, Verdict.UNSUPPORTED, Outcome.NEITHER),
        (Verdict.UNSUPPORTED, Verdict.TOO_LARGE, Outcome.NEITHER),
    ],
)
def test_what_verdicts_decide(before: Verdict, after: Verdict, outcome: Outcome) -> None:
    found = compare(of(before), of(after, reason="so"))
    row = only(found)
    assert row.outcome is outcome
    assert (row.base_verdict, row.new_verdict) == (before, after)
    assert found.ok is (outcome is not Outcome.BECAME_WRONG)
    if before is not after:
        assert row.listed
        assert row.notes[0] == f"{before} → {after}: so"


def test_the_table_of_verdicts_is_whole() -> None:
    for before in Verdict:
        for after in Verdict:
            row = only(compare(of(before), of(after)))
            assert row.fails == (row.outcome is Outcome.BECAME_WRONG)
            assert row.fails <= (after.is_fault or after is Verdict.KNOWN_FAULT)


def test_a_vanished_cell_and_a_new_one_are_told() -> None:
    base = run({"a.old": visits(1), "a.kept": visits(2)})
    new = run({"a.new": visits(1), "a.kept": visits(2)})
    found = compare(base, new)
    assert found.counts == {Outcome.ONLY_IN_BASE: 1, Outcome.ONLY_IN_NEW: 1, Outcome.SAME: 1}
    assert [row.outcome for row in found.rows if row.listed] == [
        Outcome.ONLY_IN_BASE,
        Outcome.ONLY_IN_NEW,
    ]
    assert found.ok


def test_a_renamed_problem_is_told_with_its_new_name() -> None:
    result = agrees("a.b", problem_hash="1234", method_hash="5678")
    renamed = replace(result, cell=replace(result.cell, problem="other/name"))
    found = compare(samples.run(result), samples.run(renamed))
    assert found.rows[0].outcome is Outcome.ONLY_IN_BASE
    assert found.rows[0].notes == (f"renamed? {renamed.cell.key} has the same sources",)


def test_an_interrupted_run_is_told() -> None:
    new = replace(of(Verdict.NOT_RUN), interrupted=True)
    found = compare(of(Verdict.AGREES), new)
    assert only(found).outcome is Outcome.ONLY_IN_BASE
    assert "new stopped before its end: 1 of 1 cells not run" in found.notes


# Order


def test_what_matters_most_stands_first() -> None:
    def both(method: str, before: float, after: float, **parts: Any) -> tuple[CellResult, ...]:
        return agrees(method, before), agrees(method, after, **parts)

    pairs = {
        "a.same": both("a.same", 1e-5, 1e-5),
        "a.faster": both("a.faster", 1e-5, 0.5e-5),
        "a.slower": both("a.slower", 1e-5, 1.2e-5),
        "a.slowest": both("a.slowest", 1e-5, 3e-5),
        "a.larger": both("a.larger", 1e-5, 1e-5, peak_bytes=2**24),
        "a.right": (of(Verdict.FAILED, "a.right").cells[0], agrees("a.right")),
        "a.wrong": (agrees("a.wrong"), of(Verdict.DISAGREES, "a.wrong").cells[0]),
        "a.gone": (agrees("a.gone"), None),
        "a.new": (None, agrees("a.new")),
    }
    sides = [[pair[i] for pair in pairs.values() if pair[i] is not None] for i in (0, 1)]
    rng = np.random.default_rng(0)

    def made(results: Sequence[Any]) -> Run:
        timed = {
            r.cell: [(r.median_s * rng.normal(1, 0.01, 30)).tolist() for _ in range(3)]
            for r in results
            if r.median_s
        }
        return samples.run(*results, visits=timed)

    found = compare(*map(made, sides))
    assert [row.cell.method for row in found.rows if row.cell] == [
        *("a.wrong", "a.gone", "a.slowest", "a.slower", "a.larger", "a.new"),
        *("a.right", "a.faster", "a.same"),
    ]
    assert [row.fails for row in found.rows] == [True, False, True, True, True, *[False] * 4]
    assert [row.listed for row in found.rows] == [True] * 8 + [False]


# Other quantities


def test_other_figures_beyond_their_limits_fail_too() -> None:
    before = agrees("a.b", prepare_s=0.1, peak_bytes=2**20, error=1e-16)
    after = replace(before, prepare_s=0.21, peak_bytes=2**23, error=1e-13)
    found = compare(samples.run(before), samples.run(after))
    row = only(found)
    assert row.beyond == ("preparation", "memory", "error")
    assert (row.memory.base, row.memory.new, row.memory.ratio) == (2**20, 2**23, 8.0)
    assert row.listed
    assert row.fails
    assert not found.ok


def test_what_is_too_small_to_matter_is_not_beyond() -> None:
    before = agrees("a.b", prepare_s=1e-6, peak_bytes=0, error=0.0)
    after = replace(before, prepare_s=9e-3, peak_bytes=4096, error=1e-15)
    row = only(compare(samples.run(before), samples.run(after)))
    assert row.beyond == ()
    assert row.memory.ratio is None


# Policies


def test_a_policy_gives_limits_by_cell() -> None:
    base = run({"a.b": visits(1), "a.c": visits(2)})
    new = run({"a.b": visits(3, 1.2e-5), "a.c": visits(4, 1.2e-5)})
    rules = policy.parse({"limit": [{"method": "a.b", "time": 1.5}]})
    found = {row.cell.method: row for row in compare(base, new, rules).rows if row.cell}
    assert found["a.b"].outcome is Outcome.SAME
    assert found["a.b"].time.limit == 1.5
    assert found["a.c"].outcome is Outcome.SLOWER


def test_what_is_ignored_is_told_and_never_a_violation() -> None:
    ignoring = Policy(Limits(ignore=True))
    slower = compare(run({"a.b": visits(1)}), run({"a.b": visits(2, 2e-5)}), ignoring)
    wrong = compare(of(Verdict.AGREES), of(Verdict.DISAGREES), ignoring)
    assert [only(c).outcome for c in (slower, wrong)] == [Outcome.SLOWER, Outcome.BECAME_WRONG]
    assert slower.ok
    assert wrong.ok
    assert only(slower).listed


def test_a_limit_that_matches_nothing_is_told() -> None:
    rules = policy.parse({"limit": [{"problem": "misspelt/*", "time": 1.5}]})
    found = compare(of(Verdict.AGREES), of(Verdict.AGREES), rules)
    assert any("matches no cell" in note for note in found.notes)


# Fingerprints and sources


@pytest.mark.parametrize(
    ("other", "trend"),
    [
        (fingerprint("machine", cpu="Slide Rule"), "other CPU"),
        (fingerprint("machine", gpus=["NVIDIA H200"]), "other GPU"),
        (fingerprint("machine", cores_usable=1), "other machine"),
        (
            fingerprint("settings", numpy={"measured_cores": 2.0}),
            "other settings",
        ),
    ],
)
def test_figures_of_another_machine_are_a_trend(other: dict[str, Any], trend: str) -> None:
    base = run({"a.b": visits(1)})
    new = run({"a.b": visits(2, 3e-5)}, fingerprint=other)
    new.cells[0] = replace(new.cells[0], peak_bytes=2**30, prepare_s=60.0)
    found = compare(base, new)
    row = only(found)
    assert (row.outcome, row.trend, found.trend) == (Outcome.TREND, trend, trend)
    assert row.time.ratio == pytest.approx(3.0, rel=0.05)
    assert row.beyond == ()
    assert found.ok


def test_wrong_is_wrong_on_any_machine_and_late_is_not() -> None:
    other = fingerprint("machine", cpu="Slide Rule")
    wrong = replace(of(Verdict.DISAGREES), fingerprint=other)
    late = replace(of(Verdict.TIMED_OUT), fingerprint=other)
    assert not compare(of(Verdict.AGREES), wrong).ok
    found = compare(of(Verdict.AGREES), late)
    assert only(found).outcome is Outcome.ONLY_IN_BASE
    assert found.ok


def test_another_version_is_compared_and_told() -> None:
    other = fingerprint("versions", numpy="2.5.0")
    found = compare(run({"a.b": visits(1)}), run({"a.b": visits(2, 1.3e-5)}, fingerprint=other))
    assert only(found).outcome is Outcome.SLOWER
    assert found.differences.versions
    assert not found.ok


@pytest.mark.parametrize(
    ("parts", "edited"),
    [
        ({"problem_hash": "2"}, ("problem",)),
        ({"method_hash": "2"}, ("method",)),
        ({"problem_hash": "2", "method_hash": "2"}, ("problem", "method")),
        ({"n": 4}, ("problem",)),
    ],
)
def test_an_edited_cell_is_another_one(parts: dict[str, Any], edited: tuple[str, ...]) -> None:
    base = agrees("a.b", problem_hash="1", method_hash="1")
    new = replace(base, **parts)
    times = {base.cell: visits(1)}, {base.cell: visits(2, 3e-5)}
    found = compare(*(samples.run(r, visits=v) for r, v in zip((base, new), times, strict=True)))
    row = only(found)
    assert (row.outcome, row.edited) == (Outcome.EDITED, edited)
    assert row.trend == f"{' and '.join(edited)} edited"
    assert found.ok
    wrong = CellResult(cell=base.cell, verdict=Verdict.DISAGREES, **parts)
    assert only(compare(samples.run(base), samples.run(wrong))).outcome is Outcome.BECAME_WRONG


def test_an_unknown_source_is_no_edit_and_told() -> None:
    base, new = agrees("a.b"), agrees("a.b", problem_hash="1", method_hash="1")
    found = compare(samples.run(base), samples.run(new))
    assert only(found).edited == ()
    assert any(note.startswith("base knows no sources") for note in found.notes)


def test_another_chunk_size_is_a_trend() -> None:
    found = compare(samples.run(agrees("a.b")), samples.run(agrees("a.b", chunk_size=4)))
    assert only(found).trend == "other chunk size"


# Files


def stored(folder: Path, name: str, run: Run) -> Path:
    return writer.write(folder / name, results.document(run, OPTIONS))


def test_files_are_compared_as_the_runs_that_they_hold(tmp_path: Path) -> None:
    runs = run({"a.b": visits(1)}), run({"a.b": visits(2, 1.3e-5)})
    paths = [stored(tmp_path, f"{i}.json", r) for i, r in enumerate(runs)]
    found, direct = compare(*paths), compare(*runs)
    assert found.rows[0].outcome is direct.rows[0].outcome is Outcome.SLOWER
    # A file keeps six digits, which seed the resampling.
    assert found.rows[0].time.low == pytest.approx(direct.rows[0].time.low, rel=0.01)
    assert found.base.label == str(paths[0])
    assert found.base.taken is not None


def test_one_file_twice_is_told(tmp_path: Path) -> None:
    path = stored(tmp_path, "a.json", run({"a.b": visits(1)}))
    found = compare(path, tmp_path / "." / "a.json")
    assert only(found).time.ratio == 1.0
    assert only(found).outcome is Outcome.SAME
    assert found.notes[0] == "base and new are one file: nothing can differ"


def test_rows_of_single_visits_are_pooled(tmp_path: Path) -> None:
    # What `pytest benchmarks/ --jacbench-visits 3 --benchmark-json` writes: a row for each visit.
    times = visits(1)
    content = results.document(run({"a.b": times}), OPTIONS)
    (row,) = content["benchmarks"]
    rows = []
    for number, visit in enumerate(times):
        name = f"{row['name'][:-1]}-visit{number}]"
        own = {"name": name, "fullname": name, "param": f"{row['param']}-visit{number}"}
        info = {k: v for k, v in row["extra_info"].items() if k != "visit_rounds"}
        rows.append({**row, **own, "stats": {"data": visit}, "extra_info": info})
    path = tmp_path / "own.json"
    path.write_text(json.dumps({**content, "benchmarks": rows}))
    found = compare(path, run({"a.b": visits(2, 1.3e-5)}))
    direct = compare(run({"a.b": times}), run({"a.b": visits(2, 1.3e-5)}))
    assert only(found).outcome is Outcome.SLOWER
    assert only(found).time == only(direct).time


def plain(folder: Path, name: str, medians: Mapping[str, float], **parts: Any) -> Path:
    rng = np.random.default_rng(len(name))
    rows = [
        {
            "fullname": key,
            "group": name,
            "stats": {"data": (m * rng.normal(1, 0.02, 40)).tolist(), "median": m},
        }
        for key, m in medians.items()
    ]
    content = {"machine_info": {"cpu": {"brand_raw": "Abacus"}}, "benchmarks": rows} | parts
    path = folder / name
    path.write_text(json.dumps(content))
    return path


def test_plain_benchmarks_are_compared_by_their_full_names(tmp_path: Path) -> None:
    base = plain(tmp_path, "base.json", {"t.py::a": 1e-5, "t.py::b": 1e-5, "t.py::gone": 1e-5})
    new = plain(tmp_path, "new.json", {"t.py::a": 1.3e-5, "t.py::b": 1e-5, "t.py::c": 1e-5})
    rules = policy.parse({"limit": [{"problem": "t.py::b", "time": 1.01}]})
    found = compare(base, new, rules)
    assert {row.name: row.outcome for row in found.rows} == {
        "t.py::gone": Outcome.ONLY_IN_BASE,
        "t.py::a": Outcome.SLOWER,
        "t.py::c": Outcome.ONLY_IN_NEW,
        "t.py::b": found.rows[-1].outcome,
    }
    assert found.rows[-1].time.limit == 1.01
    assert all(row.cell is row.base_verdict is row.new_verdict is None for row in found.rows)
    assert not found.ok


def test_plain_benchmarks_of_another_machine_are_a_trend(tmp_path: Path) -> None:
    base = plain(tmp_path, "base.json", {"t.py::a": 1e-5})
    new = plain(
        *(tmp_path, "new.json", {"t.py::a": 3e-5}), machine_info={"cpu": {"brand_raw": "Slide"}}
    )
    found = compare(base, new)
    assert only(found).trend == "other CPU"
    assert found.ok


def test_a_plain_file_beside_a_run_has_nothing_in_common(tmp_path: Path) -> None:
    found = compare(plain(tmp_path, "base.json", {"t.py::a": 1e-5}), run({"a.b": visits(1)}))
    assert found.notes[0].startswith("base and new have no cell in common (one is a file of plain")


def test_the_committed_results_are_read() -> None:
    folder = Path(__file__).resolve().parents[2] / "results"
    path = folder / "verdicts.json"
    found = compare(path, path)
    assert found.counts == {Outcome.NEITHER: len(found.rows)}
    assert not any(row.listed for row in found.rows)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"benchmarks": []}', "holds no benchmark"),
        ('{"benchmarks": [{"fullname": "a", "stats": 3}]}', "is damaged"),
        ('{"jacbench": 3}', "is another kind of"),
        ('{"jacbench": {"schema": 99}}', "has schema 99"),
        ('{"a": 1}', "is another kind of"),
        ("{", "is cut short"),
        ("not JSON", "is not JSON"),
    ],
)
def test_what_is_no_results_file_is_one_line(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "f.json"
    path.write_text(text)
    with pytest.raises(JacbenchError) as caught:
        compare(path, path)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@settings(max_examples=60)
@given(samples.runs, samples.runs)
def test_whatever_two_runs_hold_is_compared(base: Run, new: Run) -> None:
    found = compare(base, new)
    cells: set[Cell] = {result.cell for side in (base, new) for result in side.cells}
    assert {row.cell for row in found.rows} == cells
    assert sum(found.counts.values()) == len(found.rows)
    for row in found.rows:
        ratios = [getattr(row, q).ratio for q in ("time", "preparation", "memory", "error")]
        assert all(ratio is None or math.isfinite(ratio) for ratio in ratios)


@pytest.mark.parametrize(
    ("ratio", "iqr", "outcome"),
    [
        (1.3, 0.05, Outcome.SLOWER),
        (1.3, 1.0, Outcome.INCONCLUSIVE),  # twice as noisy as it is slower
        (1.05, 0.02, Outcome.SAME),
        (1.05, 0.3, Outcome.INCONCLUSIVE),
        (1.0, 0.5, Outcome.INCONCLUSIVE),  # the estimate alone would say the same
        (1 / 1.3, 0.05, Outcome.FASTER),
        (1 / 1.3, 1.0, Outcome.INCONCLUSIVE),
    ],
)
def test_the_interval_decides_and_not_the_estimate(
    ratio: float, iqr: float, outcome: Outcome
) -> None:
    base, new = (
        samples.run(agrees("a.b", median, iqr_s=iqr * median, rounds=50), visits={})
        for median in (1e-5, ratio * 1e-5)
    )
    row = only(compare(base, new))
    assert row.outcome is outcome
    assert row.fails is (outcome is Outcome.SLOWER)
    assert not any("by chance" in note for note in row.notes)  # it is the only cell
