"""The cases of the libraries' own test suites: the library's answer, or one line; no fault."""

from __future__ import annotations

import functools

import pytest

from tests import other_suites
from tests.other_suites import Case

SUITES = {
    "torch": other_suites.torch_cases,
    "jax": other_suites.jax_cases,
    "autograd": other_suites.autograd_cases,
}


@functools.cache
def cases(library: str) -> tuple[Case, ...]:
    pytest.importorskip(library)
    return tuple(SUITES[library]())


@pytest.mark.parametrize("library", SUITES)
def test_each_case_is_answered_as_the_library_does_or_refused_in_a_line(library: str) -> None:
    faults = {
        f"{case.suite}: {case.name}": outcome
        for case in cases(library)
        if (outcome := other_suites.outcome(case)).startswith("fault")
    }
    assert not faults


@pytest.mark.parametrize("library", SUITES)
def test_what_is_refused_though_the_library_answers_is_known(library: str) -> None:
    refused = {case.name for case in cases(library) if other_suites.refused_alone(case)}
    assert refused <= other_suites.REFUSED_ALONE


def test_a_wrong_number_a_wrong_shape_and_a_raw_error_are_faults() -> None:
    def judged(ours: object) -> str:
        def call() -> object:
            if isinstance(ours, Exception):
                raise ours
            return ours

        return other_suites.outcome(Case("s", "n", lambda: [1.0, 2.0], call))

    assert judged([1.0, 2.0]) == "answer"
    for wrong in ([1.0, 3.0], [1.0], [1.0, [2.0, 2.0]], ValueError("raw")):
        assert judged(wrong).startswith("fault")
