"""A worker that dies or hangs costs one cell; what was measured is never lost."""

from __future__ import annotations

import functools
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.driving import posix
from tests.results.test_run import schema_errors
from tests.runs import PROBLEM, environment, jacbench, scratch, strict, tiny_site


@functools.cache
def faulty_run() -> tuple[subprocess.CompletedProcess[str], dict[str, Any], str]:
    """Run every faulty method once; return the process, its results file, and that as text."""
    folder = scratch() / "faulty"
    folder.mkdir()
    done = jacbench(
        *("run", PROBLEM, "--method", "faulty.*", "--output", str(folder)),
        *("--timeout", "4", "--cell-seconds", "0.02", "--visits", "2"),
        cwd=folder,
        env=environment(tiny_site()),
    )
    (path,) = folder.iterdir()
    text = path.read_text(encoding="ascii")
    return done, strict(text), text


@pytest.fixture
def faulty() -> dict[str, Any]:
    """The cells of a run of every faulty method, by method."""
    _, document, _ = faulty_run()
    return {c["method"].partition(".")[2]: c for c in document["jacbench"]["cells"]}


@posix
@pytest.mark.parametrize(
    ("method", "verdict", "reason"),
    [
        ("sleeps", "timed out", "took longer than 4 s: allow more with --timeout"),
        ("holds-gil", "timed out", "took longer than 4 s: allow more with --timeout"),
        ("exits", "crashed", "the worker exited with status 3"),
        ("sigkill", "crashed", "the worker was killed by SIGKILL"),
        ("segfaults", "crashed", "the worker was killed by SIGSEGV: Fatal Python error: Segment"),
        ("prepare-raises", "failed", "RuntimeError: no kernel for this"),
        ("raises-late", "failed", "in a timed call: ArithmeticError: the 50th call"),
        ("tells-paths", "failed", "FileNotFoundError: data.bin not in lib:lib"),
    ],
)
def test_each_fault_has_its_verdict(
    faulty: dict[str, Any], method: str, verdict: str, reason: str
) -> None:
    cell = faulty[method]
    assert (cell["verdict"], cell["median_s"], cell["rounds"]) == (verdict, None, None)
    assert cell["reason"].startswith(reason)
    assert "\n" not in cell["reason"]
    assert bool(cell["traceback"]) == (verdict == "failed")


@posix
@pytest.mark.parametrize("method", ["first", "prints", "odd-notes", "last"])
def test_neighbours_of_faults_are_timed(faulty: dict[str, Any], method: str) -> None:
    cell = faulty[method]
    assert (cell["verdict"], cell["reason"]) == ("agrees", None)
    assert cell["median_s"] > 0
    # Two visits were pooled.
    assert cell["rounds"] >= 2


def test_failure_in_the_only_visit_is_kept(tmp_path: Path) -> None:
    done = jacbench(
        *("run", PROBLEM, "--method", "faulty.raises-late", "--json", "-"),
        *("--visits", "1", "--cell-seconds", "0.02"),
        cwd=tmp_path,
        env=environment(tiny_site()),
    )
    assert done.returncode == 1
    (cell,) = strict(done.stdout)["cells"]
    assert (cell["verdict"], cell["median_s"]) == ("failed", None)
    assert cell["reason"] == "in a timed call: ArithmeticError: the 50th call"


@posix
def test_run_with_faults_ends_with_status_1_and_says_what(faulty: dict[str, Any]) -> None:
    done, document, _ = faulty_run()
    assert (done.returncode, done.stderr) == (1, "")
    assert "12 cells: 4 agrees, 3 failed, 2 timed out, 3 crashed" in done.stdout
    assert schema_errors(document["jacbench"]) == []
    assert not document["jacbench"]["interrupted"]
    timed = {row["extra_info"]["method"] for row in document["benchmarks"]}
    assert timed == {f"faulty.{name}" for name in ("first", "prints", "odd-notes", "last")}
    assert all(row["stats"]["data"] for row in document["benchmarks"])


@posix
def test_notes_that_json_cannot_hold(faulty: dict[str, Any]) -> None:
    assert faulty["odd-notes"]["notes"] == {"loss": None, "graphs": 3, "s": 2.0}


@posix
def test_file_tells_no_path_no_host_and_no_user() -> None:
    _, document, text = faulty_run()
    assert "alice" not in text
    assert str(scratch()) not in text
    assert str(Path.home()) not in text.replace(r"\/", "/") or Path.home() == Path("/")
    host = os.uname().nodename
    if len(host) > 3:
        assert not re.search(rf"\b{re.escape(host)}\b", text)
    traces = [c["traceback"] for c in document["jacbench"]["cells"] if c["traceback"]]
    assert traces
    files = {name for trace in traces for name in re.findall(r'File "([^"]+)"', trace)}
    assert "jacbench_faulty/backend.py" in files
    assert not [name for name in files if Path(name).is_absolute()]
