"""What torch keeps for the whole process is recorded, watched and put back."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from jacbench.backend import (  # noqa: E402
    Method,
    MethodInfo,
    Prepared,
    Target,
    registry,
)
from jacbench.checking import process_state  # noqa: E402
from jacbench.checking.checks import Settled  # noqa: E402
from jacbench.checking.reference import reference  # noqa: E402
from jacbench.checking.verdict import settle  # noqa: E402
from jacbench.core import layouts  # noqa: E402
from jacbench.core.cell import Cell, Verdict  # noqa: E402
from jacbench.core.layouts import Layout  # noqa: E402
from jacbench.problems.problem import Problem  # noqa: E402

BACKEND = registry.load("torch")
CELL = Cell("mine", "jacobian", "torch.told", "torch", "cpu", "float64", 1)
PROBLEM = Problem(
    name="mine",
    function=lambda xp, x: x * x,
    x=np.array([1.0, 2.0, 3.0]),
    jacobian=lambda x: np.diag(2 * x),
)


class Told(Method):
    """A method that does what the test tells it, and then what is right."""

    def __init__(self, meddle: Callable[[], object]) -> None:
        self.info = MethodInfo("torch.told", "what the test tells it")
        self.meddle = meddle

    def layout(self, target: Target) -> Layout:
        return layouts.MATRIX

    def prepare(self, target: Target) -> Prepared:
        return Prepared(lambda x: (torch.diag(2 * x), self.meddle())[0])


def settled(meddle: Callable[[], object]) -> Settled:
    return settle(CELL, PROBLEM, BACKEND, Told(meddle), reference(PROBLEM, "float64"))


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    BACKEND.configure(1)
    before = process_state.take(BACKEND)
    yield
    assert process_state.put_back(before).lines == ()


@pytest.mark.parametrize(
    ("told", "meddle"),
    [
        (
            "torch's default dtype from torch.float32 to torch.float64",
            lambda: torch.set_default_dtype(torch.float64),
        ),
        ("torch's default device from None to meta", lambda: torch.set_default_device("meta")),
        (
            r"torch's number of threads from \d+ to 3",
            lambda: torch.set_num_threads(3),
        ),
        ("torch's grad mode from True to False", lambda: torch._C._set_grad_enabled(False)),
        (
            "torch's anomaly mode from False to True",
            lambda: torch.autograd.set_detect_anomaly(True),
        ),
        (
            "torch's float32 matmul precision from highest to medium",
            lambda: torch.set_float32_matmul_precision("medium"),
        ),
        (
            r"torch's deterministic algorithms from \(False, False\) to \(True, True\)",
            lambda: torch.use_deterministic_algorithms(True, warn_only=True),
        ),
        (
            "torch's cuDNN benchmark from False to True",
            lambda: setattr(torch.backends.cudnn, "benchmark", True),
        ),
    ],
)
def test_a_change_is_caught_and_put_back(told: str, meddle: Callable[[], object]) -> None:
    before = dict(BACKEND.state())
    result = settled(meddle).result
    assert result.verdict is Verdict.FAILED
    assert re.match(f"changed (.*; )?{told}[:;]", result.reason or ""), result.reason
    assert dict(BACKEND.state()) == before


def test_flushing_of_subnormal_numbers_is_caught() -> None:
    if not torch.set_flush_denormal(False):
        pytest.skip("this processor cannot flush them")
    result = settled(lambda: torch.set_flush_denormal(True)).result
    assert "torch's flushing of subnormal numbers from False to True" in (result.reason or "")
    assert torch.tensor(1e-310, dtype=torch.float64) * 1 != 0


def test_drawing_is_no_fault_and_leaves_the_generator() -> None:
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    result = settled(lambda: torch.rand(5)).result
    assert (result.verdict, result.notes["drew_random_numbers"]) == (Verdict.AGREES, "torch")
    assert torch.equal(torch.rand(3), expected)


def test_settings_that_times_depend_on_are_recorded() -> None:
    told = BACKEND.configure(1)
    assert told["torch_num_threads"] == 1
    assert told["torch_default_dtype"] == "float32"
    assert told["torch_grad_mode"] is True
    assert told["torch_deterministic_algorithms"] is False
    assert told["torch_cudnn_benchmark"] is False
    assert told["torch_cuda"] == (torch.version.cuda or "none")


def test_memory_that_runs_out_is_told_from_other_faults() -> None:
    with pytest.raises(RuntimeError) as host:
        torch.empty(2**50)
    assert BACKEND.out_of_memory(host.value)
    assert BACKEND.out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"))
    assert BACKEND.out_of_memory(MemoryError())
    with pytest.raises(RuntimeError) as other:
        torch.ones(2) @ torch.ones(3)
    assert not BACKEND.out_of_memory(other.value)
    assert not BACKEND.out_of_memory(ValueError("DefaultCPUAllocator: can't allocate memory"))


def test_a_call_that_runs_out_of_memory_is_too_large() -> None:
    result = settled(lambda: torch.empty(2**50)).result
    assert result.verdict is Verdict.TOO_LARGE
    assert (result.reason or "").startswith("memory ran out: RuntimeError: ")


def test_the_cpu_has_no_clock_of_its_own() -> None:
    assert BACKEND.device_seconds(lambda: None, "cpu") is None


def test_a_cuda_device_tells_its_own_time() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    x: Any = torch.ones(2000, 2000, device="cuda:0")
    once = BACKEND.device_seconds(lambda: x @ x, "cuda:0")
    assert once is not None
    assert 0 < once < 10
