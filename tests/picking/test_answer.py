"""An answer as JSON: without NaN, and as its schema says."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from jacbench.core.progress import Quiet
from jacbench.measuring.deadline import Deadline
from jacbench.measuring.statistics import Interval
from jacbench.picking.options import PickOptions
from jacbench.picking.racing.contest import Contest
from tests.picking.simulated import Planted, SimulatedBench
from tests.reporting.test_pick_report import SLOWER, A, B, answer, row
from tests.results.test_run import schema_errors
from tests.runs import strict


def errors(block: dict[str, Any]) -> list[str]:
    return schema_errors(block, "pick")


def written(given):
    return strict(json.dumps(given.to_json(), allow_nan=False))


def complete(**parts):
    """Return an answer with a fingerprint, as a real one has."""
    keys = ("machine", "versions", "settings", "load")
    return answer(row("a"), SLOWER, fingerprint={key: {} for key in keys}, **parts)


def test_an_answer_reads_its_own_rows():
    given = answer(row("a"), row("b", "equal"), SLOWER)
    assert (given.method, given.operator, given.chunk_size) == ("a", "jacobian", None)
    assert given.equals == [B]
    assert given.row(A) is given.best


def test_json_is_as_the_schema_says():
    block = written(complete(today=B, speedup=Interval(5.0, 4.8, 5.2), calls=3))
    assert not errors(block)
    assert block["rows"][0]["format"] == "dense"


def test_what_is_not_finite_is_null():
    nan = Interval(math.inf, math.nan, math.nan)
    lost = replace(SLOWER, ratio=nan, call_s=math.inf)
    given = replace(complete(speedup=nan, today=B), rows=(row("a"), lost))
    block = written(given)
    assert not errors(block)
    assert block["speedup"] == {"estimate": None, "low": None, "high": None}
    assert block["rows"][1]["call_s"] is None


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2},
        {"surprise": 1},
        {"format": "coo"},
        {"picks": {}},
        {"rows": [{}]},
        {"speedup": {"estimate": 2.0}},
        {"threads": 0},
    ],
)
def test_the_schema_refuses_what_is_wrong(change):
    assert errors({**written(complete()), **change})


def test_rows_of_a_contest_are_as_the_schema_says():
    planted = [
        Planted("a", 1e-5),
        Planted("far", 1e-3),
        Planted("lost", 1.02e-5, lost_at=2),
        Planted("c", 2e-5, compiled=True, start_s=3.0),
        Planted("no", reason="needs a batch"),
        Planted("s", 1e-6, operator="sparse_jacobian", structure="sparse"),
    ]
    bench = SimulatedBench(*planted)
    options = PickOptions(today="far", compile=True)
    made = Contest(
        [bench], {"sim": 1e-5}, {"reverse": 2, "forward": 2}, options, Deadline(60.0), Quiet()
    )
    made.run()
    given = replace(
        complete(),
        rows=made.rows(),
        picks=made.picks(),
        today=made.today(),
        speedup=made.speedup.ratio,
    )
    block = written(given)
    assert not errors(block)
    by_name = {r["method"]: r for r in block["rows"]}
    assert by_name["c"]["start_s"] == 3.0
    assert by_name["a"]["start_s"] is None
    assert by_name["lost"]["fate"] == "crashed"
    assert by_name["s"]["structure"] == "sparse"
    assert by_name["far"]["ratio"]["low"] > 90
    assert by_name["c"]["ratio"]["low"] is None
