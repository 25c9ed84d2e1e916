"""Events come through whatever a worker prints, reads or dies of; what it started ends with it."""

from __future__ import annotations

import os
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jacbench.workers import channel
from jacbench.workers.channel import Downward
from tests.runs import ROOT, environment

HEAD = """
import json, os, signal, subprocess, sys, time
from jacbench.workers.channel import Upward
"""
PATIENCE_S = 60.0
"""How long a test waits for what is sure to come."""

Start = Callable[..., Downward]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start scripts as workers, and end them after the test."""
    started: list[Downward] = []

    def begin(script: str, *, head: str = HEAD) -> Downward:
        folder = tmp_path / f"worker-{len(started)}"
        folder.mkdir()
        file = folder / "script.py"
        file.write_text(head + textwrap.dedent(script), encoding="utf-8")
        worker = Downward([sys.executable, str(file)], folder, environment(ROOT))
        started.append(worker)
        return worker

    yield begin
    for worker in started:
        worker.kill()


def everything(worker: Downward) -> list[dict[str, Any]]:
    """Return all events until the worker has no more."""
    events = []
    until = time.monotonic() + PATIENCE_S
    while not worker.ended():
        assert time.monotonic() < until, "the worker does not end"
        if (event := worker.receive(1.0)) is not None:
            events.append(event)
    return events


def one(worker: Downward) -> dict[str, Any]:
    """Return the next event."""
    event = worker.receive(PATIENCE_S)
    assert event is not None
    return event


def output(folder: Path) -> str:
    return (folder / "worker-0" / "output.txt").read_text(encoding="utf-8", errors="replace")


# Commands and events


def test_commands_go_down_and_events_come_up(start: Start) -> None:
    worker = start("""
        channel = Upward()
        while (command := channel.receive()) is not None:
            channel.send("answer", twice=command["number"] * 2, text="µ\\n{}")
        channel.send("bye")
    """)
    for number in range(3):
        worker.send(number=number)
        assert one(worker) == {"event": "answer", "twice": 2 * number, "text": "µ\n{}"}
    assert not worker.ended()
    worker.no_more()
    assert everything(worker) == [{"event": "bye"}]
    assert worker.wait(PATIENCE_S)
    assert worker.epitaph() == "the worker exited with status 0"


def test_whoever_prints_or_reads_does_not_meet_the_channel(start: Start, tmp_path: Path) -> None:
    worker = start("""
        channel = Upward()
        print("printed", flush=True)
        os.write(1, b'{"event": "forged by fd 1"}\\n')
        subprocess.run([sys.executable, "-c", "print('from a child')"])
        taken = sys.stdin.read() + os.read(0, 10).decode()
        channel.send("read", taken=taken, command=channel.receive())
        subprocess.run([sys.executable, "-c", "import sys; sys.exit(len(sys.stdin.read()))"])
        channel.send("again", command=channel.receive())
    """)
    worker.send(number=1)
    worker.send(number=2)
    assert everything_after_no_more(worker) == [
        {"event": "read", "taken": "", "command": {"number": 1}},
        {"event": "again", "command": {"number": 2}},
    ]
    for said in ("printed", "forged by fd 1", "from a child"):
        assert said in output(tmp_path)


def everything_after_no_more(worker: Downward) -> list[dict[str, Any]]:
    worker.no_more()
    return everything(worker)


def test_what_is_printed_before_the_channel_is_no_event(start: Start) -> None:
    worker = start("""
        print("Welcome to this environment")
        print('{"event": 3}')
        print('[1, 2]')
        print('{"no": "event"}')
        print("NaN")
        channel = Upward()
        channel.send("first")
    """)
    assert everything(worker) == [{"event": "first"}]


@pytest.mark.parametrize(
    "line",
    [
        pytest.param('b\'{"event": "cut\'', id="cut"),
        pytest.param("b'\\xff\\xfe\\x00 not utf-8'", id="bytes"),
        pytest.param("b'[' * 200_000", id="deeply-nested"),
        pytest.param("b'9' * 10_000", id="a-number-of-10000-digits"),
    ],
)
def test_a_broken_line_costs_that_line(start: Start, line: str) -> None:
    worker = start(f"""
        channel = Upward()
        channel.send("before")
        os.write(channel._events.fileno(), {line} + b"\\n")
        channel.send("after")
    """)
    assert [event["event"] for event in everything(worker)] == ["before", "after"]


def test_ten_megabytes_on_standard_output(start: Start, tmp_path: Path) -> None:
    worker = start("""
        channel = Upward()
        for _ in range(10):
            print("x" * 2**20)
        sys.stdout.flush()
        channel.send("done")
    """)
    assert everything(worker) == [{"event": "done"}]
    assert (tmp_path / "worker-0" / "output.txt").stat().st_size > 10 * 2**20
    assert worker.wait(PATIENCE_S)
    assert worker.epitaph() == "the worker exited with status 0"


def test_ten_megabytes_before_the_channel(start: Start) -> None:
    worker = start("""
        sys.stdout.write("x" * 10 * 2**20)
        print()
        channel = Upward()
        channel.send("done")
    """)
    assert everything(worker) == [{"event": "done"}]


def test_an_event_of_ten_megabytes(start: Start) -> None:
    worker = start("""
        channel = Upward()
        channel.send("long", text="x" * 10 * 2**20)
    """)
    (event,) = everything(worker)
    assert len(event["text"]) == 10 * 2**20


# Ends


@pytest.mark.parametrize(
    ("dies", "told"),
    [
        ("sys.exit(3)", "the worker exited with status 3"),
        ("os._exit(3)", "the worker exited with status 3"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "the worker was killed by SIGKILL"),
        ("os.kill(os.getpid(), signal.SIGTERM)", "the worker was killed by SIGTERM"),
        (
            "raise RuntimeError('no more\\nthan this')",
            "the worker exited with status 1: RuntimeError: no more",
        ),
        (
            "print('x' * 100_000); print('ERROR: of a library', flush=True); os._exit(7)",
            "the worker exited with status 7: ERROR: of a library",
        ),
    ],
)
def test_epitaphs(start: Start, dies: str, told: str) -> None:
    worker = start(f"""
        channel = Upward()
        channel.send("last")
        {dies}
    """)
    assert [event["event"] for event in everything(worker)] == ["last"]
    assert worker.wait(PATIENCE_S)
    assert worker.epitaph() == told
    assert worker.receive(0.0) is None
    # Who is dead takes no commands, and says so nowhere.
    worker.send(more=1)
    worker.send(more=1)


def test_a_crash_of_the_interpreter_is_told(start: Start) -> None:
    worker = start("""
        import ctypes, faulthandler
        faulthandler.enable()
        channel = Upward()
        ctypes.string_at(0)
    """)
    assert everything(worker) == []
    assert worker.wait(PATIENCE_S)
    assert worker.epitaph() == (
        "the worker was killed by SIGSEGV: Fatal Python error: Segmentation fault"
    )


def test_no_path_is_in_an_epitaph(start: Start, tmp_path: Path) -> None:
    worker = start(f"""
        channel = Upward()
        raise OSError({str(tmp_path / "secret-place" / "weights.bin")!r})
    """)
    everything(worker)
    worker.wait(PATIENCE_S)
    assert str(tmp_path) not in worker.epitaph()
    assert "weights.bin" in worker.epitaph()
    assert "\n" not in worker.epitaph()


def test_what_was_forgotten_is_not_told(start: Start) -> None:
    worker = start("""
        channel = Upward()
        print("ValueError: of the first cell", flush=True)
        channel.send("done")
        channel.receive()
        os._exit(4)
    """)
    one(worker)
    worker.forget()
    worker.send(go=True)
    assert everything(worker) == []
    worker.wait(PATIENCE_S)
    assert worker.epitaph() == "the worker exited with status 4"


def test_what_is_no_program_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no-such-program"):
        Downward([str(tmp_path / "no-such-program")], tmp_path, environment())


# Those that do not answer


def test_who_never_answers_is_waited_for_no_longer_than_asked(start: Start) -> None:
    worker = start("""
        channel = Upward()
        channel.send("ready")
        time.sleep(3600)
    """)
    one(worker)
    worker.send(do="something")
    assert worker.receive(0.05) is None
    assert worker.receive(-1.0) is None
    assert not worker.ended()
    assert not worker.wait(0.05)
    worker.kill()
    assert everything(worker) == []
    assert worker.epitaph() == "the worker was killed by SIGKILL"
    worker.kill()  # twice is once


def test_kill_takes_along_what_the_worker_started(start: Start) -> None:
    worker = start("""
        channel = Upward()
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
        channel.send("started", pid=child.pid)
        time.sleep(3600)
    """)
    pid = one(worker)["pid"]
    assert alive(pid)
    worker.kill()
    until = time.monotonic() + PATIENCE_S
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.01)
    assert not alive(pid)


def alive(pid: int) -> bool:
    """Say whether a process runs: one that is dead and not yet waited for does not."""
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_death_is_seen_though_a_fork_lives_on(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "_DRAIN_S", 0.5)
    # A fork has the channel open too: its end alone is not the worker's.
    worker = start("""
        channel = Upward()
        if os.fork() == 0:
            time.sleep(3600)
        channel.send("forked")
        os._exit(3)
    """)
    assert [event["event"] for event in everything(worker)] == ["forked"]
    assert worker.wait(PATIENCE_S)
    assert worker.epitaph() == "the worker exited with status 3"
