"""A worker that dies or hangs costs one cell; what was measured is never lost."""

from __future__ import annotations

import functools
import itertools
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
    crew,
    driver,
    read,
    results,
    results_writer,
)
from jacbench.cell import Cell
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
    cells = {cell["method"].partition(".")[2]: cell for cell in block["cells"]}
    # The order is drawn at random, of the seed: what had its turn is kept.
    done = [name for name in ("first", "last") if cells[name]["verdict"] == "agrees"]
    assert "sleeps" in {name for name in cells if cells[name]["verdict"] == "not run"}
    assert done
    assert all(cells[name]["median_s"] > 0 for name in done)
    left = [cells[name] for name in cells if name not in done]
    assert {(c["verdict"], c["reason"]) for c in left} == {("not run", "interrupted")}
    assert f"{len(done)} agrees, {len(left)} not run" in out
    assert jb.read(path).interrupted


@posix
@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_twice_it_ends_at_once_and_its_file_is_whole(
    tmp_path: Path, which: signal.Signals
) -> None:
    sign = tmp_path / "sign"
    with subprocess.Popen(
        [
            *(sys.executable, "-c", INTERRUPTIBLE, "run", PROBLEM, "--method", "faulty.sleeps"),
            *("--visits", "1", "--output", "out"),
        ],
        cwd=tmp_path,
        env=environment(tiny_site(), FAULTY_SIGN=str(sign)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        worker = int(wait_for(sign, process))
        while process.poll() is None:  # as whoever holds Ctrl-C down
            process.send_signal(which)
            time.sleep(0.001)
        _, err = process.communicate(timeout=60)
    # 130, or the signal where it struck once Python had let go of its handlers.
    assert process.returncode in (130, -which)
    assert "Traceback" not in err or "KeyboardInterrupt" in err
    (path,) = (p for p in (tmp_path / "out").iterdir() if p.suffix == ".json")
    assert [c["verdict"] for c in strict(path.read_text())["jacbench"]["cells"]] == ["not run"]
    for _ in range(200):
        if gone(worker):
            return
        time.sleep(0.05)
    raise AssertionError("a worker was left behind")


# Several backends side by side


class Watched(Worker):
    """A worker that is counted from its start until it has been killed."""

    alive: ClassVar[set[int]] = set()
    started: ClassVar[list[int]] = []
    most: ClassVar[int] = 0

    def __init__(self, *words: Any) -> None:
        super().__init__(*words)
        self.alive.add(self.pid)
        self.started.append(self.pid)
        Watched.most = max(self.most, len(self.alive))

    def kill(self) -> None:
        super().kill()
        self.alive.discard(self.pid)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> type[Watched]:
    monkeypatch.setattr(crew, "Worker", Watched)
    monkeypatch.setattr(Watched, "alive", set())
    monkeypatch.setattr(Watched, "started", [])
    monkeypatch.setattr(Watched, "most", 0)
    return Watched


TWO_BACKENDS = {"methods": ["numpy.*", "autograd.j*", "autograd.v*", "autograd.make*"]}
SEVERAL = (PROBLEM, "awkward/item-branch", "awkward/integer-input", "wrt/several-inputs")


def test_workers_side_by_side_give_the_same_verdicts(
    watched: type[Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("autograd")
    found = {}
    for at_once in (1, 2):
        monkeypatch.setattr(driver.fingerprint, "usable_cores", lambda n=at_once: n)
        watched.most = 0
        run = jb.check(*SEVERAL, **TWO_BACKENDS)
        assert (watched.most, watched.alive) == (at_once, set())
        found[at_once] = [(r.cell, r.verdict, r.reason, r.error, r.m, r.n) for r in run.cells]
        assert set(run.fingerprint["settings"]) == {"numpy", "autograd"}
        assert not run.interrupted
    assert found[1] == found[2]
    assert {verdict for _, verdict, *_ in found[1]} == {Verdict.AGREES, Verdict.UNSUPPORTED}
    assert len(watched.started) == 4


class Told:
    """What a run told of its progress."""

    def __init__(self) -> None:
        self.turns: list[tuple[str, Cell]] = []
        self.other: list[str] = []
        self.ahead: list[tuple[int, int]] = []

    def begin(self, what: str) -> None:
        self.other.append(what)

    def start(self, cell: Cell, what: str) -> None:
        self.turns.append((what, cell))

    def advance(self, done: int, total: int) -> None:
        self.ahead.append((done, total))


def test_each_round_has_all_cells_of_all_backends_in_an_order_of_its_own(
    watched: type[Watched],
) -> None:
    pytest.importorskip("autograd")
    wanted = {**TWO_BACKENDS, "operators": ["jacobian"], "budget_s": 0.004, "visits": 4}
    orders = []
    for seed in (1, 1, 2):
        told = Told()
        run = jb.run(PROBLEM, **wanted, seed=seed, progress=told)
        assert [r.verdict for r in run.cells] == [Verdict.AGREES] * len(run.cells)
        visited = [cell for what, cell in told.turns if what != "memory"]
        count = len(run.cells)
        rounds = [visited[i * count : (i + 1) * count] for i in range(4)]
        assert len(visited) == 4 * count
        assert [set(cells) for cells in rounds] == [{r.cell for r in run.cells}] * 4
        assert len(set(map(tuple, rounds))) > 1
        assert [what for what, _ in told.turns[:count]] == ["check"] * count
        # The memory pass comes at the very end, worker by worker.
        assert [cell.backend for _, cell in told.turns[4 * count :]] == [
            *["autograd"] * sum(r.cell.backend == "autograd" for r in run.cells),
            *["numpy"] * sum(r.cell.backend == "numpy" for r in run.cells),
        ]
        assert told.ahead == [(i + 1, 4 * count) for i in range(4 * count)]
        assert all(len(run.visits[r.cell]) == r.visits == 4 for r in run.cells)
        orders.append(visited)
    # One worker for each backend lives through all rounds, and backends take turns in each.
    assert (watched.most, len(watched.started), watched.alive) == (2, 6, set())
    backends = [cell.backend for cell in orders[0]]
    assert sum(a != b for a, b in itertools.pairwise(backends)) > 4
    assert orders[0] == orders[1] != orders[2]


def test_where_a_clock_runs_one_worker_works_at_a_time(
    watched: type[Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("autograd")
    busy: set[int] = set()
    send, receive = Worker.send, Worker.receive

    def told(self: Worker, **command: Any) -> None:
        assert not busy
        busy.add(self.pid)
        send(self, **command)

    def heard(self: Worker, seconds: float) -> dict[str, Any] | None:
        event = receive(self, seconds)
        if event is not None and event["event"] in ("done", "memory"):
            busy.remove(self.pid)
        return event

    def started(self: Watched, *words: Any) -> None:
        assert not busy
        begin(self, *words)

    begin = Watched.__init__
    monkeypatch.setattr(Watched, "__init__", started)
    monkeypatch.setattr(Watched, "send", told)
    monkeypatch.setattr(Watched, "receive", heard)
    methods = ["numpy.analytic", "autograd.jacobian"]
    run = jb.run(PROBLEM, methods=methods, budget_s=0.01, visits=3)
    assert [(r.verdict, r.visits) for r in run.cells] == [(Verdict.AGREES, 3)] * 2
    assert (busy, watched.most) == (set(), 2)


def test_as_many_workers_as_there_are_cores_for_their_threads() -> None:
    for cores, taken, threads, expected in (
        (8, [1] * 7, 1, True),
        (8, [1] * 8, 1, False),
        (8, [3, 3], 3, False),
        (8, [3, 3], 2, True),
        (2, [], 4, True),
        (1, [1], 1, False),
    ):
        assert driver._have_room(cores, taken, threads) is expected


@posix
def test_an_interrupt_kills_every_worker(
    watched: type[Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("autograd")
    receive = Worker.receive

    def interrupted(self: Worker, seconds: float) -> dict[str, Any] | None:
        # a worker needs longer than this to start, so that all of them are there
        if len(watched.started) == 2:
            assert len(watched.alive) == 2
            signal.raise_signal(signal.SIGTERM)
        return receive(self, seconds)

    monkeypatch.setattr(Watched, "receive", interrupted)
    monkeypatch.setattr(driver.fingerprint, "usable_cores", lambda: 2)
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    run = jb.check(PROBLEM, **TWO_BACKENDS)
    assert run.interrupted
    assert {(r.verdict, r.reason) for r in run.cells} == {(Verdict.NOT_RUN, "interrupted")}
    assert len(watched.started) == 2
    assert all(map(gone, watched.started))
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


@posix
@pytest.mark.parametrize("where", ["killing", "saving", "saving, and a third"])
def test_a_second_interrupt_waits_for_the_save_and_a_third_does_not(
    watched: type[Watched], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, where: str
) -> None:
    receive, kill, saved = Worker.receive, Watched.kill, []
    monkeypatch.setattr(signal, "getsignal", lambda _: signal.default_int_handler)

    def first(self: Worker, seconds: float) -> dict[str, Any] | None:
        event = receive(self, seconds)
        if event is not None and event["event"] == "timed":
            signal.raise_signal(signal.SIGINT)
        return event

    def killed(self: Watched) -> None:
        kill(self)
        if where == "killing":
            signal.raise_signal(signal.SIGINT)

    class Slow(results_writer.Store):
        def __call__(self, run: Run, *, final: bool) -> None:
            saved.append(final)
            if final and where != "killing":
                signal.raise_signal(signal.SIGTERM)
            if final and "third" in where:
                signal.raise_signal(signal.SIGINT)
            super().__call__(run, final=final)

    monkeypatch.setattr(Watched, "receive", first)
    monkeypatch.setattr(Watched, "kill", killed)
    monkeypatch.setattr(api, "Store", Slow)
    with pytest.raises(KeyboardInterrupt):
        jb.run(PROBLEM, methods=["numpy.analytic"], output=tmp_path)
    assert saved == [False, True]
    assert all(map(gone, watched.started))
    # Whole, whichever save it is of.
    (path,) = tmp_path.iterdir()
    assert {r.verdict for r in jb.read(path).cells} <= {Verdict.NOT_RUN, Verdict.AGREES}
    assert jb.read(path).interrupted == ("third" not in where)


@posix
def test_an_interrupt_while_a_complete_run_is_saved_saves_it_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaced = []
    fsync = os.fsync

    def interrupted(handle: int) -> None:
        replaced.append(handle)
        if len(replaced) == 2:  # the first save is the one before anything runs
            signal.raise_signal(signal.SIGTERM)
        fsync(handle)

    monkeypatch.setattr(results_writer.os, "fsync", interrupted)
    run = jb.run(PROBLEM, methods=["numpy.analytic"], budget_s=0.01, output=tmp_path)
    assert run.interrupted
    (path,) = tmp_path.iterdir()
    assert [r.verdict for r in jb.read(path).cells] == [Verdict.AGREES]
    assert jb.read(path).cells[0].median_s


@posix
def test_worker_that_dies_while_it_waits_costs_no_cell(
    watched: type[Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    receive = Worker.receive
    done = []

    def killed(self: Watched, seconds: float) -> dict[str, Any] | None:
        event = receive(self, seconds)
        if event is not None and event["event"] == "done":
            done.append(event["cell"])
            if len(done) == 3:
                os.kill(self.pid, signal.SIGKILL)
        return event

    monkeypatch.setattr(Watched, "receive", killed)
    methods = ["numpy.analytic", "numpy.complex-step"]
    run = jb.run(PROBLEM, methods=methods, budget_s=0.02, visits=3)
    assert [(r.verdict, r.visits) for r in run.cells] == [(Verdict.AGREES, 3)] * 2
    assert (len(done), len(watched.started)) == (6, 2)


# Workers that do not start, and threads


def site(folder: Path, code: str) -> dict[str, str]:
    """Return variables under which workers, and they alone, run ``code`` before anything else."""
    (folder / "sitecustomize.py").write_text(
        f"import sys\nif '--jacbench-worker' in sys.orig_argv:\n    {code}\n"
    )
    return environment(folder, tiny_site())


@posix
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (
            "import time; time.sleep(600)",
            "the worker did not start within 0.5 s: allow more with --start-timeout",
        ),
        ("import os; os._exit(7)", "the worker exited with status 7"),
    ],
)
def test_worker_that_never_starts_costs_one_wait(tmp_path: Path, code: str, reason: str) -> None:
    words = ["run", "basics/*", "--method", "numpy.analytic", "--start-timeout", "0.5"]
    done = jacbench(*words, "--json", "-", cwd=tmp_path, env=site(tmp_path, code))
    block = strict(done.stdout)
    assert done.returncode == 1
    assert len(block["cells"]) > 5
    assert {(c["verdict"], c["reason"]) for c in block["cells"]} == {("crashed", reason)}
    # Once, not for each cell.
    assert block["seconds"]["workers"] < 3


def test_disk_without_room_for_a_worker_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> Worker:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(crew, "Worker", full)
    for run in (jb.check(PROBLEM, **ANALYTIC), jb.run(PROBLEM, **QUICK)):
        (result,) = run.cells
        told = "no worker could be started: No space left on device: free some room, or set TMPDIR"
        assert (result.verdict, result.reason) == (Verdict.CRASHED, told)


@posix
def test_slow_start_is_waited_for(tmp_path: Path) -> None:
    env = site(tmp_path, "import time; time.sleep(1.5)")
    words = ["check", PROBLEM, "--method", "numpy.analytic", "--timeout", "1", "--json", "-"]
    done = jacbench(*words, cwd=tmp_path, env=env)
    assert [c["verdict"] for c in strict(done.stdout)["cells"]] == ["agrees"]
    assert strict(done.stdout)["seconds"]["workers"] >= 1.5


def test_threads_are_swept(watched: type[Watched]) -> None:
    wanted = {"methods": ["numpy.analytic"], "budget_s": 0.01, "visits": 2}
    run = jb.run(PROBLEM, **wanted, threads=[1, 2, 1])
    assert [(r.cell.threads, r.verdict, r.visits) for r in run.cells] == [
        (1, Verdict.AGREES, 2),
        (2, Verdict.AGREES, 2),
    ]
    # Thread pools belong to a process: each number has workers of its own.
    assert len(watched.started) == 2
    assert set(run.fingerprint["settings"]) == {"numpy, 1 thread", "numpy, 2 threads"}


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processors can be chosen")
def test_workers_are_bound_to_processors(tmp_path: Path) -> None:
    cpu = max(os.sched_getaffinity(0))
    words = ["check", PROBLEM, "--method", "tiny.right", "--cpus", str(cpu), "--json", "-"]
    sign = tmp_path / "bound"
    done = jacbench(*words, cwd=tmp_path, env=environment(tiny_site(), TINY_BOUND=str(sign)))
    assert done.returncode == 0
    assert sign.read_text() == f"{{{cpu}}}"
    assert strict(done.stdout)["fingerprint"]["settings"]["tiny"]["cpus"] == [cpu]
    assert strict(done.stdout)["options"]["cpus"] == [cpu]


# Memory


@pytest.mark.skipif(sys.platform != "linux", reason="memory of other processes is read from /proc")
def test_method_that_takes_too_much_memory_is_killed(tmp_path: Path) -> None:
    words = ["run", PROBLEM, "--method", "tiny.*", "--memory", "300MiB", "--cell-seconds", "0.02"]
    env = environment(tiny_site(), TINY_GREEDY="1")
    done = jacbench(*words, "--json", "-", cwd=tmp_path, env=env)
    cells = {cell["method"]: cell for cell in strict(done.stdout)["cells"]}
    greedy = cells["tiny.slow-prepare"]
    assert (greedy["verdict"], greedy["median_s"]) == ("too large", None)
    assert re.fullmatch(
        r"used [\d.]+ [MG]iB, more than the 300 MiB of --memory: killed", greedy["reason"]
    )
    assert cells["tiny.right"]["verdict"] == "agrees"
    assert cells["tiny.right"]["median_s"] > 0


def test_memory_error_of_a_method_is_too_large() -> None:
    method = ["numpy.complex-step"]

    def greedy(xp: Any, x: Any) -> Any:
        if np.iscomplexobj(x):
            raise MemoryError
        return x * x * x

    run = jb.run(problem(function=greedy), methods=method, budget_s=0.01)
    assert [(r.verdict, r.median_s) for r in run.cells] == [(Verdict.TOO_LARGE, None)]
    assert run.ok


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
