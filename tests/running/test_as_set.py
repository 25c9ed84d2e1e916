"""A function that is another one in float64 is declined in a true line; all others are checked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import jacbench
from jacbench.core.cell import Verdict
from jacbench.running import as_set

jax = pytest.importorskip("jax")
X = np.array([0.5, -1.0, 2.0, 0.25])


@pytest.fixture(autouse=True)
def narrow() -> Iterator[None]:
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", False)
    yield
    jax.config.update("jax_enable_x64", before)


def noisy(x: Any) -> Any:
    return x * (1 + 0.1 * jax.random.normal(jax.random.PRNGKey(3), x.shape))


def drawn_in_the_dtype_of_x(x: Any) -> Any:
    return x * (1 + 0.1 * jax.random.normal(jax.random.PRNGKey(3), x.shape, x.dtype))


def problem(f: Any) -> jacbench.Problem:
    return jacbench.Problem(name="mine", native={"jax": f}, x=X)


def verdicts(f: Any) -> set[tuple[Verdict, str | None]]:
    run = jacbench.check(problem(f), methods=["jax.jacrev"], operators=["jacobian"])
    return {(result.verdict, result.reason) for result in run.cells}


@pytest.mark.parametrize("f", [noisy, drawn_in_the_dtype_of_x])
def test_other_random_numbers_are_told(f: Any) -> None:
    ((verdict, reason),) = verdicts(f)
    assert verdict is Verdict.UNSUPPORTED
    assert (reason or "").startswith("it is another function with jax_enable_x64 on")


def test_with_float64_on_already_it_is_the_users_own() -> None:
    jax.config.update("jax_enable_x64", True)
    assert as_set.another(problem(noisy), "jax") is None
    assert {verdict for verdict, _ in verdicts(noisy)} == {Verdict.AGREES}


def test_what_is_the_same_function_is_checked() -> None:
    assert {verdict for verdict, _ in verdicts(jax.numpy.sin)} == {Verdict.AGREES}


def test_what_is_written_for_another_library_is_not_asked() -> None:
    neutral = jacbench.Problem(name="mine", function=lambda xp, x: xp.sin(x), x=X)
    assert as_set.another(neutral, "jax") is None
    assert as_set.another(problem(noisy), "numpy") is None
