"""What a person reads of a sweep."""

from __future__ import annotations

import io
import math
import re
from dataclasses import replace

import pytest
from rich.console import Console

from jacbench.core.cell import Verdict
from jacbench.measuring.statistics import Interval
from jacbench.reporting import sweep_report
from jacbench.sweeping.crossover import Crossover
from jacbench.sweeping.outcome import Sweep
from tests.sweeping.simulated import law, swept

LAWS = {
    "numpy.analytic": law(1e-7, 1.0),
    "jax.a": law(1e-6, 1.0),
    "jax.b": law(1e-5, 0.5),
    "torch.a": law(1e-5, 2.0, until=1000),
    "torch.b": lambda _: Verdict.UNSUPPORTED,
    "torch.c": lambda _: Verdict.UNSUPPORTED,
}


def shown(found: Sweep, width: int = 150) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(sweep_report.terminal(found, console))
    stream = console.file
    assert isinstance(stream, io.StringIO)
    return stream.getvalue()


@pytest.fixture(scope="module")
def mixed() -> Sweep:
    return swept(LAWS)


def test_the_table(mixed: Sweep) -> None:
    text = shown(mixed)
    assert text.splitlines()[0].rstrip() == "shape/square, cpu, float64, 1 thread"
    rows = [line.split() for line in text.splitlines() if re.match(r"\s*\w+\.\w+ +\d", line)]
    # Those that come furthest first, by the time there.
    assert [row[0] for row in rows] == ["numpy.analytic", "jax.b", "jax.a", "torch.a"]
    assert "16.0 µs" in text
    assert "too large" in text
    assert "1.00 ± 0.00" in text
    assert "n^p" in text


def test_who_wins(mixed: Sweep) -> None:
    text = shown(mixed)
    line = "jax.a wins below n = 100 (95 %: 100 to 100) on this machine, jax.b above\n"
    assert f"of all methods: {line}" in text
    assert "within" not in text  # the winners are of one library


def test_reasons_are_told_once(mixed: Sweep) -> None:
    lines = shown(mixed, 200).splitlines()
    (unsupported,) = (line for line in lines if "unsupported" in line)
    assert unsupported.startswith("torch.b, torch.c: unsupported at every size: as told of ")
    (large,) = (line for line in lines if line.startswith("torch.a: too large"))
    assert large.startswith("torch.a: too large from n = 1024: as told of shape/square[n=1024]")


def test_a_hole_is_told_by_its_sizes() -> None:
    def holed(x: float) -> float | Verdict:
        return Verdict.TIMED_OUT if x in (32, 128) else 1e-6

    text = shown(swept({"jax.a": holed}))
    assert "jax.a: timed out at n = 32, 128: as told of" in text
    assert "jax.a is fastest, or not told from the fastest, on this machine, n = 16 to 4096" in text


def test_without_crossing_times() -> None:
    laws = {"jax.a": law(1e-6, 1.0, until=500), "jax.b": law(5e-6, 1.0)}
    text = shown(swept(laws))
    assert "jax.a wins up to n = 256 on this machine, and jax.b from the next size" in text


@pytest.mark.parametrize(
    ("at", "told"),
    [
        (Interval(130.2, 110.4, 150.0), "n = 130 (95 %: 110 to 150)"),
        (Interval(1300.4, 0.0, 1500.0), "n = 1300 (95 %: below 16 to 1500)"),
        (Interval(20.0, 18.25, math.inf), "n = 20 (95 %: 18.2 to above 4096)"),
        (Interval(0.5, 0.25, 0.75), "n = 0.5 (95 %: 0.25 to 0.75)"),
    ],
)
def test_a_crossover_in_words(at: Interval, told: str) -> None:
    one = Crossover(below="jax.a", above="jax.b", at=at, window=(16, 4096))
    line = sweep_report.told(one, "n", 64)
    assert line == f"jax.a wins below {told} on this machine, jax.b above"


@pytest.mark.parametrize("width", [45, 60, 100, 150])
def test_a_narrow_terminal_has_fewer_sizes(mixed: Sweep, width: int) -> None:
    text = shown(mixed, width)
    table = text[: text.index("wins below")]
    assert "n = 4096" in table
    assert ("n = 32" in table) is (width == 150)
    assert ("memory ~" in table) is (width > 45)
    assert "…" not in table


def test_nothing_drives_the_terminal(mixed: Sweep) -> None:
    hostile = replace(mixed.plan, problem="\x1b[2J[bold]x[/bold]")
    text = shown(replace(mixed, plan=hostile))
    assert "\x1b" not in text
    assert "[bold]x[/bold]" in text


def test_no_times_at_all() -> None:
    text = shown(swept({"jax.a": lambda _: Verdict.NOT_RUN}))
    assert "jax.a: not run at every size" in text
    assert "wins" not in text


def test_each_library_is_told_where_it_does_not_win() -> None:
    laws = {"torch.a": law(1e-9, 0.5), "jax.a": law(1e-6, 1.0), "jax.b": law(1e-5, 0.5)}
    text = shown(swept(laws))
    assert "of all methods: torch.a is fastest" in text
    assert "within jax: jax.a wins below n = 100" in text
    assert "within torch" not in text


def test_cells_without_a_turn_are_told_before_who_wins() -> None:
    def cut(x: float) -> float | Verdict:
        return 1e-6 if x < 100 else Verdict.NOT_RUN

    lines = shown(swept({"jax.a": cut, "jax.b": law(1e-6, 1.0)})).splitlines()
    (gap,) = (i for i, line in enumerate(lines) if "had no turn" in line)
    assert lines[gap].startswith("6 of 18 cells had no turn: who wins is told of those that had")
    assert "wins" in lines[gap + 1]
