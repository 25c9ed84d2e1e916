"""Runs made up by hand and at random, for tests of what stores and shows them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from jacbench.core.cell import Cell, CellResult, Verdict
from jacbench.results.run import Run

FINGERPRINT: dict[str, Any] = {
    "machine": {
        "cpu": "Abacus 3000",
        "architecture": "x86_64",
        "cores": 4,
        "cores_usable": 2,
        "memory_bytes": 2**33,
        "system": "Linux",
        "release": "6.1",
        "python": "3.12.1",
        "python_implementation": "CPython",
        "gpus": [],
    },
    "versions": {"numpy": "2.4.0"},
    "settings": {"numpy": {"measured_cores": 1.0}},
    "load": [0.5, 0.25, 0.1],
}


def cell(method: str = "torch.func.jacrev", **parts: Any) -> Cell:
    """Return a cell of a problem that need not exist."""
    known: dict[str, Any] = {
        "problem": "some/problem",
        "operator": "jacobian",
        "method": method,
        "backend": method.partition(".")[0],
        "device": "cpu",
        "dtype": "float64",
        "threads": 1,
    }
    return Cell(**known | parts)


def agrees(
    method: str = "torch.func.jacrev", median_s: float | None = 1e-5, **parts: Any
) -> CellResult:
    """Return a timed cell."""
    figures: dict[str, Any] = {
        "m": 2,
        "n": 3,
        "error": 1e-16,
        "tolerance": 1e-12,
        "reference": "analytic",
        "prepare_s": 0.5,
        "first_call_s": 0.25,
        "median_s": median_s,
        "low_s": median_s and median_s * 0.98,
        "high_s": median_s and median_s * 1.03,
        "iqr_s": median_s and median_s / 20,
        "visits": median_s and 1,
        "rounds": 3,
        "iterations": 10,
        "peak_bytes": 4096,
    }
    return CellResult(cell=cell(method), verdict=Verdict.AGREES, **figures | parts)


def run(*results: CellResult, **parts: Any) -> Run:
    """Return a run of ``results``, three samples each."""
    visits = {r.cell: [[r.median_s] * 3] for r in results if r.median_s is not None}
    known: dict[str, Any] = {"fingerprint": FINGERPRINT, "visits": visits}
    return Run(list(results), **known | parts)


# A name may hold anything that a file can: control characters, markup, lone surrogates.
words = st.text(max_size=12)
seconds = st.floats(min_value=1e-9, max_value=1e4)
counts = st.integers(1, 2**40)
scalars = words | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False)
SPENT = ("wall", "workers", "settling", "timing", "memory", "other")


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return None or a value of ``strategy``."""
    return st.none() | strategy


cells = st.builds(
    Cell,
    problem=words,
    operator=st.just("jacobian"),
    method=words,
    backend=words,
    device=st.sampled_from(["cpu", "cuda:0", "cuda:13"]),
    dtype=st.sampled_from(["float64", "float32"]),
    threads=st.integers(1, 64),
)
worst = st.fixed_dictionaries(
    {
        "row": counts,
        "column": counts,
        "input": maybe(words),
        "value": seconds | st.just("nan"),
        "expected": seconds,
    }
)
results = st.builds(
    CellResult,
    cell=cells,
    verdict=st.sampled_from(Verdict),
    reason=maybe(words),
    m=maybe(counts),
    n=maybe(counts),
    error=maybe(seconds),
    tolerance=maybe(seconds),
    worst=maybe(worst),
    reference=maybe(st.sampled_from(["analytic", "complex-step", "central-difference"])),
    prepare_s=maybe(seconds),
    first_call_s=maybe(seconds),
    median_s=maybe(seconds),
    low_s=maybe(seconds),
    high_s=maybe(seconds),
    iqr_s=maybe(seconds),
    cpu_s=maybe(seconds),
    device_s=maybe(seconds),
    outliers=st.dictionaries(
        st.sampled_from(["low_severe", "low_mild", "high_mild", "high_severe"]), counts
    ),
    cautions=st.lists(words, max_size=3).map(tuple),
    visits=maybe(counts),
    problem_hash=maybe(words),
    method_hash=maybe(words),
    rounds=maybe(counts),
    iterations=maybe(counts),
    peak_bytes=maybe(counts),
    chunk_size=maybe(counts),
    notes=st.dictionaries(words, scalars, max_size=2)
    | st.fixed_dictionaries({"warnings": st.lists(words, max_size=2)}),
    traceback=maybe(words),
)
runs = st.builds(
    Run,
    st.lists(results, max_size=4, unique_by=lambda r: r.cell.key),
    st.just(FINGERPRINT),
    st.dictionaries(words, words, max_size=2),
    interrupted=st.booleans(),
    seconds=st.just({}) | st.fixed_dictionaries(dict.fromkeys(SPENT, seconds)),
    options=st.dictionaries(words, scalars | st.lists(st.integers(0, 9), max_size=2), max_size=2),
    ending=maybe(words),
)
