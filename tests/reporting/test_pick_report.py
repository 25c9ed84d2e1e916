"""An answer as a person reads it: every line says what was found, and nothing drives a terminal."""

from __future__ import annotations

import dataclasses
import io
import math
from dataclasses import replace

import pytest
from rich.console import Console

from jacbench.core.cell import Cell, CellResult, Verdict
from jacbench.measuring.statistics import Interval
from jacbench.picking import assumptions
from jacbench.picking.answer import Answer, Row
from jacbench.picking.candidate import Candidate
from jacbench.reporting import pick_report


def row(method, fate="picked", *, median_s=1e-4, operator="jacobian", chunk=None, **parts):
    candidate = Candidate(operator, method, chunk)
    result = CellResult(
        cell=Cell("f", operator, method, "lib", "cpu", "float64", 1),
        verdict=Verdict.AGREES,
        error=2e-16,
        prepare_s=0.05,
        median_s=median_s,
        low_s=median_s and 0.99 * median_s,
        high_s=median_s and 1.02 * median_s,
        peak_bytes=2048,
    )
    known = {"backend": "lib", "result": result, "call_s": median_s or 3e-3}
    return Row(candidate=candidate, fate=fate, **{**known, **parts})


def answer(*rows, **parts):
    picks = {r.candidate.format: r.candidate for r in rows if r.fate == "picked"}
    known = {
        "name": "model.py:f",
        "kind": "JAX function",
        "m": 20,
        "n": 30,
        "device": "cpu",
        "dtype": "float64",
        "threads": 1,
        "picks": picks,
        "format": next(iter(picks)),
        "evidence": "two methods agree",
        "code": {form: ["import lib", "J = lib(f)(x)"] for form in picks},
        "seconds": {"starting": 1.0, "checking": 2.0, "memory": 0.01},
    }
    return Answer(rows=rows, **{**known, **parts})


def shown(given, width=200):
    out = io.StringIO()
    pick_report.show(given, Console(file=out, width=width))
    return out.getvalue()


A, B = Candidate("jacobian", "a"), Candidate("jacobian", "b")
SLOWER = row("b", "slower", median_s=5e-4, ratio=Interval(5.0, 4.9, 5.1))


def test_what_is_not_confirmed_is_said_before_any_number():
    lines = shown(answer(row("a"), doubt="it stops gradients: detach (f.py, line 3)")).splitlines()
    assert lines[2].strip() == "not confirmed: it stops gradients: detach (f.py, line 3)"
    assert not any(line.strip().startswith("right:") for line in lines)
    assert "  held against: error 2e-16; two methods agree" in lines


def test_the_answer_stands_first_then_its_tables_then_what_to_paste():
    text = shown(answer(row("a"), SLOWER, today=B, speedup=Interval(5.0, 4.8, 5.2)))
    lines = [line.strip() for line in text.splitlines()]
    assert lines[0] == "model.py:f: JAX function, Jacobian 20 x 30, float64, cpu, 1 thread"
    assert lines[2] == "a: 100 µs ± 2 %"
    assert lines[3] == "5 x faster than b (95 %: 4.8 x to 5.2 x)"
    assert "right: error 2e-16; two methods agree" in lines
    assert "To paste (the whole (m, n) matrix):" in lines
    assert lines.index("import lib") < lines.index("J = lib(f)(x)")
    assert lines[-1] == "3.0 s: 1.0 s starting workers, 2.0 s preparing and checking"


def test_what_is_used_today_is_said_whatever_became_of_it():
    told = list(pick_report.verdict(answer(row("a"), today=A, speedup=Interval(1.0, 1.0, 1.0))))
    assert told[1] == "that is what you use today"
    failed = row("b", "disagrees", reason="off by 2")
    told = list(pick_report.verdict(answer(row("a"), failed, today=B)))
    assert told[1] == "b, as used today: disagrees: off by 2"
    rough = Interval(3.0, math.nan, math.nan)
    told = list(pick_report.verdict(answer(row("a"), SLOWER, today=B, speedup=rough)))
    assert told[1] == "roughly 3 x faster than b (from the first calls alone)"
    rough = Interval(53.4, math.nan, math.nan)
    told = list(pick_report.verdict(answer(row("a"), SLOWER, today=B, speedup=rough, pairs=2)))
    assert told[1] == "roughly 50 x faster than b (from 2 pairs)"
    rough = Interval(1.1, math.nan, math.nan)
    told = list(pick_report.verdict(answer(row("a"), SLOWER, today=B, speedup=rough, pairs=1)))
    assert told[1] == "roughly as fast as b (from 1 pair)"


@pytest.mark.parametrize("estimate", [0.859, 1.1])
def test_what_no_interval_tells_from_today_is_not_called_faster(estimate):
    ratio = Interval(estimate, 0.566, 1.23)
    told = list(pick_report.verdict(answer(row("a"), SLOWER, today=B, speedup=ratio)))
    assert told[1] == "tied with b, as used today (95 %: 0.566 x to 1.23 x)"


def test_what_is_used_today_is_compared_in_its_own_form():
    sparse = row("s", operator="sparse_jacobian", median_s=1e-5)
    given = answer(row("a"), SLOWER, sparse, format="csr", today=B, speedup=Interval(5.0, 4.8, 5.2))
    told = list(pick_report.verdict(given))
    assert told[0].startswith("s: 10.0 µs")
    assert told[1].startswith("a: 5 x faster than b")


def test_another_form_is_said_to_be_faster_only_where_it_is():
    fast = row("s", operator="sparse_jacobian", median_s=1e-5)
    told = list(pick_report.verdict(answer(row("a"), fast)))
    assert told[1] == (
        "the entries that may be other than zero: s: 10.0 µs, 10 x faster than all of it"
    )
    slow = row("s", operator="sparse_jacobian", median_s=1e-3)
    assert "faster" not in list(pick_report.verdict(answer(row("a"), slow)))[1]


def test_equals_and_an_open_race_are_said():
    equal = row("b", "equal", ratio=Interval(1.0, 0.99, 1.01))
    told = list(pick_report.verdict(answer(row("a"), equal, decided=False)))
    assert told[1] == "tied with b"
    assert told[2] == "undecided: the race was cut short: give --time-limit more"
    assert " tied" in shown(answer(row("a"), equal))


def test_what_was_not_measured_is_counted_and_a_limit_that_would_do_is_named():
    late = [row("b", "no time", reason="late"), row("c", "open"), row("d", "not tried", reason="x")]
    told = list(pick_report.verdict(answer(row("a"), *late, decided=False, enough_s=60.0)))
    assert told[1] == "undecided: 2 methods were not measured: give --time-limit 60"
    given = answer(row("a"), late[0], decided=False, enough_s=300.0, scarce="compile")
    assert "undecided: 1 method was not measured: give --compile-limit 300" in shown(given)


def test_a_pick_that_is_slower_than_today_would_be_said_to_be():
    ratio = Interval(0.5, 0.4, 0.6)
    told = list(pick_report.verdict(answer(row("a"), SLOWER, today=B, speedup=ratio, pairs=6)))
    assert told[1].startswith("2 x slower than b")


def test_the_start_of_a_compiler_stands_apart_once_for_a_library():
    compiled = [
        row("c", start_s=9.2, backend="torch"),
        row("d", "slower", start_s=0.1, backend="torch"),
        row("e", "failed", start_s=30.0, backend="other", reason="no"),
    ]
    assert list(pick_report.starts(answer(*compiled))) == [
        "Inductor's start, once per process: 9.20 s"
    ]
    assert "Inductor's start" in shown(answer(*compiled))
    assert not list(pick_report.starts(answer(row("a"))))


def test_the_same_reason_is_given_once():
    rows = [row("a"), *(row(name, "unsupported", reason="no batch") for name in "bc")]
    assert list(pick_report.left_out(answer(*rows))) == ["unsupported: b, c: no batch"]


def test_without_figures_times_are_rough():
    rough = row("a", median_s=None)
    assert next(pick_report.verdict(answer(rough))) == "a: 3.00 ms (roughly)"
    shown(answer(rough))
    assert shown(answer(replace(rough, result=None)))


def test_a_pick_without_code_is_shown():
    assert "To paste" not in shown(answer(row("a"), code={}))


@pytest.mark.parametrize("where", ["name", "kind", "evidence", "notes", "code", "reason"])
def test_control_characters_do_not_reach_the_terminal(where):
    bad = "say \x1b[31m \x07 \x9b2J"
    parts = {
        "notes": {"notes": (bad,)},
        "code": {"code": {"dense": [bad]}},
        "reason": {},
    }.get(where, {where: bad})
    rows = [row("a"), row("b", "failed", reason=bad if where == "reason" else "no")]
    text = shown(answer(*rows, **parts))
    assert not set(text) & set("\x1b\x07\x9b")
    assert "say �[31m" in text


def test_markup_in_a_name_is_text():
    assert "[bold]f[/]" in shown(answer(row("a"), name="[bold]f[/]", notes=("[red]",)))


def test_lines_to_paste_are_not_broken():
    line = "J = " + " + ".join(["x"] * 200)
    assert line in shown(answer(row("a"), code={"dense": [line]}), width=40)


# --- what a structure rests on ---


def test_a_pattern_is_told_with_its_caveat():
    notes = {
        "pattern": "probing",
        "nnz": 34,
        "colours": 3,
        "compressed_by": "columns",
        "caveat": "a coupling that is dead at both points is not seen",
        "pattern_because": "asdex: is not installed",
    }
    shared = [(name, "sparse", notes) for name in ("lib.coloured", "lib.coloured-csr")]
    names = "lib.coloured, lib.coloured-csr"
    assert assumptions.lines(shared) == [
        f"{names}: by a pattern of 34 places, found by random products, in 3 passes over columns",
        f"{names}: asdex: is not installed",
        f"{names}: a coupling that is dead at both points is not seen",
    ]
    (told,) = assumptions.told("sparse", {"pattern": "given", "nnz": 1, "colours": 1})
    assert told == "by a pattern of 1 places, as the problem gives them, in 1 pass"


def test_a_bottleneck_is_told_with_its_place():
    (told,) = assumptions.told("bottleneck", {"k": 16, "cut": "tanh (16,)", "constant": "Jg"})
    assert told == "through the 16 values at tanh (16,); Jg does not depend on x"


def test_a_method_without_structure_says_nothing():
    assert not list(assumptions.told("", {"way": "rows", "samples": 3}))


def test_the_share_of_a_call_that_is_the_guards_stands_beside_its_time():
    guarded = row("s", operator="sparse_jacobian")
    result = dataclasses.replace(guarded.result, notes={"guard_cost": 1.25})
    told = list(pick_report.verdict(answer(row("a"), dataclasses.replace(guarded, result=result))))
    assert ": s: 100 µs, of which the guard about 20 %" in told[1]
    assert not any("guard" in line for line in pick_report.verdict(answer(row("a"), guarded)))
