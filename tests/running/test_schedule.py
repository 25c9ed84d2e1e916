"""A budget holds, goes where intervals are widest, and says how it ended."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import pytest

import jacbench as jb
from jacbench import Verdict
from jacbench.core.cell import Cell, CellResult
from jacbench.core.progress import Quiet
from jacbench.results.run import Stretch
from jacbench.running import account, ledger, schedule, time_budget
from jacbench.running.backend_worker import Shop
from jacbench.running.settings import Settings
from tests import samples
from tests.runs import PROBLEM, environment, jacbench, strict, tiny_site


class Clock:
    """Time that passes only where somebody works."""

    now = 0.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(account.time, "monotonic", lambda: clock.now)
    return clock


class Crew:
    """Cells with a cost and a spread of their own, and no process."""

    def __init__(self, cells: list[Cell], shop: Shop, clock: Clock, **costs: float) -> None:
        self.cells, self.shop, self.clock = cells, shop, clock
        self.settle_s, self.visit_s = costs.get("settle_s", 1.0), costs.get("visit_s", 0.25)
        self.spread: dict[Cell, float] = {}
        self.prepared: set[Cell] = set()
        self.visited: list[Cell] = []
        self.remembered: list[Cell] = []
        self.given_up = False
        self.started = True
        self.rng = random.Random(0)  # noqa: S311

    def has_settled(self, cell: Cell) -> bool:
        return cell in self.prepared

    def visit(self, cell: Cell, number: int) -> Any:
        self.visited.append(cell)
        if cell not in self.prepared:
            self.clock.now += self.settle_s
            self.prepared.add(cell)
            self.shop.tally.settle(cell, CellResult(cell=cell, verdict=Verdict.AGREES))
            self.shop.budget.learn("settling", cell, self.settle_s)
        self.clock.now += self.visit_s
        self.shop.budget.learn("visit", cell, self.visit_s)
        spread = self.spread.get(cell, 0.0)
        times = [1e-3 * (1 + spread * self.rng.random()) for _ in range(9)]
        self.shop.tally.stretches.setdefault(cell, []).append(Stretch(samples=times))
        return iter(())

    def measure_memory(self, cell: Cell) -> Any:
        self.remembered.append(cell)
        return iter(())

    def kill(self) -> None:
        self.prepared.clear()


SEEDED = random.Random(1)  # noqa: S311


def shop(cells: list[Cell], **settings: Any) -> Shop:
    chosen = Settings(**{"budget_s": 0.75, "visits": 3, **settings})
    spent = account.Account()
    learnt = ledger.Tally(cells, chosen, spent)
    return Shop(chosen, learnt, spent, time_budget.Budget(chosen, spent), Quiet(), Path())


CELLS = [samples.cell(f"torch.{name}") for name in "abcdef"]


def driven(clock: Clock, cells: list[Cell], *, spread: float = 0.0, **settings: Any) -> Crew:
    place = shop(cells, **settings)
    crew = Crew(cells, place, clock)
    crew.spread = {cells[0]: spread}
    for _ in schedule.Rounds([crew], place, SEEDED).run():
        pass
    return crew


def test_without_a_budget_every_cell_has_its_visits(clock: Clock) -> None:
    crew = driven(clock, CELLS)
    assert len(crew.visited) == 18
    assert {frozenset(crew.visited[i : i + 6]) for i in (0, 6, 12)} == {frozenset(CELLS)}
    assert crew.remembered == CELLS
    assert crew.shop.tally.ending is None


@pytest.mark.parametrize("total", [2.0, 4.0, 7.0, 10.0, 20.0])
def test_no_visit_is_started_that_is_not_expected_to_fit(clock: Clock, total: float) -> None:
    crew = driven(clock, CELLS, total_s=total, spread=0.5)
    # The first turn's cost can only be guessed; every later one is known.
    assert clock.now <= total
    visits = {cell: crew.visited.count(cell) for cell in CELLS}
    # Whole rounds first: nobody has a second visit before each that fits has had its first.
    had = sum(count > 0 for count in visits.values())
    assert len(set(crew.visited[:had])) == had
    run = crew.shop.tally.run()
    for result in run.cells:
        if visits[result.cell]:
            assert result.visits == visits[result.cell]
        else:
            assert result.verdict is Verdict.NOT_RUN
            told = f"the budget of {total:g} s was spent: allow more with --budget"
            assert result.reason == told
    assert run.ok
    assert not run.interrupted


def test_what_is_left_goes_where_the_interval_is_widest(clock: Clock) -> None:
    crew = driven(clock, CELLS, total_s=25.0, spread=0.5)
    extra = crew.visited[18:]
    assert len(extra) > 30
    # The others have no spread at all: their intervals have no width.
    assert set(extra) == {CELLS[0]}
    assert crew.shop.tally.ending is not None
    assert crew.shop.tally.ending.startswith("the budget of 25 s was spent: intervals wider than ")


def test_two_wide_cells_take_turns(clock: Clock) -> None:
    place = shop(CELLS, total_s=30.0)
    crew = Crew(CELLS, place, clock)
    crew.spread = {CELLS[0]: 0.5, CELLS[1]: 0.4}
    for _ in schedule.Rounds([crew], place, SEEDED).run():
        pass
    extra = crew.visited[18:]
    assert set(extra) == set(CELLS[:2])
    assert all(one != other for one, other in itertools.pairwise(extra))


def test_the_widest_interval_is_visited_first(clock: Clock) -> None:
    place = shop(CELLS, total_s=30.0)
    crew = Crew(CELLS, place, clock)
    crew.spread = {CELLS[0]: 0.05, CELLS[1]: 0.9, CELLS[2]: 0.2}
    for _ in schedule.Rounds([crew], place, SEEDED).run():
        pass
    extra = crew.visited[18:]
    assert extra[0] == CELLS[1]
    assert extra.count(CELLS[1]) >= extra.count(CELLS[2]) >= extra.count(CELLS[0])


def test_each_round_has_an_order_of_its_own(clock: Clock) -> None:
    crew = driven(clock, CELLS, visits=6, budget_s=1.5)
    orders = {tuple(crew.visited[i : i + 6]) for i in range(0, 36, 6)}
    assert {frozenset(order) for order in orders} == {frozenset(CELLS)}
    assert len(orders) > 2


def test_narrow_intervals_end_a_run_before_its_budget(clock: Clock) -> None:
    crew = driven(clock, CELLS, total_s=1000.0)
    assert len(crew.visited) == 18
    told = "every interval is narrower than 1 %: 990 s were left of the budget of 1000 s"
    assert crew.shop.tally.ending == told


def test_cells_of_a_backend_without_a_worker_have_no_turn(clock: Clock) -> None:
    place = shop(CELLS)
    crew = Crew(CELLS, place, clock)
    crew.given_up = True
    list(schedule.Rounds([crew], place, SEEDED).run())
    assert (crew.visited, crew.remembered) == ([], [])


# With workers


def test_budget_of_a_real_run(tmp_path: Path) -> None:
    words = ["run", "basics/*", "--method", "numpy.*", "--cell-seconds", "0.06"]
    for total_s in (4, 20, 100):
        done = jacbench(*words, "--budget", f"{total_s}", "--json", "-", cwd=tmp_path)
        block = strict(done.stdout)
        assert (done.returncode, block["interrupted"]) == (0, False)
        assert {c["verdict"] for c in block["cells"]} <= {"agrees", "unsupported", "not run"}
        assert block["ending"]
        assert block["options"]["total_s"] == total_s
        spent = block["seconds"]
        assert sum(spent[name] for name in spent if name != "wall") == pytest.approx(
            spent["wall"], abs=0.01
        )
        timed = [c for c in block["cells"] if c["median_s"]]
        known = [c for c in timed if c["low_s"] is not None]
        assert all(c["low_s"] <= c["median_s"] <= c["high_s"] for c in known)
        assert all(c["cautions"] for c in timed if c not in known)
        if timed:
            return
        # on a busy machine the start of the worker alone may take all of it, and that is told
        assert f"the budget of {total_s} s was spent" in block["ending"]
    pytest.fail("100 s leave no time for one visit of 20 ms")


def test_method_that_outlasts_the_budget_has_no_fault(tmp_path: Path) -> None:
    words = ["run", PROBLEM, "--method", "faulty.sleeps", "--budget", "2", "--json", "-"]
    done = jacbench(*words, cwd=tmp_path, env=environment(tiny_site()))
    (cell,) = strict(done.stdout)["cells"]
    assert done.returncode == 0
    told = "the budget of 2 s was spent: allow more with --budget"
    assert (cell["verdict"], cell["reason"]) == ("not run", told)


def test_budget_of_an_object_is_refused() -> None:
    own = jb.Problem(name="mine/square", function=lambda xp, x: x * x, x=[1.0, 2.0])
    for more in ({"total_s": 5.0}, {"threads": [1, 2]}):
        with pytest.raises(jb.JacbenchError, match="only workers have that: leave it out"):
            jb.run(own, methods=["numpy.complex-step"], **more)
