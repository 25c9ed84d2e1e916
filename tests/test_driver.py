"""A worker that dies or hangs costs one cell; what was measured is never lost."""

from __future__ import annotations

import functools
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import jacbench as jb
from jacbench import (
    JacbenchError,
    Problem,
    Run,
    Verdict,
    api,
    driver,
    read,
    results,
    results_writer,
)
from jacbench.worker import Worker
from tests.runs import PROBLEM, environment, jacbench, scratch, strict, tiny_site
from tests.test_results import schema_errors

posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


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


# Interrupts

INTERRUPTIBLE = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have had it ignored
from jacbench.cli import main
main()
"""


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    state = Path(f"/proc/{pid}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z"


def wait_for(path: Path, process: subprocess.Popen[str]) -> str:
    for _ in range(1200):
        if path.exists() and (text := path.read_text()):
            return text
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError(f"{path} was not written")


@posix
@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_keeps_what_was_measured(tmp_path: Path, which: signal.Signals) -> None:
    sign = tmp_path / "sign"
    methods = ("first", "sleeps", "last")
    words = [w for name in methods for w in ("--method", f"faulty.{name}")]
    with subprocess.Popen(
        [
            *(sys.executable, "-c", INTERRUPTIBLE, "run", PROBLEM, *words),
            *("--visits", "1", "--cell-seconds", "0.02", "--output", "out"),
        ],
        cwd=tmp_path,
        env=environment(tiny_site(), FAULTY_SIGN=str(sign)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        worker = int(wait_for(sign, process))
        process.send_signal(which)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == "jacbench: interrupted: what was measured until then is kept\n"
    assert gone(worker)
    (path,) = (tmp_path / "out").iterdir()
    block = strict(path.read_text())["jacbench"]
    assert schema_errors(block) == []
    assert block["interrupted"]
    cells = {cell["method"]: cell for cell in block["cells"]}
    assert cells["faulty.first"]["verdict"] == "agrees"
    assert cells["faulty.first"]["median_s"] > 0
    for name in ("faulty.sleeps", "faulty.last"):
        assert (cells[name]["verdict"], cells[name]["reason"]) == ("not run", "interrupted")
    assert "1 agrees, 2 not run" in out
    assert jb.read(path).interrupted


# Several backends side by side


class Watched(Worker):
    """A worker that is counted from its start until it has been killed."""

    alive: ClassVar[set[int]] = set()
    started: ClassVar[list[int]] = []
    most: ClassVar[int] = 0

    def __init__(self, *words: Any) -> None:
        super().__init__(*words)
        self.alive.add(self._process.pid)
        self.started.append(self._process.pid)
        Watched.most = max(self.most, len(self.alive))

    def kill(self) -> None:
        super().kill()
        self.alive.discard(self._process.pid)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> type[Watched]:
    monkeypatch.setattr(driver, "Worker", Watched)
    monkeypatch.setattr(Watched, "alive", set())
    monkeypatch.setattr(Watched, "started", [])
    monkeypatch.setattr(Watched, "most", 0)
    return Watched


TWO_BACKENDS = {"methods": ["numpy.*", "autograd.*"]}
SEVERAL = (PROBLEM, "awkward/item-branch", "awkward/integer-input", "wrt/several-inputs")


def test_workers_side_by_side_give_the_same_verdicts(
    watched: type[Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("autograd")
    found = {}
    for at_once in (1, 2):
        monkeypatch.setattr(driver, "_side_by_side", lambda threads, n=at_once: n)
        watched.most = 0
        run = jb.check(*SEVERAL, **TWO_BACKENDS)
        assert (watched.most, watched.alive) == (at_once, set())
        found[at_once] = [(r.cell, r.verdict, r.reason, r.error, r.m, r.n) for r in run.cells]
        assert set(run.fingerprint["settings"]) == {"numpy", "autograd"}
        assert not run.interrupted
    assert found[1] == found[2]
    assert {verdict for _, verdict, *_ in found[1]} == {Verdict.AGREES, Verdict.UNSUPPORTED}
    assert len(watched.started) == 4


def test_where_a_clock_runs_workers_wait_for_each_other(
    watched: type[Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("autograd")
    monkeypatch.setattr(driver, "_side_by_side", lambda threads: 8)
    methods = ["numpy.analytic", "autograd.jacobian"]
    run = jb.run(PROBLEM, methods=methods, budget_s=0.01, visits=1)
    assert [r.verdict for r in run.cells] == [Verdict.AGREES] * 2
    assert all(r.median_s for r in run.cells)
    assert (watched.most, len(watched.started)) == (1, 2)


def test_as_many_workers_as_there_are_cores_for_their_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for cores, threads, expected in ((8, 1, 8), (8, 3, 2), (2, 4, 1), (1, 1, 1), (None, 1, 1)):
        monkeypatch.setattr(driver.fingerprint, "usable_cores", lambda n=cores: n)
        assert driver._side_by_side(threads) == expected


@posix
def test_an_interrupt_kills_every_worker(
    watched: type[Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("autograd")
    wait = Worker.wait

    def interrupted(self: Worker, seconds: float) -> None:
        # a worker needs longer than this to start, so that all of them are there
        if len(watched.started) == 2:
            assert len(watched.alive) == 2
            signal.raise_signal(signal.SIGTERM)
        wait(self, seconds)

    monkeypatch.setattr(Watched, "wait", interrupted)
    monkeypatch.setattr(driver, "_side_by_side", lambda threads: 2)
    before = signal.getsignal(signal.SIGTERM)
    run = jb.check(PROBLEM, **TWO_BACKENDS)
    assert run.interrupted
    assert {(r.verdict, r.reason) for r in run.cells} == {(Verdict.NOT_RUN, "interrupted")}
    assert len(watched.started) == 2
    assert all(map(gone, watched.started))
    assert signal.getsignal(signal.SIGTERM) is before


# Problems as objects, in this process


def cube(xp: Any, x: Any) -> Any:
    return x * x * x


def problem(name: str = "mine/cube", **parts: Any) -> Problem:
    known: dict[str, Any] = {
        "function": cube,
        "x": np.array([1.0, 2.0, 3.0]),
        "jacobian": lambda x: np.diag(3 * x**2),
    }
    return Problem(name=name, **known | parts)


ANALYTIC = {"methods": ["numpy.analytic"]}
QUICK = {**ANALYTIC, "budget_s": 0.01, "visits": 2}


def test_check_of_a_problem_object() -> None:
    run = jb.check(problem(), methods=["numpy.*"], operators=["jacobian"], dtypes=["all"])
    assert [result.verdict for result in run.cells] == [Verdict.AGREES] * 6
    assert run.ok
    assert (run.cells[0].m, run.cells[0].n, run.cells[0].median_s) == (3, 3, None)
    assert schema_errors(run.to_json()) == []


def test_check_finds_a_wrong_hand_written_jacobian() -> None:
    wrong = problem(jacobian=lambda x: np.diag(2 * x**2))
    run = jb.check(wrong, methods=["numpy.complex-step"])
    assert [result.verdict for result in run.cells] == [Verdict.DISAGREES]
    assert not run.ok


def test_run_of_a_problem_object_writes_a_file(tmp_path: Path) -> None:
    run = jb.run(problem(), **QUICK, output=tmp_path)
    (result,) = run.cells
    assert result.verdict is Verdict.AGREES
    assert result.median_s is not None
    assert result.rounds == len(run.samples[result.cell])
    (path,) = tmp_path.iterdir()
    assert run.path == path
    assert jb.read(path).cells == run.cells
    assert schema_errors(strict(path.read_text())["jacbench"]) == []


def test_two_runs_into_one_folder_have_two_files(tmp_path: Path) -> None:
    runs = [jb.run(problem(), **QUICK, output=tmp_path) for _ in range(2)]
    assert all(run.ok for run in runs)
    paths = {run.path for run in runs}
    assert paths == set(tmp_path.iterdir())
    assert len(paths) == 2


def test_objects_and_names_in_one_run(tmp_path: Path) -> None:
    run = jb.run(problem(), PROBLEM, **QUICK, output=tmp_path)
    assert {r.cell.problem: r.verdict for r in run.cells} == {
        PROBLEM: Verdict.AGREES,
        "mine/cube": Verdict.AGREES,
    }
    assert all(result.median_s for result in run.cells)
    assert set(run.fingerprint["settings"]) == {"workers", "in_process"}
    block = strict(next(tmp_path.iterdir()).read_text())["jacbench"]
    assert schema_errors(block) == []
    assert len(block["cells"]) == 2


def test_function_that_fails_only_after_many_calls_has_no_time(tmp_path: Path) -> None:
    calls = []

    def jacobian(x: Any) -> Any:
        calls.append(1)
        if len(calls) > 40:
            raise ArithmeticError("late")
        return np.diag(3 * x**2)

    run = jb.run(problem(jacobian=jacobian), **QUICK, output=tmp_path)
    (result,) = run.cells
    assert result.verdict is Verdict.FAILED
    assert result.reason == "in a timed call: ArithmeticError: late"
    assert result.median_s is None
    document = strict(next(tmp_path.iterdir()).read_text())
    assert document["benchmarks"] == []


def test_conftest_and_options_of_the_users_own_project_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "conftest.py").write_text("raise RuntimeError('hostile conftest')")
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTEST_ADDOPTS", "--no-such-option-either")
    assert jb.run(problem(), **QUICK).ok
    assert os.environ["PYTEST_ADDOPTS"] == "--no-such-option-either"
    assert "PYTEST_DISABLE_PLUGIN_AUTOLOAD" not in os.environ


def test_mistakes_leave_no_file(tmp_path: Path) -> None:
    for what, options, message in (
        ([problem()], {"methods": ["numpy.analytics"]}, "did you mean 'numpy.analytic'"),
        ([problem()], {"dtypes": ["float16"]}, "unknown dtype"),
        (["no/problem"], {}, "unknown problem"),
        ([cube], {}, "function is neither a pattern over problem names nor a jacbench.Problem"),
    ):
        with pytest.raises(JacbenchError, match=message):
            jb.run(*what, **{**QUICK, **options}, output=tmp_path / "out")
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []


def test_disk_that_fills_up_during_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(results_writer.tempfile, "tempdir", str(tmp_path / "tmp"))
    replace = Path.replace

    def full(self: Path, target: Path) -> Path:
        if Path(target).parent == tmp_path / "out":
            raise OSError(28, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", full)
    run = jb.run(problem(), **QUICK, output=tmp_path / "out")
    assert run.path is not None
    assert run.path.is_relative_to(tmp_path / "tmp")
    assert jb.read(run.path).cells == run.cells


def test_interrupt_in_this_process_keeps_the_named_problems_from_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(cells: Any, *_: Any) -> Run:
        return results.not_run(cells)

    def never(*_: Any) -> Run:
        raise AssertionError("workers were started after an interrupt")

    monkeypatch.setattr(api.in_process, "measure", interrupted)
    monkeypatch.setattr(api.driver, "drive", never)
    own = Problem(name="mine/square", function=lambda xp, x: x * x, x=np.ones(2))
    done = api.run(own, PROBLEM, methods=["numpy.analytic"], output=tmp_path)
    assert done.interrupted
    assert {(r.cell.problem, r.verdict) for r in done.cells} == {
        ("mine/square", Verdict.NOT_RUN),
        (PROBLEM, Verdict.NOT_RUN),
    }
    assert done.path is not None
    assert read(done.path).interrupted
