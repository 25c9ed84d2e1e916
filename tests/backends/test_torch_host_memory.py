"""A large product in memory of NumPy's: the same numbers, and an array of the caller's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
host_memory = pytest.importorskip("jacbench_torch.host_memory")


def pair(dtype: Any) -> tuple[Any, Any]:
    seeded = torch.Generator().manual_seed(5)
    left = torch.randn(40, 3, dtype=torch.float64, generator=seeded).to(dtype)
    return left, torch.randn(50, 3, dtype=torch.float64, generator=seeded).to(dtype).T


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return what NumPy made."""
    found: list[Any] = []
    empty = np.empty

    def seen(*arguments: Any) -> Any:
        found.append(empty(*arguments))
        return found[-1]

    monkeypatch.setattr(host_memory.np, "empty", seen)
    return found


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_large_one_lies_in_memory_of_numpys(
    made: list[Any], dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, right = pair(dtype)
    monkeypatch.setattr(host_memory, "LARGE", 40 * 50 * left.itemsize)
    first, second = host_memory.product(left, right), host_memory.product(2 * left, right)
    assert [tensor.data_ptr() for tensor in (first, second)] == [a.ctypes.data for a in made]
    assert first.dtype == dtype
    torch.testing.assert_close(first, left @ right)
    torch.testing.assert_close(second, 2 * first)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_others_are_torchs_own(made: list[Any], dtype: Any) -> None:
    left, right = pair(dtype)
    torch.testing.assert_close(host_memory.product(left, right), left @ right)
    assert not made


def test_what_numpy_does_not_have_is_torchs_own(
    made: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_memory, "LARGE", 0)
    left, right = pair(torch.bfloat16)
    torch.testing.assert_close(host_memory.product(left, right), left @ right)
    assert not made
