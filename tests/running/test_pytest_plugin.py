"""The suite under pytest: from a checkout and from a wheel, with pytest-benchmark's options."""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jacbench import problems
from tests.results.test_run import schema_errors
from tests.runs import (
    PROBLEM,
    ROOT,
    environment,
    jacbench,
    pytest_in,
    run,
    scratch,
    strict,
    tiny_site,
    wheel_site,
)

CELL = f"{PROBLEM}-numpy.analytic-cpu-float64"
ONE = ("--jacbench-problem", PROBLEM, "--jacbench-method", "numpy.analytic")
QUICK = ("-q", "--benchmark-max-time", "0.01", "--benchmark-min-rounds", "2")
EXTRA = {
    *("problem", "operator", "method", "backend", "device", "dtype", "threads", "m", "n"),
    *("verdict", "error", "tolerance", "prepare_s", "first_call_s", "peak_bytes"),
}


def suite(
    cwd: Path, *words: str, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the suite in ``cwd``, quickly."""
    return pytest_in(cwd, *QUICK, "--pyargs", "jacbench.suite", *words, env=env)


def left_in(folder: Path) -> list[str]:
    """Return what a session left, besides the storage that pytest-benchmark makes anywhere."""
    return sorted(path.name for path in folder.iterdir() if path.name != ".benchmarks")


@functools.cache
def saved() -> tuple[dict[str, Any], dict[str, Any], subprocess.CompletedProcess[str]]:
    """Run one cell from the checkout, saved in two ways; return both files and the process."""
    folder = scratch() / "saved"
    folder.mkdir()
    # The warnings that the checkout's settings make errors are errors here too.
    done = pytest_in(
        ROOT,
        *QUICK,
        *("benchmarks/", *ONE, "--benchmark-json", str(folder / "out.json")),
        *("--benchmark-autosave", "--benchmark-storage", (folder / "storage").as_uri()),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (stored,) = (folder / "storage").rglob("*.json")
    return strict((folder / "out.json").read_text()), strict(stored.read_text()), done


@functools.cache
def tiny() -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """Run the right, the wrong and the slow method of the tiny backend."""
    out = scratch() / "tiny.json"
    words = ("--jacbench-problem", PROBLEM, "--jacbench-method", "tiny.*")
    env = environment(tiny_site())
    done = suite(scratch(), *words, "--benchmark-json", str(out), env=env)
    return done, strict(out.read_text())


# What is saved


def test_row_names_its_cell_in_strings() -> None:
    (row,) = saved()[0]["benchmarks"]
    assert row["name"] == f"test_cell[{CELL}]"
    assert row["fullname"] == f"jacbench/suite/test_cells.py::test_cell[{CELL}]"
    assert row["group"] == PROBLEM
    assert row["params"] == {
        "problem": PROBLEM,
        "operator": "jacobian",
        "method": "numpy.analytic",
        "backend": "numpy",
        "device": "cpu",
        "dtype": "float64",
        "threads": "1",
        "visit": "0",
    }


def test_row_has_every_figure() -> None:
    (row,) = saved()[0]["benchmarks"]
    info = row["extra_info"]
    assert set(info) >= EXTRA
    assert (info["verdict"], info["m"], info["n"], info["threads"]) == ("agrees", 1, 6, 1)
    assert info["error"] <= info["tolerance"]
    assert info["prepare_s"] >= 0
    assert info["first_call_s"] > 0
    if sys.platform == "linux":
        assert info["peak_bytes"] >= 0


def test_file_names_no_host() -> None:
    for document in saved()[:2]:
        assert "node" not in document["machine_info"]
        assert document["machine_info"]["cpu"]


def test_jacbench_object_is_what_the_schema_says() -> None:
    block = saved()[0]["jacbench"]
    assert schema_errors(block) == []
    (cell,) = block["cells"]
    (row,) = saved()[0]["benchmarks"]
    assert cell["median_s"] == pytest.approx(row["stats"]["median"])
    assert cell["rounds"] == row["stats"]["rounds"]
    assert cell["visits"] == 1
    assert cell["low_s"] <= cell["median_s"] <= cell["high_s"]
    assert cell["cpu_s"] > 0
    assert "measured_cores" in block["fingerprint"]["settings"]["numpy"]


def test_both_files_of_one_session_say_the_same() -> None:
    as_json, autosaved, _ = saved()
    assert as_json["jacbench"] == autosaved["jacbench"]
    assert [r["extra_info"] for r in as_json["benchmarks"]] == [
        r["extra_info"] for r in autosaved["benchmarks"]
    ]


def test_cells_that_do_not_agree_are_told_and_not_timed() -> None:
    done, document = tiny()
    assert done.returncode == 1
    assert "tiny.wrong" in done.stdout
    assert "disagrees" in done.stdout
    verdicts = {c["method"]: (c["verdict"], c["median_s"]) for c in document["jacbench"]["cells"]}
    assert verdicts["tiny.wrong"] == ("disagrees", None)
    assert verdicts["tiny.right"][0] == "agrees"
    timed = {row["params"]["method"] for row in document["benchmarks"]}
    assert timed == {"tiny.right", "tiny.slow-prepare"}
    assert schema_errors(document["jacbench"]) == []


def test_slow_preparation_is_a_figure_of_its_own_and_sets_no_rounds() -> None:
    _, document = tiny()
    rows = {row["params"]["method"]: row for row in document["benchmarks"]}
    slow, right = rows["tiny.slow-prepare"], rows["tiny.right"]
    assert slow["extra_info"]["prepare_s"] >= 0.3
    assert right["extra_info"]["prepare_s"] < 0.3
    # The same call, planned for its own duration: a plan for 0.3 s would be one call a round.
    assert slow["stats"]["iterations"] > 3
    assert slow["stats"]["max"] < 0.3


def test_wheel_and_checkout_can_be_compared(tmp_path: Path) -> None:
    env = environment(wheel_site())
    where = run(
        [sys.executable, "-c", "import jacbench; print(jacbench.__file__)"], tmp_path, env=env
    )
    assert Path(where.stdout.strip()).is_relative_to(wheel_site())
    done = suite(tmp_path, *ONE, "--benchmark-json", "wheel.json", env=env)
    assert done.returncode == 0, done.stdout
    assert left_in(tmp_path) == ["wheel.json"]
    wheel = strict((tmp_path / "wheel.json").read_text())
    names = [row["fullname"] for row in wheel["benchmarks"]]
    assert names == [row["fullname"] for row in saved()[0]["benchmarks"]]
    files = [str(tmp_path / "wheel.json"), str(scratch() / "saved" / "out.json")]
    compared = run([sys.executable, "-m", "pytest_benchmark", "compare", *files], tmp_path)
    assert compared.returncode == 0, compared.stderr
    assert compared.stdout.count(f"test_cell[{CELL}]") == 2


def test_results_file_of_jacbench_run_can_be_compared_too(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    (tmp_path / "conftest.py").write_text("raise RuntimeError('hostile conftest')\n")
    env = environment(PYTEST_ADDOPTS="--no-such-option-either", PYTEST_PLUGINS="no_such_plugin")
    quick = ("--cell-seconds", "0.01", "--visits", "1")
    words = ("run", PROBLEM, "--method", "numpy.analytic", *quick)
    done = jacbench(*words, cwd=tmp_path, env=env)
    # Neither the folder's settings nor the variables reach the workers.
    assert (done.returncode, done.stderr) == (0, "")
    (path,) = (tmp_path / "results").iterdir()
    (row,) = strict(path.read_text())["benchmarks"]
    (other,) = saved()[0]["benchmarks"]
    assert row["fullname"] == other["fullname"]
    (tmp_path / "conftest.py").unlink()  # pytest-benchmark's command would import it
    files = [str(path), str(scratch() / "saved" / "out.json")]
    compared = run([sys.executable, "-m", "pytest_benchmark", "compare", *files], tmp_path)
    assert compared.returncode == 0, compared.stderr
    assert compared.stdout.count(f"test_cell[{CELL}]") == 2


# pytest-benchmark's options


def test_compare_group_and_only() -> None:
    saved()
    # Beside the storage: where machines differ, pytest-benchmark 5.3 fails on a storage elsewhere.
    folder = scratch() / "saved"
    storage = (folder / "storage").as_uri()
    done = suite(
        folder,
        *(*ONE, "--benchmark-only", "--benchmark-group-by=param:method"),
        *("--benchmark-compare", "--benchmark-storage", storage),
    )
    assert done.returncode == 0, done.stdout
    assert "benchmark 'method=numpy.analytic'" in done.stdout
    assert "(NOW)" in done.stdout
    assert "(0001_" in done.stdout
    # Nothing of the machine differs but what the file leaves out.
    assert '"node"' not in done.stdout + done.stderr


def test_disabled_benchmarks_are_still_checked(tmp_path: Path) -> None:
    words = ("--jacbench-problem", PROBLEM, "--jacbench-method", "tiny.*", "--benchmark-disable")
    done = suite(tmp_path, *words, env=environment(tiny_site()))
    assert done.returncode == 1
    assert "1 failed, 2 passed" in done.stdout
    assert "disagrees" in done.stdout


def test_skipped_benchmarks(tmp_path: Path) -> None:
    done = suite(tmp_path, *ONE, "--benchmark-skip")
    assert (done.returncode, "1 skipped" in done.stdout) == (0, True)


def test_check_times_nothing(tmp_path: Path) -> None:
    done = suite(tmp_path, *ONE, "--jacbench-check", "--benchmark-json", "out.json")
    assert done.returncode == 0
    assert "1 passed" in done.stdout
    assert left_in(tmp_path) == []


def test_select_and_collect(tmp_path: Path) -> None:
    words = ("--jacbench-problem", "basics/*", "--jacbench-dtype", "all", "--collect-only")
    numpy = ("--jacbench-method", "numpy.*", "-k", "linear-sum and complex-step and not by")
    numpy = (*numpy, "--jacbench-operator", "jacobian")
    done = suite(tmp_path, *words, *numpy)
    assert done.returncode == 0, done.stdout
    found = [line.partition("[")[2].rstrip("]") for line in done.stdout.splitlines() if "[" in line]
    assert found == [f"{PROBLEM}-numpy.complex-step-cpu-{d}" for d in ("float64", "float32")]
    assert left_in(tmp_path) == []


def test_visits_are_separate_stretches_in_seeded_order(tmp_path: Path) -> None:
    words = ("--jacbench-problem", "basics/*", "--jacbench-method", "numpy.analytic")

    def order(seed: str) -> list[str]:
        more = ("--jacbench-visits", "3", "--jacbench-seed", seed, "--collect-only")
        done = suite(tmp_path, *words, *more)
        return [line.partition("[")[2][:-1] for line in done.stdout.splitlines() if "[" in line]

    first = order("1")
    count = len(first) // 3
    assert count == sum(name.startswith("basics/") for name in problems.names())
    visits = [name[-1] for name in first]
    assert visits == sorted(visits)
    stretches = [[name[:-1] for name in first[i * count : (i + 1) * count]] for i in range(3)]
    assert len({frozenset(stretch) for stretch in stretches}) == 1
    assert len({tuple(stretch) for stretch in stretches}) > 1
    assert order("1") == first


def test_visits_of_one_process_are_pooled(tmp_path: Path) -> None:
    done = suite(tmp_path, *ONE, "--jacbench-visits", "3", "--benchmark-json", "out.json")
    assert done.returncode == 0, done.stdout
    document = strict((tmp_path / "out.json").read_text())
    assert schema_errors(document["jacbench"]) == []
    (cell,) = document["jacbench"]["cells"]
    assert cell["visits"] == len(document["benchmarks"]) == 3
    assert cell["rounds"] == sum(row["stats"]["rounds"] for row in document["benchmarks"])


# Mistakes


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--jacbench-problem", "basics/nil"], "unknown problem 'basics/nil'"),
        ([*ONE, "--jacbench-device", "cuda:9"], "device 'cuda:9': numpy sees no CUDA device here"),
        ([*ONE, "--jacbench-threads", "0"], "--jacbench-threads 0: give a whole number"),
        ([*ONE, "--jacbench-chunk-size", "0"], "--jacbench-chunk-size 0: give a whole number"),
        ([*ONE, "--jacbench-memory", "much"], "'much': give a size such as 2GiB"),
        ([*ONE, "--jacbench-visits", "two"], "argument --jacbench-visits: invalid int value"),
    ],
)
def test_mistakes_are_usage_errors(tmp_path: Path, words: list[str], message: str) -> None:
    done = suite(tmp_path, *words)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR, done.stdout
    told = [line for line in (done.stdout + done.stderr).splitlines() if message in line]
    assert len(told) == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert "pytest_plugin.py" not in done.stdout + done.stderr


# Other suites


def test_other_suites_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text(
        "import sys\n\n"
        "def test_nothing_was_imported(benchmark):\n"
        "    benchmark(len, ())\n"
        "    found = {'numpy', 'torch', 'jax', 'autograd', 'rich', 'typer'} & set(sys.modules)\n"
        "    assert 'jacbench.pytest_plugin' in sys.modules\n"
        "    assert not found\n"
    )
    words = ("-p", "pytest_benchmark.plugin", "-p", "jacbench.pytest_plugin")
    done = pytest_in(
        tmp_path,
        *(*QUICK, *words, "--benchmark-json", "out.json"),
        # Other plugins of this environment may import what they like.
        env=environment(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"),
    )
    assert done.returncode == 0, done.stdout
    assert "jacbench" not in done.stdout
    document = strict((tmp_path / "out.json").read_text())
    assert "jacbench" not in document
    # What is not ours is saved as pytest-benchmark saves it.
    assert "node" in document["machine_info"]
    assert len(document["benchmarks"]) == 1


def test_options_are_offered_in_the_help(tmp_path: Path) -> None:
    done = pytest_in(tmp_path, "--help")
    for name in ("problem", "method", "device", "dtype", "threads", "visits", "chunk-size"):
        assert f"--jacbench-{name}=" in done.stdout
