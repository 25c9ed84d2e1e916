"""A bench in a worker that hangs, crashes, eats memory or is lost between two steps."""

from __future__ import annotations

import os
import signal
import time

import pytest

from jacbench.core.cell import Verdict
from jacbench.core.errors import JacbenchError
from jacbench.picking.benches.remote import FileError, Limits, RemoteBench
from jacbench.picking.candidate import Candidate
from jacbench.picking.loading.function_request import Asked
from jacbench.workers.lost import LostError

pytest.importorskip("autograd")

JACOBIAN = Candidate("jacobian", "autograd.jacobian")
LOOP = Candidate("jacobian", "autograd.vjp-loop")
MODEL = """
    import os, signal, time
    import autograd.numpy as np

    x = np.array([0.3, 0.5, 0.7])

    def does():
        return open("does").read() if os.path.exists("does") else ""

    def f(x):
        what = does()
        if what == "hangs":
            time.sleep(60)
        if what == "crashes":
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "eats":
            kept = [bytearray(b"x" * 2**20) for _ in range(400)]
            time.sleep(60)
        if what == "raises":
            raise ValueError("not \\x1b[31m today\\nor tomorrow")
        return np.sin(x) * np.sum(x)
"""


@pytest.fixture
def bench(write, tmp_path):
    """Start a worker with a function that does as a file says."""
    limits = Limits(answer_s=20.0, memory_bytes=200 * 2**20)
    made = RemoteBench(Asked(named=f"{write(MODEL)}:f"), tmp_path / "scratch", limits)
    try:
        made.open()
        made.start("autograd")
        yield made
    finally:
        made.close()


def do(tmp_path, what):
    (tmp_path / "does").write_text(what)


def end(bench):
    pid = bench._running.pid
    os.kill(pid, signal.SIGKILL)
    return pid


def gone(pid):
    until = time.monotonic() + 5
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    return False


def test_it_does_what_a_bench_here_does(bench):
    assert bench.described["backends"] == ["autograd"]
    look = bench.examine(20.0)
    assert (look.m, look.n, look.dtype) == (3, 3, "float64")
    assert bench.samples().axis is None
    assert "two independent methods" in bench.evidence().told
    assert JACOBIAN in [offer.candidate for offer in bench.offers()]
    entry = bench.enter(JACOBIAN)
    assert entry.result.verdict is Verdict.AGREES
    assert len(bench.block(JACOBIAN, 3, 2)) == 3
    assert bench.changes(JACOBIAN) is None
    assert bench.peak(JACOBIAN) is None or bench.peak(JACOBIAN) >= 0
    assert bench.code(JACOBIAN)[-1].startswith("J = ")
    assert "machine" in bench.fingerprint()
    pid = bench._running.pid
    bench.close()
    assert gone(pid)


def test_a_worker_lost_between_two_steps_is_brought_back_to_where_it_was(bench):
    bench.examine(20.0)
    bench.samples()
    end(bench)
    entry = bench.enter(JACOBIAN)  # lost as the next thing is asked of it
    assert entry.result.verdict is Verdict.CRASHED
    assert "SIGKILL" in entry.result.reason
    assert bench.enter(LOOP).result.verdict is Verdict.AGREES
    end(bench)
    with pytest.raises(LostError, match="SIGKILL"):
        bench.block(LOOP, 1, 1)
    assert len(bench.block(LOOP, 1, 1)) == 1


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system binds no process")
def test_binding_starts_no_worker_and_holds_for_the_next_one(bench):
    bench.examine(20.0)
    cpu = min(os.sched_getaffinity(0))
    end(bench)
    bench.bind([cpu])  # finds it dead
    bench.bind([cpu])
    assert bench._worker is None
    assert bench.enter(JACOBIAN).result.verdict is Verdict.AGREES
    assert os.sched_getaffinity(bench._running.pid) == {cpu}


@pytest.mark.parametrize(
    ("what", "verdict", "told"),
    [
        ("crashes", Verdict.CRASHED, "SIGKILL"),
        ("hangs", Verdict.TIMED_OUT, "it took longer than 2 s"),
        ("eats", Verdict.TOO_LARGE, "more than the 200 MiB"),
    ],
)
def test_a_call_that_takes_its_process_with_it_costs_one_candidate(
    bench, tmp_path, what, verdict, told
):
    bench.examine(20.0)
    bench.evidence()
    pid = bench._running.pid
    do(tmp_path, what)
    limit = 2.0 if what == "hangs" else 20.0
    entry = bench.enter(JACOBIAN, limit)
    assert (entry.result.verdict, entry.call_s) == (verdict, None)
    assert told in entry.result.reason
    assert gone(pid)
    do(tmp_path, "")
    assert bench.enter(LOOP).result.verdict is Verdict.AGREES


def test_one_that_is_right_no_more_in_the_next_worker_is_lost(bench, tmp_path):
    bench.examine(20.0)
    bench.enter(JACOBIAN)
    end(bench)
    with pytest.raises(LostError):
        bench.peak(JACOBIAN)
    do(tmp_path, "raises")
    with pytest.raises(JacbenchError, match="raised ValueError"):
        bench.block(JACOBIAN, 1, 1)


def test_what_the_users_function_raises_comes_with_its_own_lines(write, tmp_path):
    do(tmp_path, "raises")
    made = RemoteBench(Asked(named=f"{write(MODEL)}:f"), tmp_path / "scratch", Limits())
    try:
        with pytest.raises(FileError) as caught:
            made.open()
    finally:
        made.close()
    assert "\n" not in str(caught.value)
    assert 'File "model.py", line' in caught.value.told
    assert "jacbench/" not in caught.value.told


def test_a_file_elsewhere_has_its_own_lines_too(write, tmp_path, monkeypatch):
    do(tmp_path, "raises")
    name = write(MODEL, "below/model.py")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    do(tmp_path / "here", "raises")
    asked = Asked(named=f"../{name}:f")
    made = RemoteBench(asked, tmp_path / "scratch", Limits())
    try:
        with pytest.raises(FileError) as caught:
            made.open()
    finally:
        made.close()
    assert "model.py" in caught.value.told


def test_a_file_that_ends_or_hangs_the_process_is_told(write, tmp_path):
    for text, told in (
        ("import os; os._exit(3)", "exited with status 3"),
        ("import time; time.sleep(60)", "it took longer than 3 s"),
    ):
        limits = Limits(start_s=3.0 if "sleep" in text else 60.0)
        made = RemoteBench(Asked(named=f"{write(text)}:f"), tmp_path / "scratch", limits)
        try:
            with pytest.raises(LostError, match=told):
                made.open()
        finally:
            made.close()
