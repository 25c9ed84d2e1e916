"""A compile that fails costs its cell and nothing else, and says whose fault it is."""

from __future__ import annotations

import re
from typing import Any

import pytest

from jacbench.core.cell import Cell, Verdict
from jacbench.running.prepared_cells import Harness, Limits

torch = pytest.importorskip("torch")
compiled = pytest.importorskip("jacbench_torch.compiled")


def settle(problem: str, method: str) -> Any:
    operator = "batch_jacobian" if method == "torch.vmap-jacrev" else "jacobian"
    cell = Cell(problem, operator, method, "torch", "cpu", "float64", 1)
    return Harness(1, Limits(), verify_pins=False).settle(cell).result


def keys() -> tuple[str, str]:
    return (
        repr(torch._C._dispatch_tls_local_include_set()),
        repr(torch._C._dispatch_tls_local_exclude_set()),
    )


@pytest.mark.skipif(compiled._missing_tool() is not None, reason="needs a C++ compiler")
def test_a_failed_compile_leaves_the_process_as_it_was() -> None:
    before = keys()
    name = "nn/batch-norm-eval[batch=4]"
    failed = settle(name, "torch.compile-jacfwd")
    if failed.verdict is Verdict.AGREES:
        pytest.skip("this torch compiles forward mode over a batch norm")
    assert failed.verdict is Verdict.UNSUPPORTED, failed.reason
    assert failed.reason.startswith("torch.compile says: ")
    assert not re.search(r" at 0x[0-9a-f]+", failed.reason)
    assert "Traceback" in failed.traceback
    assert "_dynamo" in failed.traceback
    assert keys() == before
    for method in ("torch.func.jacrev", "torch.func.jacfwd", "torch.vmap-jacrev"):
        assert settle(name, method).verdict is Verdict.AGREES
    assert settle("shape/small", "torch.compile-jacfwd").verdict is Verdict.AGREES


def test_a_fault_of_the_function_stays_one() -> None:
    def call() -> object:
        raise ValueError("my bug")

    with pytest.raises(compiled.NotCompiledError, match="ValueError: my bug") as caught:
        compiled._first_call(call)
    (method, *_) = compiled.METHODS
    assert method.declined(caught.value) is None
    assert any("my bug" in note for note in caught.value.__notes__)
