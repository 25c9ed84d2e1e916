"""The family ``wrt``: every choice of x is right, and zeros where a library would say nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from jacbench_numpy import xp

from jacbench import problems
from jacbench.core import tree
from jacbench.core.cell import Verdict
from jacbench.problems.problem import Problem
from tests.contract.cells import settled

NAMES = [name for name in problems.names() if name.startswith("wrt/")]
PER_SAMPLE = [name for name in NAMES if problems.entry(name).batch]


@pytest.fixture(params=NAMES)
def problem(request: pytest.FixtureRequest) -> Problem:
    return problems.get(request.param)


@pytest.fixture(params=["x", "elsewhere"])
def point(request: pytest.FixtureRequest, problem: Problem) -> Any:
    return getattr(problem, request.param)


def value(problem: Problem, x: Any) -> np.ndarray:
    returned = problem.function(xp, x, *problem.constants)
    return np.asarray(returned[0] if problem.has_aux else returned)


def test_jacobian_agrees_with_complex_step(problem: Problem, point: Any) -> None:
    J = problem.jacobian(point, *problem.constants)
    columns = []
    for i, leaf in enumerate(tree.leaves(point)):
        for j in range(leaf.size):
            leaves = [a.astype(complex) for a in tree.leaves(point)]
            leaves[i].reshape(-1)[j] += 1e-40j
            columns.append(value(problem, tree.unflatten(point, leaves)).imag.ravel() / 1e-40)
    entry = problems.entry(problem.name)
    assert J.shape == (entry.m, entry.n) == (value(problem, point).size, problem.n)
    assert np.linalg.norm(J - np.stack(columns, axis=1)) <= 1e-14 * np.linalg.norm(J)


@pytest.mark.parametrize("method", ["torch.sum-trick", "jax.sum-trick", "autograd.sum-trick"])
def test_samples_that_share_x_have_no_sum_trick(method: str) -> None:
    shared = settled("wrt/per-sample-parameters", method).result
    assert shared.verdict is Verdict.UNSUPPORTED
    assert "share x" in (shared.reason or "")


def test_samples_see_themselves_alone() -> None:
    problem = problems.get("wrt/per-sample")
    J = problem.jacobian(problem.x, *problem.constants).reshape(4, 2, 4, 3)
    between = ~np.eye(4, dtype=bool)
    assert not J.transpose(0, 2, 1, 3)[between].any()
    assert J.any(axis=(1, 3))[~between].all()


@pytest.mark.parametrize("name", PER_SAMPLE)
@pytest.mark.parametrize("batch", [1, 7])
def test_any_batch_can_be_asked_for(name: str, batch: int) -> None:
    sized = problems.get(f"{name}[batch={batch}]")
    assert value(sized, sized.x).shape == (batch, 2)
    assert sized.jacobian(sized.x, *sized.constants).shape == (2 * batch, sized.n)
    # the samples are the first of the larger batch
    whole = problems.get(name)
    few = min(batch, 4)
    assert np.array_equal(value(sized, sized.x)[:few], value(whole, whole.x)[:few])


def test_columns_follow_the_sorted_keys() -> None:
    problem = problems.get("wrt/dict-of-parameters")
    assert list(problem.x) != sorted(problem.x)
    assert list(problem.columns()) == [
        "['input']['gain']",
        "['input']['shift']",
        "['layers'][0][0]",
        "['layers'][0][1]",
        "['layers'][1][0]",
        "['layers'][1][1]",
        "['scale']",
    ]


@pytest.mark.parametrize(
    ("name", "leaf"), [("wrt/several-inputs", "[2]"), ("wrt/detached-input", "[1]")]
)
def test_what_has_no_influence_gives_zeros_in_every_library(name: str, leaf: str) -> None:
    problem = problems.get(name)
    J = problem.jacobian(problem.x, *problem.constants)
    assert not J[:, problem.columns()[leaf]].any()
    assert J.any(axis=0).sum() == problem.n - problem.x[int(leaf[1])].size
    for method in ("torch.grad-loop", "torch.backward-loop", "jax.jacrev-eager", "autograd.jvp"):
        found = settled(name, method)
        assert found.prepared is not None
        native = tree.leaves(found.prepared.call(found.x))
        assert all(array is not None for array in native)


def test_aux_stands_beside_the_loss() -> None:
    problem = problems.get("wrt/auxiliary")
    loss, aux = problem.function(xp, problem.x, *problem.constants)
    features, labels = problem.constants
    w, b = problem.x
    assert loss.shape == ()
    assert np.array_equal(aux["logits"], features @ w + b)
    assert aux["count"] == np.sum((features @ w + b > 0) == (labels == 1))
    assert 0 < aux["count"] < len(labels)
