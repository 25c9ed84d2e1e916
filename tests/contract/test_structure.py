"""What relies on a structure: on every problem it is right, or says in a line what is lacking."""

from __future__ import annotations

import numpy as np
import pytest

from jacbench.backend import registry
from jacbench.checking.checks import Settled
from jacbench.core import tree
from jacbench.core.cell import Verdict
from jacbench.problems.problem import Problem
from tests.contract.answers import check, told
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
    (INSTANCES[name], method)
    for method in STRUCTURED
    for name in SMALL
    if has_operator(name, method)
]


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


@pytest.mark.parametrize(("problem", "method"), CASES)
def test_agrees_or_says_what_is_lacking(problem: str, method: str) -> None:
    found = settled(problem, method)
    if found.result.verdict is Verdict.AGREES and INFO[method].operator == "jacobian":
        check(found, problem_of(problem))
        return
    if found.result.verdict is Verdict.AGREES:
        check_by_layout(found, problem_of(problem))
        return
    assert found.result.verdict is Verdict.UNSUPPORTED, told(found.result)
    reason = found.result.reason or ""
    assert "\n" not in reason
    assert any(word in reason for word in LACKING[INFO[method].structure]), reason


@pytest.mark.parametrize(
    ("name", "method"),
    [(name, m) for m in STRUCTURED for name in HAVE.get(INFO[m].structure, ())],
)
def test_agrees_where_the_structure_is(name: str, method: str) -> None:
    found = settled(INSTANCES[name], method)
    if "install" in (found.result.reason or ""):
        pytest.skip(found.result.reason or "")
    assert found.result.verdict is Verdict.AGREES, told(found.result)
