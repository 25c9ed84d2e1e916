"""The family ``awkward``: right where a library can do it; what is declined is the contract's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from jacbench_numpy import xp

from jacbench import problems
from jacbench.backend import registry
from jacbench.problems.problem import Problem

NAMES = [name for name in problems.names() if name.startswith("awkward/")]
REFUSED = ["awkward/complex-input", "awkward/integer-input"]
ANALYTIC = [name for name in NAMES if name not in (*REFUSED, "awkward/dropout")]
LIBRARIES = ("torch", "jax", "autograd")


@pytest.fixture(params=["x", "elsewhere"])
def point(request: pytest.FixtureRequest) -> str:
    return request.param


def installed(library: str) -> Any:
    reason = registry.descriptors()[library].absent()
    if reason is not None:
        pytest.skip(reason)
    backend = registry.load(library)
    backend.configure(1)
    return backend


def value(problem: Problem, x: Any) -> np.ndarray:
    return np.asarray(problem.function(xp, x, *problem.constants))


def native(library: str, problem: Problem, x: Any, dtype: str = "float64") -> np.ndarray:
    backend = installed(library)
    arrays = [backend.put(np.array(a), "cpu", dtype) for a in (x, *problem.constants)]
    return backend.to_numpy(problem.bound(library, backend.xp)(*arrays))


# --- the NumPy side ---


@pytest.mark.parametrize("name", ANALYTIC)
def test_jacobian_agrees_with_complex_step(name: str, point: str) -> None:
    problem = problems.get(name)
    x = getattr(problem, point)
    J = problem.jacobian(x, *problem.constants)
    steps = 1e-40j * np.eye(x.size).reshape(x.size, *x.shape)
    columns = [value(problem, x + step).imag.ravel() / 1e-40 for step in steps]
    assert J.shape == (value(problem, x).size, x.size)
    assert np.linalg.norm(J - np.stack(columns, axis=1)) <= 1e-14 * np.linalg.norm(J)


def test_loop_runs_for_longer_at_x_and_ends_off_the_limit() -> None:
    problem = problems.get("awkward/while-loop")
    (A,) = problem.constants
    lengths = []
    for x in (problem.x, problem.elsewhere):
        squares = [x @ x]
        while squares[-1] > 0.25:
            x = 0.8 * np.sin(A @ x)  # noqa: PLW2901
            squares.append(x @ x)
        assert min(abs(square - 0.25) for square in squares) > 0.02
        lengths.append(len(squares) - 1)
    assert lengths == [4, 1]


@pytest.mark.parametrize("name", ["awkward/cond", "awkward/item-branch"])
def test_both_branches_are_taken_off_the_kink(name: str) -> None:
    problem = problems.get(name)
    assert np.sum(problem.x) > problem.kink_distance
    assert np.sum(problem.elsewhere) == pytest.approx(-problem.kink_distance)


def test_where_is_as_far_from_its_kink_as_declared() -> None:
    problem = problems.get("awkward/where")
    entries = np.concatenate([problem.x, problem.elsewhere])
    assert np.abs(entries).min() == problem.kink_distance
    assert {True, False} == set((problem.x > 0).tolist())


def test_where_needs_its_guard() -> None:
    torch = pytest.importorskip("torch")
    x = torch.tensor(problems.get("awkward/where").x, requires_grad=True)
    torch.where(x > 0, x * torch.log(x), x).sum().backward()
    assert x.grad is not None
    assert torch.equal(torch.isnan(x.grad), x < 0)


def test_no_grad_by_hand() -> None:
    problem = problems.get("awkward/no-grad")
    (fault,) = problem.known_faults
    assert np.array_equal(problem.jacobian(problem.x), [[2, 0], [0, 3]])
    assert np.array_equal(fault.jacobian(problem.x), [[4, 0], [0, 6]])


@pytest.mark.parametrize("name", [n for n in NAMES if problems.get(n).known_faults])
def test_a_known_fault_is_wrong_and_can_be_looked_up(name: str) -> None:
    problem = problems.get(name)
    for fault in problem.known_faults:
        assert fault.link.startswith("https://github.com/pytorch/pytorch/issues/")
        assert set(fault.methods) <= set(registry.method_names())
        if problem.jacobian is not None:
            wrong, right = (J(problem.x) for J in (fault.jacobian, problem.jacobian))
            assert wrong.shape == right.shape
            assert np.linalg.norm(wrong - right) > 0.1 * np.linalg.norm(right)


# --- the libraries' own functions ---

NATIVE = [(name, library) for name in NAMES for library in problems.get(name).native]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "library"), [c for c in NATIVE if c[0] in ANALYTIC])
def test_native_value_is_the_neutral_one(name: str, library: str, point: str, dtype: str) -> None:
    problem = problems.get(name)
    x = getattr(problem, point)
    y, expected = native(library, problem, x, dtype), value(problem, x)
    assert y.dtype == dtype
    assert y.shape == expected.shape
    tolerance = {"float64": 1e-14, "float32": 2e-6}[dtype]
    assert np.linalg.norm(y - expected) <= tolerance * np.linalg.norm(expected)


@pytest.mark.parametrize("name", ANALYTIC)
def test_torch_agrees_by_its_own_function(name: str, point: str) -> None:
    torch = pytest.importorskip("torch")
    problem = problems.get(name)
    x = getattr(problem, point)
    f = problem.bound("torch", installed("torch").xp)
    constants = [torch.tensor(c) for c in problem.constants]
    J = torch.autograd.functional.jacobian(lambda x: f(x, *constants), torch.tensor(x))
    check(J, problem, x)


@pytest.mark.parametrize("name", ANALYTIC)
def test_jax_agrees_by_its_own_function(name: str, point: str) -> None:
    jax = pytest.importorskip("jax")
    problem = problems.get(name)
    x = getattr(problem, point)
    f = problem.bound("jax", installed("jax").xp)
    transform = jax.jacfwd if name == "awkward/while-loop" else jax.jacrev
    check(
        transform(f)(jax.numpy.asarray(x), *map(jax.numpy.asarray, problem.constants)), problem, x
    )


@pytest.mark.filterwarnings("ignore:Output seems independent of input:UserWarning")
@pytest.mark.parametrize(
    "name", [n for n in ANALYTIC if n not in ("awkward/in-place", "awkward/item-branch")]
)
def test_autograd_agrees_by_its_own_function(name: str, point: str) -> None:
    autograd = pytest.importorskip("autograd")
    problem = problems.get(name)
    x = getattr(problem, point)
    f = problem.bound("autograd", installed("autograd").xp)
    check(autograd.jacobian(f)(x, *problem.constants), problem, x)


def check(J: Any, problem: Problem, x: np.ndarray) -> None:
    expected = problem.jacobian(x, *problem.constants)
    found = np.asarray(J).reshape(expected.shape)
    assert np.linalg.norm(found - expected) <= 1e-13 * np.linalg.norm(expected)


# --- dropout ---


@pytest.mark.parametrize("library", LIBRARIES)
def test_dropout_keeps_the_same_units_everywhere(library: str) -> None:
    problem = problems.get("awkward/dropout")
    (A,) = problem.constants
    kept = set()
    for x in (problem.x, problem.elsewhere):
        for dtype in ("float64", "float32"):
            # y = A @ (mask * 2 tanh(x)), and the rows of A are independent of its other columns
            y = native(library, problem, x, dtype)
            masks = np.array(list(np.ndindex(*[2] * 6)))
            errors = np.linalg.norm((masks * 2 * np.tanh(x)) @ A.T - y, axis=1)
            assert errors.min() < 1e-5 < np.sort(errors)[1]
            kept.add(tuple(masks[errors.argmin()].tolist()))
    (mask,) = kept
    assert 0 < sum(mask) < 6


def test_dropout_leaves_the_global_generators_alone() -> None:
    torch = pytest.importorskip("torch")
    problem = problems.get("awkward/dropout")
    before, numpys = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    for library in ("torch", "autograd"):
        native(library, problem, problem.x)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numpys)  # noqa: NPY002
