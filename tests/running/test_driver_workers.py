"""Workers that do not start, die as they wait or take too much; their threads and processors."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jacbench as jb
from jacbench import Verdict
from jacbench.running import backend_worker
from jacbench.running.worker_process import Worker
from tests.driving import ANALYTIC, QUICK, Watched, posix, problem, watch
from tests.runs import PROBLEM, environment, jacbench, strict, tiny_site


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> type[Watched]:
    return watch(monkeypatch)


# Start and end


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

    monkeypatch.setattr(backend_worker, "Worker", full)
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


# Threads and processors


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
