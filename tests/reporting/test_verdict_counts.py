"""What became of all cells: counts that leave none out, and each reason once."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from jacbench.core import operators
from jacbench.core.cell import Cell, CellResult, Verdict
from jacbench.reporting import verdict_counts
from jacbench.results.run import Run
from tests import samples

METHODS = {
    "torch.a": "jacobian",
    "torch.b": "jacobian",
    "torch.v": "vjp",
    "torch.w": "vjp",
    "jax.a": "jacobian",
    "jax.v": "vjp",
    "jax.t": "jvp",
}


def cell(method: str, problem: str = "one/first", dtype: str = "float64") -> Cell:
    return samples.cell(method, problem=problem, operator=METHODS[method], dtype=dtype)


def result(
    method: str,
    verdict: Verdict = Verdict.AGREES,
    reason: str | None = None,
    problem: str = "one/first",
    **parts: Any,
) -> CellResult:
    return CellResult(cell=cell(method, problem, **parts), verdict=verdict, reason=reason)


def run(*results: CellResult) -> Run:
    return samples.run(*results)


cells = st.builds(
    cell,
    st.sampled_from(sorted(METHODS)),
    st.sampled_from(["one/first", "one/second", "two/first", "three/first[batch=2,wrt=a]"]),
    st.sampled_from(["float64", "float32"]),
)
runs = st.lists(
    st.builds(
        CellResult,
        cell=cells,
        verdict=st.sampled_from(Verdict),
        reason=st.sampled_from([None, "", "no rule", "wrong: x > 1"]),
    ),
    max_size=20,
    unique_by=lambda r: r.cell,
).map(lambda results: run(*results))


# --- counts ---


def test_verdicts_are_counted_by_family_operator_and_backend() -> None:
    unable = Verdict.UNSUPPORTED
    head, body = verdict_counts.counted(
        run(
            result("torch.a"),
            result("torch.v", Verdict.FAILED, "no"),
            result("jax.a", unable, "no"),
            result("torch.a", problem="two/first"),
            result("torch.b"),
            result("torch.b", Verdict.DISAGREES, "off", dtype="float32"),
            result("jax.t", Verdict.KNOWN_FAULT, "known", problem="one/second"),
            result("torch.a", problem="one/second"),
        )
    )
    assert head == ("family", "operator", "torch", "jax")
    assert body == [
        ("one", "jacobian", "3 agrees, 1 disagrees", "1 unsupported"),
        ("one", "vjp", "1 failed", ""),
        ("one", "jvp", "", "1 known fault"),
        ("two", "jacobian", "1 agrees", ""),
    ]


@given(runs)
def test_no_cell_is_left_out_of_the_counts(of: Run) -> None:
    (_, _, *backends), body = verdict_counts.counted(of)
    found: Counter[tuple[str, ...]] = Counter()
    for family, operator, *told in body:
        assert any(told)
        for backend, text in zip(backends, told, strict=True):
            for part in filter(None, text.split(", ")):
                number, verdict = part.split(" ", 1)
                found[family, operator, backend, verdict] += int(number)
    assert found == Counter(
        (r.cell.problem.partition("/")[0], r.cell.operator, r.cell.backend, str(r.verdict))
        for r in of.cells
    )
    seen = list(dict.fromkeys(r.cell.problem.partition("/")[0] for r in of.cells))
    places = [(seen.index(row[0]), operators.NAMES.index(row[1])) for row in body]
    assert places == sorted(places)


def test_an_empty_run_has_no_rows() -> None:
    assert verdict_counts.counted(run()) == (("family", "operator"), [])
    assert verdict_counts.reasons(run()) == []


def test_the_family_is_what_stands_before_the_slash() -> None:
    assert verdict_counts.family("awkward/in-place") == "awkward"
    assert verdict_counts.family("nn/cnn[batch=3,wrt=a/b]") == "nn"
    assert verdict_counts.family("mine") == "mine"


# --- reasons ---


def test_each_reason_once_with_its_methods_and_problems_and_faults_first() -> None:
    found = verdict_counts.reasons(
        run(
            result("torch.a", Verdict.UNSUPPORTED, "no rule"),
            result("torch.b"),
            result("jax.a"),
            result("torch.a", Verdict.UNSUPPORTED, "no rule", problem="one/second"),
            result("jax.a", Verdict.UNSUPPORTED, "no rule", problem="one/second"),
            result("torch.b", Verdict.FAILED, "no rule", problem="one/second"),
            result("jax.t", Verdict.KNOWN_FAULT, "known", problem="two/first"),
            result("torch.a", problem="two/first"),
            result("torch.a", Verdict.UNSUPPORTED, "no rule", problem="two/second"),
            result("torch.b", problem="two/second"),
        )
    )
    assert [(r.verdict, r.text) for r in found] == [
        (Verdict.FAILED, "no rule"),
        (Verdict.UNSUPPORTED, "no rule"),
        (Verdict.KNOWN_FAULT, "known"),
    ]
    assert [r.where for r in found] == [
        ("torch.b: one/second",),
        ("torch.a: one/first, two/second", "torch.a, jax.a: one/second"),
        ("jax.t: two/first",),
    ]


def test_methods_that_all_have_a_reason_are_named_together() -> None:
    def where(*refused: str) -> tuple[str, ...]:
        results = [
            result(m, *((Verdict.UNSUPPORTED, "no") if m in refused else ())) for m in METHODS
        ]
        (reason,) = verdict_counts.reasons(run(*results))
        return reason.where

    assert where(*METHODS) == ("every method: one/first",)
    assert where("torch.v", "torch.w", "jax.v") == ("every method for vjp: one/first",)
    everything_of_jax = ("jax.a", "jax.v", "jax.t")
    assert where(*everything_of_jax) == ("every method of jax: one/first",)
    assert where("torch.v", "torch.w", "jax.v", "jax.a") == (
        "every method for vjp, jax.a: one/first",
    )
    # one alone is named: there is nothing to put together
    assert where("jax.t") == ("jax.t: one/first",)


def meant(line: str, every: list[Cell]) -> set[tuple[str, str]]:
    """Return the methods and problems that a line names."""
    methods, problems = line.split(": ", 1)
    pairs = set()
    for problem in problems.split(", "):
        asked = [cell for cell in every if cell.problem == problem]
        assert asked
        for words in methods.split(", "):
            match = re.fullmatch(r"every method(?: (for|of) (\w+))?", words)
            for one in asked:
                of = {None: None, "for": one.operator, "of": one.backend}[match[1]] if match else 0
                if (one.method == words) if match is None else (of == match[2]):
                    pairs.add((one.method, problem))
    return pairs


@given(runs)
def test_every_cell_that_does_not_agree_is_named_with_its_reason(of: Run) -> None:
    found = verdict_counts.reasons(of)
    every = [r.cell for r in of.cells]
    assert len({(r.verdict, r.text) for r in found}) == len(found)
    for reason in found:
        expected = {
            (r.cell.method, r.cell.problem)
            for r in of.cells
            if (r.verdict, r.reason or "") == (reason.verdict, reason.text)
        }
        named = [meant(line, every) for line in reason.where]
        assert set().union(*named) == expected
        # no pair twice
        assert sum(map(len, named)) == len(expected)
    told = {(r.verdict, r.text) for r in found}
    assert told == {
        (r.verdict, r.reason or "") for r in of.cells if r.verdict is not Verdict.AGREES
    }
    faults = [reason.verdict.is_fault for reason in found]
    assert faults == sorted(faults, reverse=True)


@given(samples.runs, st.sampled_from(operators.NAMES))
def test_any_names_can_be_counted(of: Run, operator: str) -> None:
    moved = [replace(r, cell=replace(r.cell, operator=operator)) for r in of.cells]
    of = Run(moved, of.fingerprint)
    _, body = verdict_counts.counted(of)
    numbers = [int(n) for _, _, *told in body for t in told for n in re.findall(r"(\d+) \w", t)]
    assert sum(numbers) == len(of.cells)
    assert all(reason.where for reason in verdict_counts.reasons(of))
