"""pytest-benchmark's own rule beside the self-test: what it flags, and its sessions."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from jacbench.core.errors import JacbenchError
from jacbench.gating import pytest_benchmark_rule
from jacbench.gating.side import interpreter
from tests.gating.simulated import ONE

BEFORE = {"a": 1.0, "b": 2.0, "c": 3.0}


@pytest.mark.parametrize(
    ("after", "change", "flags"),
    [
        (BEFORE, 0.0, [False, False, False]),
        ({"a": 1.04, "b": 2.0, "c": 3.0}, 0.0, [False, False, False]),
        ({"a": 1.06, "b": 2.0, "c": 3.0}, 0.0, [True, False, False]),
        ({"a": 0.5, "b": 2.2, "c": 2.9}, 0.0, [False, True, False]),
        (BEFORE, 0.1, [True, True, True]),
        ({"a": 0.9, "b": 2.0, "c": 3.0}, 0.1, [False, True, True]),
        (BEFORE, 0.04, [False, False, False]),
        ({"a": 1.02, "b": 1.9, "c": 3.0}, 0.04, [True, False, False]),
    ],
)
def test_five_percent_of_the_median(
    after: dict[str, float], change: float, flags: list[bool]
) -> None:
    assert pytest_benchmark_rule.flagged(BEFORE, after, change) == flags


def test_what_one_session_lacks_is_not_counted() -> None:
    assert pytest_benchmark_rule.flagged(BEFORE, {"b": 9.0, "d": 1.0}) == [True]


def test_a_session_without_results_is_one_line(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho first\necho 'ERROR: no'\nexit 4\n", encoding="utf-8")
    python.chmod(0o755)
    side = replace(interpreter("head", None), python=str(python))
    with pytest.raises(JacbenchError, match=r"^pytest-benchmark gave no results: ERROR: no$"):
        pytest_benchmark_rule.session([ONE], side, tmp_path / "session")
    assert side.python != sys.executable
