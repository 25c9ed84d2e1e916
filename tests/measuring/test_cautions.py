"""What is said beside a time, and when nothing is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from jacbench.core.cell import CellResult
from jacbench.measuring import cautions, statistics
from jacbench.results import run
from jacbench.results.run import Stretch
from tests import samples

QUIET = samples.agrees(median_s=1e-4, low_s=0.99e-4, high_s=1.01e-4, cpu_s=0.95e-4)


def said(mean_s: float = 1e-4, **parts: Any) -> tuple[str, ...]:
    return cautions.of(replace(QUIET, **parts), mean_s=mean_s)


def on(**parts: Any) -> Any:
    return replace(QUIET.cell, **parts)


def test_nothing_is_said_of_a_quiet_cell() -> None:
    assert said() == ()
    assert said(cpu_s=None) == ()
    assert said(low_s=0.901e-4, high_s=1.10e-4) == ()


def test_wide_interval() -> None:
    (told,) = said(low_s=0.9e-4, high_s=1.13e-4)
    assert told == "the interval is 23 % wide: give it more time with --budget"


def test_busy_machine() -> None:
    (told,) = said(cpu_s=0.71e-4)
    assert told == "the machine was busy: the process had 71 % of a core"
    # Against the mean of all rounds, as the CPU time is: a disturbed round has its share in both.
    assert said(cpu_s=0.71e-4, mean_s=0.75e-4) == ()
    # Threads wait for each other, and a GPU is waited for.
    assert said(cpu_s=0.71e-4, cell=on(threads=2)) == ()
    assert said(cpu_s=0.71e-4, cell=on(device="cuda:0")) == ()


def test_device_that_tells_another_time() -> None:
    where = {"cell": on(device="cuda:0"), "median_s": 40e-6, "low_s": 40e-6, "high_s": 40e-6}
    told = "the device was busy for 3 µs of 40 µs: most of the time is Python and launches"
    assert said(**where, device_s=3e-6) == (told,)
    assert said(**where, device_s=30e-6) == ()
    (told,) = said(**where, device_s=50e-6)
    assert told.startswith("the device's clock says 50 µs and the wall's 40 µs")


def test_own_cautions_are_said_anew_and_others_stay() -> None:
    others = ("leaks 1.2 MiB a call", "torch used 2 cores where 1 was asked for")
    told = (
        *said(low_s=0.5e-4, cpu_s=1e-5),
        *said(cell=on(device="cuda:0"), device_s=1e-9),
        *said(cell=on(device="cuda:0"), device_s=1.0),
    )
    assert len(told) == 4
    assert cautions.without_own((*others, *told)) == others


# Figures of all visits


VISITS = [[1e-5 * (1 + 0.01 * ((7 * i + v) % 10)) for i in range(40)] for v in range(3)]


def pooled(result: CellResult = QUIET, **parts: Any) -> CellResult:
    stretches = [Stretch(samples=v, iterations=4, **parts) for v in VISITS]
    return run.pooled(run.untimed(result), stretches)


def test_figures_are_those_of_all_rounds() -> None:
    found = pooled(cpu_s=1e-5)
    every = np.concatenate(VISITS)
    interval = statistics.median_interval(VISITS)
    assert found.median_s == np.median(every) == interval.estimate
    assert (found.low_s, found.high_s) == (interval.low, interval.high)
    assert found.iqr_s == pytest.approx(np.subtract(*np.quantile(every, [0.75, 0.25])))
    assert (found.visits, found.rounds, found.iterations) == (3, 120, 4)
    assert found.cpu_s == pytest.approx(1e-5)
    assert (found.device_s, found.outliers, found.cautions) == (None, {}, ())


def test_an_outlier_is_counted() -> None:
    stretches = [Stretch(samples=[*VISITS[0], 1e-3])]
    assert run.pooled(QUIET, stretches).outliers == {"high_severe": 1}


def test_cpu_time_is_a_mean_over_calls_and_device_time_a_median_over_visits() -> None:
    stretches = [
        Stretch(samples=[1e-5] * 10, iterations=1, cpu_s=1e-5, device_s=3e-6),
        Stretch(samples=[1e-5] * 10, iterations=9, cpu_s=2e-5, device_s=1e-6),
        Stretch(samples=[1e-5], cpu_s=None, device_s=2e-6),
    ]
    found = run.pooled(QUIET, stretches)
    assert found.cpu_s == pytest.approx(1.9e-5)
    assert found.device_s == pytest.approx(2e-6)


def test_pooling_again_says_nothing_twice() -> None:
    leaky = replace(QUIET, cautions=("leaks 1.2 MiB a call",))
    once = pooled(leaky, cpu_s=1e-6)
    assert len(once.cautions) == 2
    assert pooled(once, cpu_s=1e-6) == once
    assert pooled(once, cpu_s=1e-5).cautions == leaky.cautions


def test_without_samples_there_is_no_figure() -> None:
    untimed = run.untimed(QUIET)
    assert run.pooled(untimed, []) == untimed
    assert run.pooled(untimed, [Stretch(samples=[])]) == untimed
    figures = ("median_s", "low_s", "high_s", "iqr_s", "cpu_s", "visits", "rounds")
    assert all(getattr(untimed, name) is None for name in figures)
