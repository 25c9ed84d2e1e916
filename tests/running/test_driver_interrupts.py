"""An interrupted run kills its workers and keeps what was measured."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jacbench as jb
from jacbench import Problem, Run, Verdict, api, read
from jacbench.results import run as results
from jacbench.results import writer
from jacbench.running import driver
from jacbench.running.worker_process import Worker
from tests.driving import TWO_BACKENDS, Watched, gone, posix, watch
from tests.results.test_run import schema_errors
from tests.runs import PROBLEM, environment, strict, tiny_site

INTERRUPTIBLE = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have had it ignored
from jacbench.cli import main
main()
"""


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> type[Watched]:
    return watch(monkeypatch)


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

    class Slow(writer.Store):
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

    monkeypatch.setattr(writer.os, "fsync", interrupted)
    run = jb.run(PROBLEM, methods=["numpy.analytic"], budget_s=0.01, output=tmp_path)
    assert run.interrupted
    (path,) = tmp_path.iterdir()
    assert [r.verdict for r in jb.read(path).cells] == [Verdict.AGREES]
    assert jb.read(path).cells[0].median_s


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
