"""What relies on a structure: on every problem it is right, or says in a line what is lacking."""

from __future__ import annotations

import numpy as np
import pytest

from jacbench.backend import registry
from jacbench.checking.checks import Settled
from jacbench.core import tree
from jacbench.core.cell import Verdict
from jacbench.problems.problem import Problem
from tests.contract.answers import check, check_keeps_nothing, told
from tests.contract.cells import INFO, INSTANCES, STRUCTURED, has_operator, problem_of, settled

SMALL = [name for name in INSTANCES if not name.startswith(("nn/", "awkward/"))]
"""Problems whose cells take tenths of a second, compiling included."""

HAVE = {
    "samples": ("basics/generator", "wrt/per-sample"),
    "sparse": ("basics/generator",),
}
"""By structure, problems that have it: every method that relies on it has to agree there."""

LACKING = {
    "samples": ("sample", "batch", "axis"),
    "sparse": ("dense", "compressing pays", "install"),
    "bottleneck": ("narrowest",),
}
"""What the line speaks of where a structure is lacking."""

CASES = [
    *(
        (name, method, "float64")
        for name in SMALL
        for method in STRUCTURED
        if has_operator(name, method)
    ),
    *(
        ("wrt/per-sample", method, "float32")
        for method in STRUCTURED
        if INFO[method].structure == "samples"
    ),
]


def has_structure(name: str, method: str) -> bool:
    """Whether the problem has what the method relies on."""
    return name in HAVE.get(INFO[method].structure, ())


def check_by_layout(found: Settled, problem: Problem) -> None:
    """Hold what a call returns against the hand-written Jacobian, put together by its layout."""
    assert found.prepared is not None
    assert found.prepared.layout is not None
    assert problem.jacobian is not None
    backend = registry.load(found.result.cell.backend)
    arrays = [backend.to_numpy(array) for array in tree.leaves(found.prepared.call(found.x))]
    right = problem.jacobian(problem.x, *problem.constants)
    matrix = found.prepared.layout.matrix(arrays, len(right))
    np.testing.assert_allclose(matrix, right, rtol=0, atol=1e-12 * np.linalg.norm(right))


@pytest.mark.parametrize(("name", "method", "dtype"), CASES)
def test_agrees_or_says_what_is_lacking(name: str, method: str, dtype: str) -> None:
    found, problem = settled(INSTANCES[name], method, dtype), problem_of(INSTANCES[name])
    reason = found.result.reason or ""
    if found.result.verdict is Verdict.AGREES:
        if INFO[method].operator == "jacobian":
            check(found, problem)
        else:
            check_by_layout(found, problem)
        if has_structure(name, method) and dtype == "float64":
            check_keeps_nothing(found, problem)
        return
    assert found.result.verdict is Verdict.UNSUPPORTED, told(found.result)
    assert "install" in reason or not has_structure(name, method), reason
    assert "\n" not in reason
    assert any(word in reason for word in LACKING[INFO[method].structure]), reason
