"""What a session asks of a device besides the clock on the wall."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from jacbench.running.pytest_session import Session
from tests import samples


@pytest.mark.parametrize(
    ("device", "seconds", "expected"),
    [
        ("cuda:0", [5.0, 1.0, 2.0, 9.0, 3.0], 3.0),
        ("cuda:0", [None, None, None, None, None], None),
        ("cpu", [], None),
    ],
)
def test_time_by_the_devices_own_events(
    device: str, seconds: list[float | None], expected: float | None
) -> None:
    calls: list[object] = []
    left = list(seconds)

    def device_seconds(call: Any, where: str) -> float | None:
        assert where == device
        call()
        return left.pop(0)

    session = object.__new__(Session)
    backend = SimpleNamespace(device_seconds=device_seconds)
    session._harness = SimpleNamespace(backend=lambda name: backend)
    found = session._device_seconds(samples.cell(device=device), calls.append, "x")
    assert found == expected
    assert calls == ["x"] * len(seconds)
    assert left == []
