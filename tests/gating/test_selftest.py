"""The self-test counts false alarms and power of the very gate, where the truth is known."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from rich.console import Console

from jacbench.core.cell import Cell, Verdict
from jacbench.core.errors import JacbenchError
from jacbench.core.progress import Quiet
from jacbench.gating import busy_neighbour, measurement, pytest_benchmark_rule, selftest
from jacbench.gating.decision import Decision, State
from jacbench.gating.gate import Asked
from jacbench.gating.record import Pair, Record, Subject
from jacbench.gating.selftest import LEVELS, SelfTest, self_test
from jacbench.gating.settings import GateSettings
from jacbench.gating.side import Side
from jacbench.measuring import statistics
from jacbench.measuring.statistics import Interval
from jacbench.reporting import selftest_report
from tests.gating.simulated import Event, FakeArm, Machine, Version, slower
from tests.gating.test_gate import schema_errors
from tests.samples import cell

CELLS = [cell("tiny.right", problem=f"a/{n}") for n in range(6)]
QUICK = GateSettings(launches=2, blocks=6, extensions=0)
OTHERS = [cell("numpy.analytic", problem=f"a/{n}") for n in range(6)]


@contextmanager
def simulated(machine: Machine, noise: float = 0.0) -> Iterator[list[Path]]:
    """Have a machine in place of workers, and of whole pytest-benchmark sessions."""
    rng = np.random.default_rng(1)
    sessions: list[Path] = []

    def arm(side: Side, settings: GateSettings, folder: Path) -> FakeArm:
        return FakeArm(machine, side)

    def session(cells: Sequence[Cell], side: Side, folder: Path) -> dict[str, float]:
        sessions.append(folder)
        return {one.key: 1e-4 * float(np.exp(rng.normal(0, noise))) for one in cells}

    with (
        mock.patch.object(measurement, "Arm", arm),
        mock.patch.object(pytest_benchmark_rule, "session", session),
        mock.patch.object(statistics, "RESAMPLES", 400),
    ):
        yield sessions


def self_tested(
    machine: Machine,
    chosen: Sequence[Cell] = CELLS,
    noise: float = 0.0,
    settings: GateSettings = QUICK,
    **parts: Any,
) -> SelfTest:
    """Run the self-test over cells of a simulated machine."""
    machine.cells = {"base": chosen, "head": chosen}
    with simulated(machine, noise):
        return self_test(Asked(), settings, Quiet(), **{"pairs": 12, "cells": 6, **parts})


def rate(found: SelfTest, quantity: str, injected: float, rule: str = "gate") -> dict[str, Any]:
    (one,) = (
        r for r in found.rates()
        if (r["rule"], r["quantity"], r["injected"]) == (rule, quantity, injected)
    )  # fmt: skip
    return one


# What it counts


def test_no_false_alarm_and_full_power_on_a_quiet_machine() -> None:
    slow = {("base", one): Version(prepare_s=lambda _: 0.1) for one in CELLS}
    slow |= {("head", one): slow["base", one] for one in CELLS}
    found = self_tested(Machine(slow, noise=0.01, launch_noise=0.001), settings=GateSettings())
    for quantity in ("time", "preparation"):
        none = rate(found, quantity, 0.0)
        assert (none["pairs"], none["flagged"], none["undecided"]) == (12, 0, 0)
        assert none["low"] == 0
        assert 0.2 < none["high"] < 0.3
        assert none["median_ratio"] == pytest.approx(1, abs=0.01)
    for level in LEVELS:
        one = rate(found, "time", level)
        assert one["pairs"] == one["flagged"] == 4
        assert one["median_ratio"] == pytest.approx(1 + level, abs=0.01)
    # A preparation may take 15 % longer.
    assert rate(found, "preparation", 0.2)["flagged"] == 4
    assert rate(found, "preparation", 0.05)["flagged"] == 0
    assert schema_errors(found.to_json(), "selftest") == []


def test_pytest_benchmarks_rule_beside_it() -> None:
    found = self_tested(Machine(), noise=0.0)
    rule = "--benchmark-compare-fail=median:5%"
    assert rate(found, "time", 0.0, rule)["flagged"] == 0
    assert rate(found, "time", 0.1, rule)["flagged"] == 12
    noisy = self_tested(Machine(), noise=0.2, pairs=36)
    alarms = rate(noisy, "time", 0.0, rule)
    assert alarms["flagged"] > 10
    assert rate(noisy, "time", 0.0)["flagged"] == 0


def test_sessions_are_as_many_as_repetitions_and_one_before() -> None:
    machine = Machine(cells={"base": CELLS, "head": CELLS})
    saved = []
    with simulated(machine) as sessions:
        self_test(
            Asked(), QUICK, Quiet(), pairs=13, cells=6,
            save=lambda found: saved.append(len(found.trials)),
        )  # fmt: skip
    assert [folder.name for folder in sessions] == ["plain-0", "plain-1", "plain-2", "plain-3"]
    assert len(saved) == 3
    assert saved == sorted(saved)
    assert machine.open == 0


def test_an_order_effect_is_measured() -> None:
    found = self_tested(Machine(second=1.29), pairs=6).order_effect()
    assert found is not None
    assert found.low < 1.29 < found.high * 1.01
    assert found.estimate == pytest.approx(1.29, rel=0.01)
    none = self_tested(Machine(), pairs=6).order_effect()
    assert none is not None
    assert none.estimate == pytest.approx(1, abs=0.01)


def test_an_interrupt_keeps_what_was_counted() -> None:
    def trouble(event: Event) -> None:
        if event.launch == 6 and event.what == "block":
            raise KeyboardInterrupt

    found = self_tested(Machine(trouble=trouble), pairs=600)
    assert found.trials
    assert schema_errors(found.to_json(), "selftest") == []
    assert selftest_report.rows(found.to_json())


# Which cells


def test_cells_of_each_backend_are_as_many() -> None:
    machine = Machine()
    found = self_tested(machine, [*CELLS, *OTHERS[:3]], cells=4, pairs=4)
    keys = {trial.cell for trial in found.trials}
    assert sum("tiny" in key for key in keys) == 2
    assert sum("numpy" in key for key in keys) == 2


def test_what_is_slow_or_wrong_is_left_out() -> None:
    versions = {
        ("head", CELLS[0]): slower(100.0),
        ("base", CELLS[1]): Version(verdict=lambda _: Verdict.DISAGREES),
        ("head", CELLS[2]): Version(prepare_s=lambda _: 5.0),
    }
    found = self_tested(Machine(versions), pairs=3)
    assert {trial.cell for trial in found.trials} == {one.key for one in CELLS[3:]}


def test_nothing_quick_is_one_line() -> None:
    versions = {("head", one): slower(100.0) for one in CELLS}
    with pytest.raises(JacbenchError, match="no cell whose call takes less than 5 ms"):
        self_tested(Machine(versions))


def test_cells_are_spread_over_the_list() -> None:
    many = [cell(problem=f"a/{n}") for n in range(10)]
    assert selftest._spread(many, 5) == many[::2]
    assert selftest._spread(many, 20) == many


def test_slow_downs_take_turns() -> None:
    levels = [
        [s.extra for s in selftest._subjects(CELLS[:3], set(), repetition) if s.extra]
        for repetition in range(3)
    ]
    assert levels[0] == list(LEVELS)
    assert {tuple(sorted(level)) for level in levels} == {LEVELS}
    assert len({tuple(level) for level in levels}) == 3
    spoilt = [s for s in selftest._subjects(CELLS[:3], {CELLS[1]}, 0) if s.spoilt]
    assert spoilt == [Subject(CELLS[1], spoilt=LEVELS[1])]


# One decision


def decision(state: State) -> Decision:
    return Decision(state, Interval(1.1, 1.0, 1.2), 40)


@pytest.mark.parametrize(
    ("first", "second", "flagged", "undecided"),
    [
        (State.PASS, None, False, False),
        (State.INCONCLUSIVE, None, False, True),
        (State.REGRESSION, State.REGRESSION, True, False),
        (State.REGRESSION, State.PASS, False, True),
        (State.REGRESSION, State.INCONCLUSIVE, False, True),
        (State.REGRESSION, None, False, True),
    ],
)
def test_a_trial_is_decided_as_the_gate_does(
    first: State, second: State | None, flagged: bool, undecided: bool
) -> None:
    again = None if second is None else decision(second)
    found = selftest._trial(Subject(CELLS[0]), "time", 0.1, decision(first), again)
    assert (found.flagged, found.undecided) == (flagged, undecided)
    assert found.pairs == (40 if second is None else 80)


def test_the_second_over_the_first() -> None:
    assert selftest._second_over_first(Pair(1.0, 2.0, base_first=True)) == 2.0
    assert selftest._second_over_first(Pair(1.0, 2.0, base_first=False)) == 0.5
    assert Record().blocks == []


# What is shown


def test_its_table() -> None:
    found = self_tested(Machine())
    rows = selftest_report.rows(found.to_json())
    assert rows[0][:6] == ("gate", "time", "none", "12", "0", "0.0 %")
    assert rows[1][:4] == ("gate", "time", "+5 %", "4")
    page = selftest_report.markdown(found.to_json())
    assert "| gate | time | none | 12 | 0 | 0.0 % | 0.0 % to 24.2 % | 0 |" in page
    assert "Order: the second of two identical blocks took" in page


def test_a_hostile_file_drives_neither_terminal_nor_page() -> None:
    found = self_tested(Machine(), pairs=1).to_json()
    found["rates"][0]["rule"] = "\x1b[2J<b>|x|\n# y"
    page = selftest_report.markdown(found)
    assert "<b>" not in page
    assert "\x1b" not in page
    assert "\n# y" not in page
    console = Console(file=io.StringIO(), width=200)
    console.print(selftest_report.terminal(found))
    stream: Any = console.file
    assert "\x1b" not in stream.getvalue()


def test_nothing_found_is_shown_too() -> None:
    empty = SelfTest(0, GateSettings())
    assert schema_errors(empty.to_json(), "selftest") == []
    assert selftest_report.rows(empty.to_json()) == []
    assert selftest_report.lines(empty.to_json())


# Neighbours


def test_neighbours_end_with_the_block() -> None:
    started = []
    real = busy_neighbour.subprocess.Popen

    def popen(*words: Any, **parts: Any) -> Any:
        started.append(real(*words, **parts))
        return started[-1]

    with mock.patch.object(busy_neighbour.subprocess, "Popen", popen), ExitStack() as stack:
        stack.enter_context(pytest.raises(RuntimeError))
        stack.enter_context(busy_neighbour.neighbours(2))
        assert [process.poll() for process in started] == [None, None]
        raise RuntimeError
    assert [process.returncode for process in started] == [-9, -9]
