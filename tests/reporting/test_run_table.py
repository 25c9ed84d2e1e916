"""Tables rank what is comparable, show oracles apart, and show every name as plain text."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from hypothesis import given
from rich.console import Console

from jacbench.core.cell import CellResult, Verdict
from jacbench.measuring import cautions
from jacbench.reporting import run_table
from jacbench.results.run import Run
from tests import samples
from tests.samples import agrees

HOSTILE = "a\x1b[31m\x07\r\nb <b>|*_`[bold red]c[/]` \u202e\u200b\ud800"


def terminal(run: Run, *, timed: bool = True, width: int = 200) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width)
    console.print(run_table.terminal(run, console, timed=timed))
    return file.getvalue()


def shown(run: Run) -> list[dict[str, str]]:
    """Return the rows of the table of one problem, by column."""
    return [
        dict(zip((*run_table.COLUMNS, "verdict"), (*row.cells, row.verdict), strict=True))
        for row in run_table.rows(run.cells)
    ]


def refused(method: str, verdict: Verdict, reason: str) -> CellResult:
    return CellResult(cell=samples.cell(method), verdict=verdict, reason=reason)


def test_fastest_first_then_oracles_apart_then_what_has_no_time() -> None:
    run = samples.run(
        refused("torch.functional", Verdict.FAILED, "RuntimeError: no"),
        agrees("numpy.complex-step", 1e-6),
        agrees("torch.func.jacrev", 4e-5),
        agrees("numpy.analytic", 1e-5),
        agrees("jax.jacrev", 2e-5),
    )
    rows = shown(run)
    assert [row["method"] for row in rows] == [
        "jax.jacrev",
        "torch.func.jacrev",
        "numpy.complex-step",
        "numpy.analytic (floor)",
        "torch.functional",
    ]
    against_fastest = {row["method"]: row["x fastest"] for row in rows}
    assert against_fastest["jax.jacrev"] == "1.00"
    assert against_fastest["torch.func.jacrev"] == "2.00"
    # Oracles are not ranked, however fast; a failure has no figure at all.
    assert against_fastest["numpy.complex-step"] == against_fastest["numpy.analytic (floor)"] == ""
    assert rows[0]["x floor"] == "2.00"
    assert {v for k, v in rows[-1].items() if k not in ("method", "verdict")} == {""}
    text = terminal(run)
    order = [text.index(f"{row['method']} ") for row in rows]
    assert order == sorted(order)
    assert "torch.functional: failed: RuntimeError: no" in text


def test_no_time_beside_a_wrong_jacobian_whatever_a_file_says() -> None:
    wrong = replace(agrees("jax.jacrev", 1e-9), verdict=Verdict.DISAGREES, reason="edited")
    right, shown_wrong = shown(samples.run(wrong, agrees("torch.func.jacrev", 4e-5)))
    assert (right["method"], right["x fastest"]) == ("torch.func.jacrev", "1.00")
    assert (shown_wrong["median"], shown_wrong["verdict"]) == ("", "disagrees")


def test_floor_alone_is_not_ranked() -> None:
    (row,) = shown(samples.run(agrees("numpy.analytic")))
    assert row["method"] == "numpy.analytic (floor)"
    assert row["x fastest"] == ""


def test_narrow_terminal_loses_columns_and_no_verdict() -> None:
    run = samples.run(agrees(), agrees("numpy.analytic"))
    wide, narrow = terminal(run), terminal(run, width=70)
    assert "peak" in wide.splitlines()[1] + wide.splitlines()[2]
    assert max(map(len, narrow.splitlines())) <= 70
    for word in ("numpy.analytic (floor)", "10.0 µs", "1.0e-16", "agrees"):
        assert word in narrow


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0.99, 1.01, "1.0 %"),
        (0.97, 1.05, "4.0 %"),
        (0.99, 1.05, "-1.0/+5.0 %"),
        (0.70, 1.01, "-30/+1.0 %"),
        (1.0, 1.004, "0.2 %"),
        (1.0, 1.0, "0.0 %"),
        (0.95, 7.0, "-5.0/+600 %"),
        (None, 1.0, ""),
        (1.0, None, ""),
    ],
)
def test_half_the_interval_or_both_sides_of_a_skewed_one(
    low: float | None, high: float | None, text: str
) -> None:
    ends = {"low_s": low and low * 1e-5, "high_s": high and high * 1e-5}
    (row,) = shown(samples.run(agrees(**ends)))
    assert row["± 95 %"] == text


WIDE = "the interval is {} % wide: give it more time with --budget"


def test_each_caution_once_with_the_methods_it_is_said_of() -> None:
    run = samples.run(
        agrees("jax.jacrev", cautions=(WIDE.format(23), "leaks 1.2 MiB a call")),
        agrees("torch.func.jacrev", cautions=(WIDE.format(115),)),
        agrees("torch.functional", cautions=(WIDE.format(23),)),
        agrees("jax.jacfwd"),
    )
    wide = f"jax.jacrev, torch.functional, torch.func.jacrev: {WIDE.format('23 to 115')}"
    leak = "jax.jacrev: leaks 1.2 MiB a call"
    assert cautions.grouped(run.cells) == [wide, leak]
    lines = [line.strip() for line in terminal(run).splitlines()]
    assert lines.count(wide) == lines.count(leak) == 1
    assert lines.index(wide) > max(i for i, line in enumerate(lines) if "agrees" in line)
    assert leak in run_table.markdown(run).splitlines()


def test_no_caution_beside_a_cell_without_a_time() -> None:
    wrong = replace(agrees(cautions=("busy",)), verdict=Verdict.DISAGREES, reason="wrong")
    assert cautions.grouped([wrong]) == []


def test_cautions_are_shown_as_text() -> None:
    run = samples.run(agrees(cautions=(HOSTILE,)))
    for text in (terminal(run), run_table.markdown(run)):
        assert all(c.isprintable() or c == "\n" for c in text)
    assert "[bold red]c[/]" in terminal(run)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        ({}, ""),
        ({"timing": 1.0}, ""),
        ({"wall": 0.04}, "0.0 s"),
        (
            dict(zip(samples.SPENT, (200.0, 12.4, 80.2, 96.0, 4.0, 3.0), strict=True)),
            "3 min 20 s: 96 s timing, 80 s preparing and checking, 12 s starting workers, "
            "4.0 s memory, 3.0 s jacbench's own",
        ),
        (
            {"wall": 119.6, "settling": 119.4, "timing": 0.0},
            "2 min 0 s: 119 s preparing and checking",
        ),
    ],
)
def test_what_the_time_was_spent_on(seconds: dict[str, float], text: str) -> None:
    assert run_table.spent(samples.run(seconds=seconds)) == text


def test_check_shows_no_times() -> None:
    text = terminal(samples.run(agrees()), timed=False)
    assert "median" not in text
    assert "1.0e-16" in text


def test_one_table_for_each_problem_device_dtype_and_threads() -> None:
    first = agrees()
    others = [
        replace(first, cell=replace(first.cell, **changed))
        for changed in (
            {"problem": "other"},
            {"device": "cuda:0"},
            {"dtype": "float32"},
            {"threads": 2},
        )
    ]
    titles = [title for title, _ in run_table.groups(samples.run(first, *others))]
    assert titles == [
        "some/problem, 2 x 3, cpu, float64, 1 thread",
        "other, 2 x 3, cpu, float64, 1 thread",
        "some/problem, 2 x 3, cuda:0, float64, 1 thread",
        "some/problem, 2 x 3, cpu, float32, 1 thread",
        "some/problem, 2 x 3, cpu, float64, 2 threads",
    ]


def test_fall_back_is_told_beside_the_time() -> None:
    text = terminal(samples.run(agrees(notes={"fell_back": "ran eager: 1 graph break"})))
    assert "ran eager: 1 graph break" in text


def hostile_run() -> Run:
    result = agrees()
    cell = replace(result.cell, problem=HOSTILE, method=HOSTILE, device=HOSTILE, dtype=HOSTILE)
    return samples.run(replace(result, cell=cell), refused("x", Verdict.FAILED, HOSTILE))


def test_terminal_shows_names_as_text() -> None:
    text = terminal(hostile_run())
    assert "[bold red]c[/]" in text
    assert "<b>" in text
    assert all(c.isprintable() or c == "\n" for c in text)


def test_markdown_shows_names_as_text() -> None:
    text = run_table.markdown(hostile_run())
    assert "<b>" not in text
    assert "&lt;b&gt;\\|\\*\\_\\`" in text
    assert all(c.isprintable() or c == "\n" for c in text)
    # Every row still has as many cells as the head.
    rows = [line.replace("\\|", "") for line in text.splitlines() if line.startswith("|")]
    head, _ = run_table.glance(hostile_run())
    assert {row.count("|") for row in rows} == {len(run_table.COLUMNS) + 2, len(head) + 1}


@given(run=samples.runs)
def test_any_run_can_be_shown_without_control_characters(run: Run) -> None:
    for text in (terminal(run), run_table.markdown(run), run_table.summary(run)):
        assert all(c.isprintable() or c == "\n" for c in text)


def test_summary_counts_verdicts() -> None:
    run = samples.run(agrees(), agrees("jax.jacrev"), refused("x", Verdict.TIMED_OUT, "slow"))
    assert run_table.summary(run) == "3 cells: 2 agrees, 1 timed out"
    assert run_table.summary(samples.run()) == "0 cells: none"


def test_glance_names_the_fastest_of_each_library() -> None:
    run = samples.run(
        agrees("torch.func.jacrev", 4e-5),
        agrees("torch.grad-loop", 9e-5),
        agrees("jax.jacrev", 2e-5),
        replace(agrees("jax.jacfwd", 1e-9), verdict=Verdict.DISAGREES, reason="wrong"),
        refused("autograd.jvp", Verdict.FAILED, "RuntimeError: no"),
        agrees("numpy.analytic", 1e-6),
    )
    head, body = run_table.glance(run)
    assert head == ("fastest of each library", "torch", "jax", "autograd", "floor")
    ((_, *cells),) = body
    assert cells == ["func.jacrev 40.0 µs (x 2.00)", "jacrev 20.0 µs (fastest)", "", "1.00 µs"]
    assert "jacrev 20.0 µs (fastest)" in terminal(run)
    assert "| func.jacrev 40.0 µs (x 2.00) | jacrev 20.0 µs (fastest) |" in run_table.markdown(run)


# --- many tables, several operators ---


def of_problems(count: int) -> list[CellResult]:
    """Return a cell of each of ``count`` problems of two families."""
    untimed = agrees("jax.jacrev", None)
    names = [f"family{k % 2}/p{k}" for k in range(count)]
    return [replace(untimed, cell=replace(untimed.cell, problem=name)) for name in names]


def test_a_check_of_many_problems_counts_verdicts() -> None:
    few, many = of_problems(run_table.MANY), of_problems(run_table.MANY + 1)
    text = terminal(samples.run(*few), timed=False)
    assert all(f"{result.cell.problem}, 2 x 3" in text for result in few)
    assert "verdicts" not in text
    text = terminal(samples.run(*many), timed=False)
    assert "2 x 3" not in text
    rows = [line.split() for line in text.splitlines() if "agrees" in line]
    assert rows == [["family0", "jacobian", "7", "agrees"], ["family1", "jacobian", "6", "agrees"]]
    # what was timed is shown, however much it is
    assert "family0/p12, 2 x 3" in terminal(samples.run(*many), timed=True)


def test_each_reason_once_where_verdicts_are_counted() -> None:
    known = "forgets a factor (https://example.org/1)"
    odd = [
        replace(result, verdict=Verdict.KNOWN_FAULT, reason=known, error=None)
        for result in of_problems(4)[1:]
    ]
    vjp = replace(agrees("jax.vjp", None), verdict=Verdict.FAILED, reason="ValueError: no")
    vjp = replace(vjp, cell=replace(vjp.cell, operator="vjp", problem="family1/p1"))
    run = samples.run(*of_problems(1), *odd, vjp, *of_problems(run_table.MANY)[4:])
    text = terminal(run, timed=False)
    assert text.count(known) == 1
    assert text.index("failed: ValueError: no") < text.index(f"known fault: {known}")
    # the family stands beside its first operator alone
    assert "4 agrees, 2 known fault" in text
    assert [line.split()[:2] for line in text.splitlines() if "1 failed" in line] == [["vjp", "1"]]


def test_several_operators_are_counted_below_their_tables() -> None:
    vjp = agrees("jax.vjp", None)
    vjp = replace(vjp, cell=replace(vjp.cell, operator="vjp"))
    text = terminal(samples.run(agrees("jax.jacrev", None), vjp), timed=False)
    flowing = " ".join(text.split())
    assert "some/problem, 2 x 3, cpu, float64, 1 thread" in flowing
    assert "some/problem, vjp, 2 x 3, cpu, float64, 1 thread" in flowing
    counts = text[text.index("verdicts") :]
    assert [line.split() for line in counts.splitlines() if "agrees" in line] == [
        ["some", "jacobian", "1", "agrees"],
        ["vjp", "1", "agrees"],
    ]
    assert "verdicts" not in terminal(samples.run(agrees("jax.jacrev", None)), timed=False)


@pytest.mark.parametrize("count", [1, 20])
@pytest.mark.parametrize("verdict", [Verdict.FAILED, Verdict.UNSUPPORTED, Verdict.KNOWN_FAULT])
def test_reasons_are_shown_as_text_in_tables_and_counts(count: int, verdict: Verdict) -> None:
    results = [
        replace(result, verdict=verdict, reason=HOSTILE, error=None)
        for result in of_problems(count)
    ]
    text = terminal(samples.run(*results), timed=False)
    assert "[bold red]c[/]" in text
    assert "\x1b" not in text
    assert all(c.isprintable() or c == "\n" for c in text)


def test_a_known_fault_has_no_time_whatever_a_file_says() -> None:
    faulty = replace(agrees("jax.jacrev", 1e-9), verdict=Verdict.KNOWN_FAULT, reason="known")
    right, known = shown(samples.run(faulty, agrees("torch.func.jacrev", 4e-5)))
    assert (right["method"], right["x fastest"]) == ("torch.func.jacrev", "1.00")
    assert (known["median"], known["verdict"]) == ("", "known fault")


@pytest.mark.parametrize(
    ("operator", "floor"),
    [
        ("jacobian", "numpy.analytic"),
        ("value_and_jacobian", "numpy.analytic-value"),
        ("batch_jacobian", "numpy.analytic-batch"),
        ("vjp", "numpy.analytic-vjp"),
        ("jvp", "numpy.analytic-jvp"),
    ],
)
def test_every_operator_has_its_floor(operator: str, floor: str) -> None:
    results = [agrees(floor, 1e-6), agrees("jax.of-operator", 4e-6)]
    run = samples.run(*(replace(r, cell=replace(r.cell, operator=operator)) for r in results))
    contestant, last = shown(run)
    assert (contestant["x floor"], contestant["x fastest"]) == ("4.00", "1.00")
    assert (last["method"], last["x fastest"]) == (f"{floor} (floor)", "")
    head, ((_, *cells),) = run_table.glance(run)
    assert dict(zip(head[1:], cells, strict=True))["floor"] == "1.00 µs"


def test_inputs_without_effect_are_told_once_for_each_table() -> None:
    unused = [
        agrees(method, None, notes={"zero_columns": ["x['b']", "x['c\x1b']"]})
        for method in ("jax.jacrev", "torch.func.jacrev")
    ]
    text = terminal(samples.run(*unused), timed=False)
    assert text.count("x['b'], x['c�'] has no effect on the output") == 1
    assert "no effect" not in terminal(samples.run(agrees()), timed=False)


def test_a_file_without_intervals_has_no_column_for_them() -> None:
    whole = samples.agrees("jax.jacrev", low_s=9e-6, high_s=1.1e-5)
    for result, there in ((whole, True), (replace(whole, low_s=None, high_s=None), False)):
        file = io.StringIO()
        console = Console(file=file, width=200)
        console.print(run_table.terminal(samples.run(result), console, timed=True))
        head = next(line for line in file.getvalue().splitlines() if "x fastest" in line)
        assert (run_table.INTERVAL in head) == there
