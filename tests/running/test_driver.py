"""Several backends side by side: the same verdicts, one clock at a time, every round whole."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

import jacbench as jb
from jacbench import Verdict
from jacbench.core.cell import Cell
from jacbench.running import driver
from jacbench.running.worker_process import Worker
from tests.driving import TWO_BACKENDS, Watched, watch
from tests.runs import PROBLEM

SEVERAL = (PROBLEM, "awkward/item-branch", "awkward/integer-input", "wrt/several-inputs")


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> type[Watched]:
    return watch(monkeypatch)


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
