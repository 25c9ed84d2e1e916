"""What cannot be measured with is refused before anything is measured, in one line."""

from __future__ import annotations

from typing import Any

import pytest

from jacbench.core.errors import JacbenchError
from jacbench.gating.settings import GateSettings


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"threads": 0}, "--threads 0: give a whole number of at least 1"),
        ({"launches": 1}, "--launches 1: give a whole number of at least 2"),
        ({"blocks": 0}, "--blocks 0: give a whole number of at least 2"),
        ({"blocks": 7}, "--blocks 7: give an even number, so that both are first as often"),
        ({"extensions": -1}, "--extensions -1: give a whole number of at least 0"),
        ({"time_limit_s": 0.0}, "--time-limit 0: give a number of seconds above 0"),
        ({"time_limit_s": float("nan")}, "--time-limit nan: give a number of seconds above 0"),
        ({"timeout_s": -3.0}, "--timeout -3: give a number of seconds above 0"),
        ({"timeout_s": float("inf")}, "--timeout inf: give a number of seconds above 0"),
        ({"memory": "much"}, "--memory 'much': give a size such as 2GiB or 500MB"),
    ],
)
def test_refusals(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(JacbenchError) as caught:
        GateSettings(**wrong)
    assert str(caught.value) == told


def test_the_least_that_is_allowed() -> None:
    GateSettings(launches=2, blocks=2, extensions=0, time_limit_s=0.1, memory="1GiB")
