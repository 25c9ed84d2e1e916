"""Why there is no Jacobian per sample, where there is none."""

from __future__ import annotations

import pytest

from jacbench.backend import registry
from jacbench.core.cell import Verdict
from tests.contract.cells import CASES, INFO, INSTANCES, settled
from tests.contract.expected import SAMPLES_INTERACT


@pytest.mark.parametrize("name", SAMPLES_INTERACT)
def test_samples_that_interact_have_no_jacobian_per_sample(name: str) -> None:
    asked = [m for p, m, dtype in CASES if (p, dtype) == (INSTANCES[name], "float64")]
    asked = [m for m in asked if INFO[m].operator == "batch_jacobian"]
    assert len({method.partition(".")[0] for method in asked}) == 4
    for method in asked:
        if registry.descriptor_of(method).absent() is None:
            reason = settled(INSTANCES[name], method).result.reason or ""
            assert reason.startswith("samples interact: the outputs of sample "), (method, reason)


def test_a_problem_without_samples_has_no_jacobian_per_sample() -> None:
    for method, info in INFO.items():
        if info.operator == "batch_jacobian" and registry.descriptor_of(method).absent() is None:
            result = settled("wrt/several-inputs", method).result
            assert result.verdict is Verdict.UNSUPPORTED
            assert "has no batch axis" in (result.reason or "")
