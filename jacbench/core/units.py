"""Numbers for people: three digits, in the unit that fits."""

from __future__ import annotations


def three(value: float) -> str:
    """Return ``value`` with three digits, or with those before the point."""
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}" if value < 99.95 else f"{value:.0f}"


def format_seconds(seconds: float | None) -> str:
    """Return ``seconds`` with three digits in the unit that fits; '' for None."""
    if seconds is None:
        return ""
    for unit, scale in (("ns", 1e9), ("µs", 1e6), ("ms", 1e3)):
        if seconds * scale < 999.5:
            return f"{three(seconds * scale)} {unit}"
    return f"{three(seconds)} s"
