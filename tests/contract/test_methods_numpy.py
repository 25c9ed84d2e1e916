"""Every method of NumPy, on every problem that it is tried on."""

from __future__ import annotations

import pytest

from tests.contract.cells import cases
from tests.contract.holding import hold


@pytest.mark.parametrize(("problem", "method", "dtype"), cases("numpy"))
def test_agrees_or_says_why_not(problem: str, method: str, dtype: str) -> None:
    hold(problem, method, dtype)
