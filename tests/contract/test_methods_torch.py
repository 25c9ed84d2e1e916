"""Every method of torch, on every problem that it is tried on."""

from __future__ import annotations

import pytest

from tests.contract.cells import COMPILED_CASES, cases
from tests.contract.holding import hold


@pytest.mark.parametrize(("problem", "method", "dtype"), [*cases("torch"), *COMPILED_CASES])
def test_agrees_or_says_why_not(problem: str, method: str, dtype: str) -> None:
    hold(problem, method, dtype)
