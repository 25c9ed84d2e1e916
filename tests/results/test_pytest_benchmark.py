"""Files of plain pytest-benchmark are read as they are written, and refused in one line."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jacbench.core.errors import JacbenchError
from jacbench.results import pytest_benchmark
from tests.runs import environment

BENCHMARKS = """
import pytest

def test_sum(benchmark):
    benchmark.pedantic(sum, args=(range(50),), rounds=8, iterations=4)

@pytest.mark.parametrize("n", [3, 4])
def test_power(benchmark, n):
    benchmark.pedantic(pow, args=(n, n), rounds=8, iterations=4)
"""

GOOD: dict[str, Any] = {
    "machine_info": {
        "node": "somebodys-laptop",
        "processor": "",
        "machine": "x86_64",
        "python_version": "3.12.1",
        "python_implementation": "CPython",
        "release": "6.1",
        "system": "Linux",
        "cpu": {"brand_raw": "Abacus 3000", "count": 4},
    },
    "commit_info": {"id": "a" * 40, "dirty": True},
    "benchmarks": [
        {
            "group": "one",
            "name": "test_sum",
            "fullname": "test_a.py::test_sum",
            "params": None,
            "extra_info": {},
            "options": {"timer": "perf_counter", "disable_gc": False},
            "stats": {"data": [1e-6, 2e-6, 3e-6], "median": 2e-6, "iqr": 1e-6, "rounds": 3},
        }
    ],
    "datetime": "2026-01-02T03:04:05",
    "version": "5.3.1",
}


def changed(**parts: Any) -> dict[str, Any]:
    """Return the good file with other parts of its one row."""
    content = copy.deepcopy(GOOD)
    content["benchmarks"][0] |= parts
    return content


def test_what_pytest_benchmark_writes_is_read(tmp_path: Path) -> None:
    (tmp_path / "test_own.py").write_text(BENCHMARKS)
    words = ["-q", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words, "--benchmark-json", "own.json", "test_own.py"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    content = pytest_benchmark.load(tmp_path / "own.json")
    assert pytest_benchmark.is_plain(content)
    file = pytest_benchmark.parse(content, "own.json")
    assert list(file.rows) == [
        "test_own.py::test_sum",
        "test_own.py::test_power[3]",
        "test_own.py::test_power[4]",
    ]
    assert [len(row.samples) for row in file.rows.values()] == [8, 8, 8]
    assert file.rows["test_own.py::test_power[3]"].params == {"n": 3}
    assert file.fingerprint["machine"]["system"] == content["machine_info"]["system"]
    assert file.fingerprint["settings"]["pytest-benchmark"]["timer"].endswith("perf_counter")


def test_the_fingerprint_has_the_machine_and_not_its_name() -> None:
    file = pytest_benchmark.parse(GOOD, "f.json")
    assert file.fingerprint == {
        "machine": {
            "cpu": "Abacus 3000",
            "architecture": "x86_64",
            "cores": 4,
            "system": "Linux",
            "release": "6.1",
            "python": "3.12.1",
            "python_implementation": "CPython",
        },
        "versions": {},
        "settings": {"pytest-benchmark": {"timer": "perf_counter", "disable_gc": False}},
    }
    assert "somebody" not in repr(file)


@pytest.mark.parametrize("info", [None, 3, [], {}, {"cpu": 3}, {"cpu": {"count": True}}])
def test_a_file_that_says_nothing_of_its_machine_is_read(info: Any) -> None:
    assert pytest_benchmark.fingerprint({"machine_info": info})["machine"] == {}


def test_rows_of_one_name_are_kept_apart_whatever_their_group() -> None:
    content = changed()
    content["benchmarks"] += [copy.deepcopy(content["benchmarks"][0]) for _ in range(2)]
    content["benchmarks"][1]["group"] = "another"
    file = pytest_benchmark.parse(content, "f.json")
    name = "test_a.py::test_sum"
    assert list(file.rows) == [name, f"{name} (#2)", f"{name} (#3)"]
    assert [row.name for row in file.rows.values()] == list(file.rows)
    assert file.repeated == (name,)


def test_a_row_without_samples_has_what_its_statistics_say() -> None:
    content = changed(stats={"median": 2e-6, "iqr": 1e-7, "rounds": 40})
    (row,) = pytest_benchmark.parse(content, "f.json").rows.values()
    assert (row.samples, row.median_s, row.iqr_s, row.rounds) == ((), 2e-6, 1e-7, 40)
    (row,) = pytest_benchmark.parse(changed(stats=None), "f.json").rows.values()
    assert (row.samples, row.median_s, row.rounds) == ((), None, None)


def test_bare_nan_in_extra_info_costs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    text = json.dumps(changed(extra_info={"loss": float("nan"), "gain": float("inf")}))
    path.write_text(text)
    assert "NaN" in text
    (row,) = pytest_benchmark.parse(pytest_benchmark.load(path), path).rows.values()
    assert row.extra == {"loss": None, "gain": None}
    assert len(row.samples) == 3


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"benchmarks": 3}, "benchmarks is no array"),
        ({"benchmarks": [3]}, "benchmark 1: it is no object"),
        (changed(fullname=3), "fullname is '3'"),
        (changed(fullname=""), "fullname is ''"),
        (changed(stats=[]), "stats is no object"),
        (changed(stats={"data": "abc"}), "stats.data is no array"),
        (changed(stats={"data": [1e-6, None]}), "stats.data holds what is no number"),
        (changed(stats={"data": [1e-6, "1"]}), "stats.data is '1'"),
        (changed(stats={"data": [True]}), "stats.data is 'True'"),
        (changed(stats={"data": [-1.0]}), "stats.data is -1.0"),
        (changed(stats={"data": [10**400]}), "too large"),
        (changed(stats={"median": [1]}), "median is '[1]'"),
        (changed(stats={"rounds": "many"}), "rounds is 'many'"),
        (changed(extra_info=[1]), "extra_info is no object"),
        (changed(params="n"), "params is no object"),
    ],
)
def test_a_damaged_row_is_one_line(content: dict[str, Any], told: str) -> None:
    with pytest.raises(JacbenchError) as caught:
        pytest_benchmark.parse(content, "f.json")
    message = str(caught.value)
    assert message.startswith("results file 'f.json' is damaged: ")
    assert told in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is cut short"),
        ('{"benchmarks": [{"fulln', "is cut short"),
        ("{'benchmarks': []}", "is not JSON"),
        ("[1, 2]", "holds no results"),
        ("[" * 100_000, "is not JSON"),
        (f'{{"a": {"9" * 5000}}}', "is not JSON"),
    ],
)
def test_what_is_no_json_object_is_one_line(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "f.json"
    path.write_text(text)
    with pytest.raises(JacbenchError) as caught:
        pytest_benchmark.load(path)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(
    row=st.fixed_dictionaries(
        {},
        optional={
            "fullname": anything,
            "stats": anything | st.fixed_dictionaries({"data": anything, "median": anything}),
            "extra_info": anything,
            "options": anything,
        },
    ),
    info=anything,
)
def test_whatever_stands_in_it_is_read_or_refused(row: dict[str, Any], info: Any) -> None:
    content = {"benchmarks": [row], "machine_info": info}
    try:
        file = pytest_benchmark.parse(content, "f.json")
    except JacbenchError as exc:
        message = str(exc)
    else:
        assert len(file.rows) == 1
        return
    assert message.startswith("results file 'f.json' is damaged: ")
