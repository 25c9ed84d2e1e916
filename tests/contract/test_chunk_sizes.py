"""A chunk size changes how much is computed at a time and nothing else, or is refused."""

from __future__ import annotations

import math

import pytest

from jacbench.checking.reference import outputs
from jacbench.core.cell import Verdict
from tests.contract.answers import check, check_not_done
from tests.contract.cells import (
    BY_INTERMEDIATE,
    COMPILED,
    INFO,
    INSTANCES,
    METHODS,
    TRACED,
    chunking_of,
    installed,
    problem_of,
    settled,
)


def asked(method: str) -> str:
    if INFO[method].by_intermediate:
        return BY_INTERMEDIATE.name
    of_samples = INFO[method].operator == "batch_jacobian"
    return INSTANCES["basics/generator"] if of_samples else "wrt/dict-of-parameters"


def sizes_for(method: str, m: int) -> tuple[int, ...]:
    chunking = chunking_of(method)
    if chunking == "whole":
        return (2,)
    if chunking == "loop":
        return (1, m + 5) if method not in TRACED else (3,)
    return (1, 3, m, m + 5) if method not in TRACED else (3, m + 5)


@pytest.mark.parametrize("method", METHODS)
def test_chunk_sizes(method: str) -> None:
    problem = asked(method)
    chunking, m = chunking_of(method), math.prod(outputs(problem_of(problem)))
    for size in sizes_for(method, m):
        found = settled(problem, method, chunk_size=size)
        if chunking == "whole":
            check_not_done(found, problem_of(problem))
            assert "no chunk size" in (found.result.reason or "")
            assert found.result.n == problem_of(problem).n
            continue
        assert found.result.verdict is Verdict.AGREES, found.result.reason
        assert found.result.chunk_size == (size if chunking == "chunked" else None)
        check(found, problem_of(problem))


@pytest.mark.parametrize("method", COMPILED)
def test_chunk_size_when_compiled(method: str) -> None:
    installed(method)
    found = settled("wrt/several-inputs", method, chunk_size=2)
    if found.result.verdict is not Verdict.AGREES:
        check_not_done(found, problem_of("wrt/several-inputs"))
        return
    assert found.result.chunk_size == 2
    check(found, problem_of("wrt/several-inputs"))


def test_every_way_of_chunking_is_offered() -> None:
    pytest.importorskip("torch")
    found = {chunking_of(m) for m in METHODS if m.startswith("torch.")}
    assert found == {"chunked", "whole", "loop"}
