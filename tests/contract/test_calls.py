"""A prepared call answers for the x it is given, keeps nothing and changes nothing."""

from __future__ import annotations

import numpy as np
import pytest

from jacbench.backend import registry
from jacbench.core import tree
from jacbench.core.cell import Verdict
from tests.contract.answers import native_arrays, quietly, told
from tests.contract.cells import BY_INTERMEDIATE, COMPILED, INFO, INSTANCES, problem_of, settled

ASKED = {
    "jacobian": ("wrt/dict-of-parameters", "wrt/several-inputs"),
    "value_and_jacobian": ("wrt/dict-of-parameters", "wrt/auxiliary"),
    "batch_jacobian": (INSTANCES["wrt/per-sample"], INSTANCES["wrt/per-sample-parameters"]),
    "vjp": ("wrt/dict-of-parameters", "wrt/several-inputs"),
    "jvp": ("wrt/dict-of-parameters", "wrt/several-inputs"),
}


def asked(method: str) -> tuple[str, ...]:
    if INFO[method].by_intermediate:
        return (BY_INTERMEDIATE.name,)
    if method in COMPILED:
        return ("wrt/several-inputs",)
    if INFO[method].structure:
        # a problem that has it; for a narrow middle the methods have tests of their own
        with_it = {"samples": "wrt/per-sample", "sparse": "basics/generator"}
        known = with_it.get(INFO[method].structure)
        return () if known is None else (INSTANCES[known],)
    problems = ASKED[INFO[method].operator]
    return problems[:1] if method.endswith(".sum-trick") else problems


@pytest.mark.parametrize(("method", "problem"), [(m, p) for m in INFO for p in asked(m)])
def test_keeps_nothing_between_calls(method: str, problem: str) -> None:
    found = settled(problem, method)
    if method in COMPILED and found.result.verdict is Verdict.UNSUPPORTED:
        pytest.skip(f"depends on the machine's compiler: {found.result.reason}")
    if "is not installed" in (found.result.reason or ""):
        pytest.skip(found.result.reason or "")
    assert found.result.verdict is Verdict.AGREES, told(found.result)
    backend = registry.load(registry.descriptor_of(method).name)
    assert found.prepared is not None
    one = found.x
    two = tree.map_leaves(
        lambda leaf: backend.put(leaf, "cpu", "float64"), problem_of(problem).elsewhere
    )
    before = native_arrays(method, [one, two])
    kept = [quietly(found.prepared.call, one)]
    copies = [native_arrays(method, kept[0])]
    for x in (two, one):
        kept.append(quietly(found.prepared.call, x))
        copies.append(native_arrays(method, kept[-1]))
    first, second, third = copies
    # blocks of zeros are the same everywhere; not everything is
    assert not all(map(np.array_equal, first, second))
    assert all(map(np.array_equal, first, third))
    for native, copy in zip(kept, copies, strict=True):
        assert all(map(np.array_equal, native_arrays(method, native), copy))
    assert all(map(np.array_equal, before, native_arrays(method, [one, two])))
