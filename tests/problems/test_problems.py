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

from jacbench import problems
from jacbench.backend import registry
from jacbench.checking.reference import outputs
from jacbench.checking.sample_independence import batch_size
from jacbench.core import tree
from jacbench.core.errors import JacbenchError
from jacbench.problems import Entry
from jacbench.problems.problem import Problem

NAMES = problems.names()
WITHOUT_JACOBIAN = {
    "awkward/dropout": "each library draws a mask of its own",
    "awkward/complex-input": "a complex x has no real Jacobian",
    "awkward/integer-input": "an integer x has no derivative",
}
ANALYTIC = [name for name in NAMES if name not in WITHOUT_JACOBIAN]

RESIZED = {
    "batch": 5,
    "m": 7,
    "n": 5,
    "width": 12,
    "size": 4,
    "channels": 3,
    "seq": 2,
    "hidden": 6,
    "features": 4,
    "keys": 3,
}
"""Other sizes than any default; of a parameter that is not here, its default and one."""
PARAMETERS = [(entry.name, key) for entry in problems.CATALOGUE for key in entry.parameters]


def built(name: str) -> Problem:
    if name.startswith("nn/digits"):
        pytest.importorskip("sklearn", reason="the digits come with scikit-learn")
    return problems.get(name)


@pytest.fixture(params=NAMES)
def problem(request: pytest.FixtureRequest) -> Problem:
    return built(request.param)


@pytest.fixture(params=ANALYTIC)
def analytic(request: pytest.FixtureRequest) -> Problem:
    return built(request.param)


@pytest.fixture(params=["x", "elsewhere"])
def point(request: pytest.FixtureRequest) -> str:
    return request.param


def value(problem: Problem, x: Any) -> np.ndarray:
    assert problem.function is not None
    returned = problem.function(xp, x, *problem.constants)
    return np.ravel(returned[0] if problem.has_aux else returned)


def y_shape(problem: Problem) -> tuple[int, ...]:
    """Return the shape of y, by NumPy or by a library that has the function."""
    if problem.function is not None:
        return outputs(problem)
    here = [name for name in problem.native if registry.descriptors()[name].absent() is None]
    if not here:
        pytest.skip(f"none of {', '.join(problem.native)} is installed")
    registry.load(here[0]).configure(1)
    return outputs(problem, here[0])


def jacobian(problem: Problem, x: Any) -> np.ndarray:
    assert problem.jacobian is not None
    return problem.jacobian(x, *problem.constants)


def by_complex_step(problem: Problem, x: Any, directions: np.ndarray) -> np.ndarray:
    """Return J @ directions."""
    columns = [value(problem, moved(x, v, 1e-40j)).imag / 1e-40 for v in directions.T]
    return np.stack(columns, axis=1)


def directions(problem: Problem) -> np.ndarray:
    """Return every coordinate; of a large x random ones, its other sizes being looked at whole."""
    if problem.n <= 300:
        return np.eye(problem.n)
    return np.random.default_rng(4).standard_normal((problem.n, 30))


def moved(x: Any, direction: np.ndarray, by: complex) -> Any:
    """Return x + by * direction, the direction being flat over the leaves of x."""
    leaves, start = [], 0
    for leaf in tree.leaves(x):
        part = direction[start : start + leaf.size].reshape(leaf.shape)
        leaves.append(leaf + by * part)
        start += leaf.size
    return tree.unflatten(x, leaves)


# --- what entries declare ---


def check_declared(problem: Problem, entry: Entry) -> None:
    """Hold what an entry says at any size against the problem."""
    assert (problem.name, problem.summary, problem.source) == (
        entry.name,
        entry.summary,
        entry.source,
    )
    assert (problem.in_axes is not None) == entry.batch
    assert (problem.intermediate is not None) == entry.intermediate
    assert "batch" not in entry.parameters or entry.batch
    if entry.batch:
        count = batch_size(problem)
        assert entry.parameters.get("batch", count) == count == y_shape(problem)[0]


def test_sizes_are_as_declared(problem: Problem) -> None:
    entry = problems.entry(problem.name)
    assert (entry.m, entry.n) == (int(np.prod(y_shape(problem))), problem.n)
    check_declared(problem, entry)


def asked_for(name: str, *keys: str) -> str:
    known = problems.entry(name).parameters
    sizes = ",".join(f"{key}={RESIZED.get(key, known[key] + 1)}" for key in keys)
    return f"{name}[{sizes}]"


@pytest.mark.parametrize("name", list(dict(PARAMETERS)))
def test_other_sizes_are_as_declared(name: str) -> None:
    asked = asked_for(name, *problems.entry(name).parameters)
    problem, entry = built(asked), problems.entry(asked)
    check_declared(problem, entry)
    m, n = int(np.prod(y_shape(problem))), problem.n
    assert entry.parameters.get("m", m) == m
    assert entry.parameters.get("n", n) == n
    if problem.jacobian is None:
        assert name in WITHOUT_JACOBIAN
        return
    for x in (problem.x, problem.elsewhere):
        J = jacobian(problem, x)
        assert J.shape == (m, n)
        steps = by_complex_step(problem, x, np.eye(problem.n))
        assert np.linalg.norm(J - steps) <= 1e-13 * np.linalg.norm(J)


@pytest.mark.parametrize(("name", "key"), PARAMETERS)
def test_every_size_makes_a_difference(name: str, key: str) -> None:
    def shapes(problem: Problem) -> list[tuple[int, ...]]:
        arguments = (problem.x, *problem.constants)
        return [y_shape(problem), *(leaf.shape for leaf in tree.leaves(arguments))]

    assert shapes(built(asked_for(name, key))) != shapes(built(name))


@pytest.mark.parametrize(("name", "key"), PARAMETERS)
def test_no_size_is_named_like_what_else_stands_in_brackets(name: str, key: str) -> None:
    assert key not in (problems.WRT, problems.OUTPUTS), "it would mean the other"


def test_only_these_have_no_jacobian_by_hand() -> None:
    for name in NAMES:
        if name.startswith("nn/digits"):  # reads its images from another package
            continue
        problem = built(name)
        assert (problem.jacobian is None) == (name in WITHOUT_JACOBIAN), name


# --- the hand-written Jacobians ---


def test_jacobian_agrees_with_complex_step(analytic: Problem, point: str) -> None:
    # 7.5e-16 is reached; what is allowed leaves room for another BLAS
    x = getattr(analytic, point)
    J = jacobian(analytic, x)
    assert J.shape == (value(analytic, x).size, analytic.n)
    V = directions(analytic)
    expected = by_complex_step(analytic, x, V)
    assert np.linalg.norm(J @ V - expected) <= 1e-14 * np.linalg.norm(expected)


def test_jacobian_agrees_with_central_differences(analytic: Problem, point: str) -> None:
    x, rng = getattr(analytic, point), np.random.default_rng(3)
    J = jacobian(analytic, x)
    for _ in range(3):
        v = rng.standard_normal(analytic.n)
        # of fourth order; a small step, since in basics/generator a longer one crosses a kink
        v /= np.linalg.norm(v)
        h = 1e-5
        near, far = (
            value(analytic, moved(x, v, s)) - value(analytic, moved(x, v, -s)) for s in (h, 2 * h)
        )
        along = (8 * near - far) / (12 * h)
        agrees = np.linalg.norm(J @ v - along) <= 1e-9 * np.linalg.norm(J)
        # differences see through what is cut from differentiation, and so must disagree
        assert agrees != analytic.stops_gradient


def test_float32_stays_float32(analytic: Problem) -> None:
    def single(t: Any) -> Any:
        return tree.map_leaves(lambda a: a.astype(np.float32) if a.dtype.kind == "f" else a, t)

    x, constants = single(analytic.x), tuple(single(c) for c in analytic.constants)
    assert analytic.jacobian is not None
    J = analytic.jacobian(x, *constants)
    assert analytic.function is not None
    returned = analytic.function(xp, x, *constants)
    y = returned[0] if analytic.has_aux else returned
    assert y.dtype == J.dtype == np.float32
    exact = jacobian(analytic, analytic.x)
    assert np.linalg.norm(J - exact) <= 2e-6 * np.linalg.norm(exact)


def test_jacobian_changes_nothing_it_is_given(analytic: Problem) -> None:
    everything = (analytic.x, *analytic.constants)
    before = [leaf.copy() for leaf in tree.leaves(everything)]
    first = jacobian(analytic, analytic.x).copy()
    jacobian(analytic, analytic.elsewhere)
    assert np.array_equal(jacobian(analytic, analytic.x), first)
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
