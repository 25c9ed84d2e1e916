"""Seconds as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jacbench.core.units import format_seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (1.234e-9, "1.23 ns"),
        (9.995e-6, "10.0 µs"),
        (99.95e-6, "100 µs"),
        (999.4e-6, "999 µs"),
        (999.6e-6, "1.00 ms"),
        (0.5, "500 ms"),
        (1.0, "1.00 s"),
        (1234.0, "1234 s"),
    ],
)
def test_three_digits_in_the_unit_that_fits(seconds: float | None, text: str) -> None:
    assert format_seconds(seconds) == text


@given(st.floats(1e-9, 999))
def test_shown_seconds_are_within_half_a_percent(seconds: float) -> None:
    number, unit = format_seconds(seconds).split()
    scale = {"ns": 1e-9, "µs": 1e-6, "ms": 1e-3, "s": 1.0}[unit]
    assert abs(float(number) * scale - seconds) <= 0.0051 * seconds
