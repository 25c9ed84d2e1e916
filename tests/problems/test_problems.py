"""The catalogue tells the truth, and the hand-written Jacobians are right.

Two oracles that know no derivative rule check them: the complex step, to rounding, and central
differences along random directions.
"""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from jacbench_numpy import xp

from jacbench import problems, tree
from jacbench.errors import JacbenchError
from jacbench.problem import Problem

NAMES = problems.names()


@pytest.fixture(params=NAMES)
def problem(request: pytest.FixtureRequest) -> Problem:
    return problems.get(request.param)


@pytest.fixture(params=["x", "elsewhere"])
def point(request: pytest.FixtureRequest, problem: Problem) -> Any:
    return getattr(problem, request.param)


def value(problem: Problem, x: Any) -> np.ndarray:
    return np.ravel(problem.function(xp, x, *problem.constants))


def jacobian(problem: Problem, x: Any) -> np.ndarray:
    assert problem.jacobian is not None
    return problem.jacobian(x, *problem.constants)


def moved(x: Any, direction: np.ndarray, by: complex) -> Any:
    """Return x + by * direction, the direction being flat over the leaves of x."""
    leaves, start = [], 0
    for leaf in tree.leaves(x):
        part = direction[start : start + leaf.size].reshape(leaf.shape)
        leaves.append(leaf + by * part)
        start += leaf.size
    return tree.unflatten(x, leaves)


def test_sizes_are_as_declared(problem: Problem, point: Any) -> None:
    entry = problems.entry(problem.name)
    assert (entry.m, entry.n) == (value(problem, point).size, problem.n)
    assert jacobian(problem, point).shape == (entry.m, entry.n)


def test_jacobian_agrees_with_complex_step(problem: Problem, point: Any) -> None:
    # 7.5e-16 is reached; what is allowed leaves room for another BLAS
    J = jacobian(problem, point)
    columns = [value(problem, moved(point, e, 1e-40j)).imag / 1e-40 for e in np.eye(problem.n)]
    assert np.linalg.norm(J - np.stack(columns, axis=1)) <= 1e-14 * np.linalg.norm(J)


def test_jacobian_agrees_with_central_differences(problem: Problem, point: Any) -> None:
    rng = np.random.default_rng(3)
    J = jacobian(problem, point)
    for _ in range(3):
        v = rng.standard_normal(problem.n)
        # of fourth order; a small step, since in basics/generator a longer one crosses a kink
        v /= np.linalg.norm(v)
        h = 1e-5
        near, far = (
            value(problem, moved(point, v, s)) - value(problem, moved(point, v, -s))
            for s in (h, 2 * h)
        )
        along = (8 * near - far) / (12 * h)
        assert np.linalg.norm(J @ v - along) <= 1e-9 * np.linalg.norm(J)


def test_float32_stays_float32(problem: Problem) -> None:
    def single(t: Any) -> Any:
        return tree.map_leaves(lambda a: a.astype(np.float32), t)

    x, constants = single(problem.x), [single(c) for c in problem.constants]
    assert problem.jacobian is not None
    J = problem.jacobian(x, *constants)
    assert problem.function(xp, x, *constants).dtype == J.dtype == np.float32
    exact = jacobian(problem, problem.x)
    assert np.linalg.norm(J - exact) <= 2e-6 * np.linalg.norm(exact)


def test_jacobian_changes_nothing_it_is_given(problem: Problem) -> None:
    everything = (problem.x, *problem.constants)
    before = [leaf.copy() for leaf in tree.leaves(everything)]
    first = jacobian(problem, problem.x).copy()
    jacobian(problem, problem.elsewhere)
    assert np.array_equal(jacobian(problem, problem.x), first)
    assert all(map(np.array_equal, before, tree.leaves(everything)))


def test_every_build_gives_the_same_numbers(problem: Problem) -> None:
    again = problems.get.__wrapped__(problem.name)
    assert again is not problem
    for field in ("x", "elsewhere", "constants"):
        ours, theirs = (tree.leaves(getattr(p, field)) for p in (problem, again))
        assert all(map(np.array_equal, ours, theirs))


def test_get_builds_once() -> None:
    assert problems.get("basics/linear-sum") is problems.get("basics/linear-sum")


def test_catalogue_says_everything(problem: Problem) -> None:
    entry = problems.entry(problem.name)
    assert (problem.name, problem.summary, problem.source) == (
        entry.name,
        entry.summary,
        entry.source,
    )
    assert entry.summary
    assert "\n" not in entry.summary
    assert entry.source


def test_names_are_unique() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert all(name.count("/") == 1 for name in NAMES)


def test_linear_sum_by_hand() -> None:
    problem = problems.get("basics/linear-sum")
    J = jacobian(problem, problem.x)
    assert np.array_equal(np.round(J, 12), [[3.6, -0.9, 1.3, 3.6, -0.9, 1.3]])
    assert np.max(np.abs(J - np.round(J, 12))) < 1e-15


def test_shifted_square_by_hand() -> None:
    problem = problems.get("basics/shifted-square")
    diagonal = np.where(np.eye(5) == 1, 4.0, 2.0).ravel()
    assert np.array_equal(jacobian(problem, problem.x), np.diag(diagonal))


def test_generator_is_block_diagonal_and_off_its_kinks() -> None:
    problem = problems.get("basics/generator")
    hidden = problem.constants[0][:-1]
    for x in (problem.x, problem.elsewhere):
        blocks = jacobian(problem, x).reshape(100, 2, 100, 2)
        between = ~np.eye(100, dtype=bool)
        assert not blocks.transpose(0, 2, 1, 3)[between].any()
        y = problem.function(xp, x, *problem.constants)
        assert np.abs(y).max() < 0.999
        for W, b in hidden:
            z = x @ W + b
            # far more than float32 rounds, so that every precision sees the same side
            assert np.abs(z).min() > 1e-5
            x = np.where(z > 0, z, 0.2 * z)  # noqa: PLW2901


def test_generator_is_as_far_from_its_kinks_as_declared() -> None:
    problem = problems.get("basics/generator")
    assert problem.kink_distance is not None
    hidden = problem.constants[0][:-1]

    def signs(x: Any) -> list[Any]:
        found = []
        for W, b in hidden:
            z = x @ W + b
            found.append(z > 0)
            x = np.where(z > 0, z, 0.2 * z)
        return found

    # samples do not see each other, so that one input of each may move at once
    for x in (problem.x, problem.elsewhere):
        for step in (problem.kink_distance, -problem.kink_distance):
            for i in range(2):
                moved = x.copy()
                moved[:, i] += step
                assert all(map(np.array_equal, signs(x), signs(moved)))


def test_catalogue_imports_no_numpy() -> None:
    code = (
        "import sys; from jacbench import problems; problems.matching(['*']); "
        "sys.exit('numpy' in sys.modules)"
    )
    environment = {"PYTHONPATH": ":".join(filter(None, sys.path)), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    assert done.returncode == 0


def test_entries_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        problems.CATALOGUE[0].m = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    "ask", [problems.get, problems.entry, lambda name: problems.matching([name])]
)
def test_unknown_name_says_what_is_near(ask: Any) -> None:
    with pytest.raises(JacbenchError, match=r"^unknown problem 'basics/mlp-weight': did you mean"):
        ask("basics/mlp-weight")


def test_patterns() -> None:
    basics = [name for name in NAMES if name.startswith("basics/")]
    assert problems.matching(["*"]) == NAMES
    assert problems.matching(["basics/*"]) == basics
    assert problems.matching(["shape/t[a-z]ll", "basics/*", "*/tall"]) == [*basics, "shape/tall"]
    assert problems.matching([]) == []
    with pytest.raises(JacbenchError, match="unknown problem 'BASICS/"):
        problems.matching(["shape/*", "BASICS/*"])
