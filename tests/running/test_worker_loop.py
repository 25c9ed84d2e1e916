"""What a worker does when it is told to, and what it tells."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jacbench.core.cell import Cell
from jacbench.running.settings import Settings
from jacbench.running.worker_process import Worker
from jacbench.workers import channel
from tests.runs import PROBLEM, pytest_in

CELLS = [
    Cell(PROBLEM, "jacobian", f"numpy.{name}", "numpy", "cpu", "float64", 1)
    for name in ("analytic", "complex-step")
]


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    """A worker for two cells."""
    worker = Worker(CELLS, Settings(budget_s=0.02, visits=3), tmp_path / "worker")
    yield worker
    worker.kill()


def until(worker: channel.Downward, kind: str) -> list[dict[str, Any]]:
    """Return the events up to the first of a kind."""
    events: list[dict[str, Any]] = []
    end = time.monotonic() + 60
    while not events or events[-1]["event"] != kind:
        event = worker.receive(0.1)
        if event is not None:
            events.append(event)
        assert time.monotonic() < end
        assert not worker.ended(), worker.epitaph()
    return events


def test_cells_have_their_turns_in_any_order_and_as_often_as_told(worker: Worker) -> None:
    (ready,) = until(worker, "ready")
    assert ready["too_early"] == []
    told = []
    for number, cell in enumerate([CELLS[1], CELLS[0], CELLS[1], CELLS[1], CELLS[0]]):
        worker.send(do="visit", cell=cell.key, visit=number)
        events = until(worker, "done")
        assert {event["cell"] for event in events} == {cell.key}
        done, timed = events[-1], next(e for e in events if e["event"] == "timed")
        assert (done["visit"], done["failure"]) == (number, None)
        assert "measured_cores" in done["settings"]["numpy"]
        assert len(timed["samples"]) >= 2
        assert all(seconds > 0 for seconds in timed["samples"])
        assert timed["cpu_s"] > 0
        assert timed["device_s"] is None
        told.append([event["event"] for event in events])
    first = ["start", "settled", "timing", "asking-again", "timed", "done"]
    later = [kind for kind in first if kind != "settled"]
    assert told == [first, first, later, later, later]
    worker.send(do="memory", cell=CELLS[0].key)
    assert [event["event"] for event in until(worker, "memory")] == ["memory-start", "memory"]
    worker.send(do="end")
    assert worker.wait(30)


def test_worker_ends_with_its_driver(worker: Worker) -> None:
    until(worker, "ready")
    worker.no_more()
    assert worker.wait(30)


def test_peak_of_a_cell_that_this_worker_has_not_settled(worker: Worker) -> None:
    until(worker, "ready")
    worker.send(do="memory", cell=CELLS[0].key)
    assert [event["event"] for event in until(worker, "memory")] == ["memory-start", "memory"]
    worker.send(do="visit", cell=CELLS[0].key, visit=0)
    assert "timed" in [event["event"] for event in until(worker, "done")]


def test_processors_that_are_not_there_are_one_line(tmp_path: Path) -> None:
    words = ("-q", "--pyargs", "jacbench.suite", "--jacbench-cpus", "first")
    done = pytest_in(tmp_path, *words, "--jacbench-problem", PROBLEM)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert (done.stdout + done.stderr).count("--cpus 'first': give processors such as 0,2-3") == 1
