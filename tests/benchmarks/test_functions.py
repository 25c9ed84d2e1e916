"""The functions of the regret test are what they say: each family is defined, and checked, here."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import jacbench
from benchmarks.functions import FAMILIES, Case, cases
from jacbench import problems
from jacbench.backend import registry
from jacbench.core import tree
from jacbench.problems.problem import Problem

METHODS = {
    "torch": "torch.func.jacrev",
    "jax": "jax.jacrev",
    "autograd": "autograd.jacobian",
}
FOR_ANY = "autograd"
"""What computes the Jacobian of a function over any namespace: nothing to compile."""
EVERY = cases()


@pytest.fixture(autouse=True)
def _float64(request: pytest.FixtureRequest) -> None:
    case = getattr(request.node, "callspec", None) and request.node.callspec.params.get("case")
    if isinstance(case, Case):
        pytest.importorskip(library(case))
        registry.load(library(case)).configure(1)


def of(*families: str) -> Any:
    chosen = [case for case in EVERY if not families or case.family in families]
    return pytest.mark.parametrize("case", chosen, ids=[case.name for case in chosen])


def library(case: Case) -> str:
    return case.library or FOR_ANY


def function(case: Case) -> Callable[[Any], Any]:
    if not isinstance(case.subject, Problem):
        return case.subject.function
    problem = case.subject
    neutral = problem.neutral(registry.load(FOR_ANY).xp)
    return lambda x: neutral(x, *problem.constants)


def points(case: Case) -> list[Any]:
    elsewhere = tree.map_leaves(lambda a: a.astype(case.dtype), case.problem().elsewhere)
    return [case.subject.x, elsewhere]


def value(case: Case, x: Any) -> np.ndarray:
    backend = registry.load(library(case))
    placed = tree.map_leaves(lambda a: backend.put(a, "cpu", case.dtype), x)
    return np.asarray(backend.to_numpy(function(case)(placed)))


@functools.cache
def jacobian(name: str, where: int = 0) -> np.ndarray:
    """Return the (m, n) matrix at x, or at the second point."""
    case = next(case for case in EVERY if case.name == name)
    backend = registry.load(library(case))
    x = tree.map_leaves(lambda a: backend.put(a, "cpu", case.dtype), points(case)[where])
    found = jacbench.jacobian(function(case), x, METHODS[library(case)], matrix=True)
    return np.asarray(backend.to_numpy(found))


def here(case: Case) -> np.ndarray:
    return jacobian(case.name)


def flat(x: Any) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in tree.leaves(x)])


def moved(x: Any, step: np.ndarray) -> Any:
    leaves = tree.leaves(x)
    parts = np.split(step, np.cumsum([leaf.size for leaf in leaves])[:-1])
    added = [leaf + part.reshape(leaf.shape) for leaf, part in zip(leaves, parts, strict=True)]
    return tree.unflatten(x, added)


def rank(J: np.ndarray) -> int:
    sizes = np.linalg.svd(J, compute_uv=False)
    return int(np.sum(sizes > 1e-10 * sizes[0]))


# --- what a function is made of ---


def made_of(case: Case) -> tuple[str, int]:
    """Return the names of its operations, one text, and how many follow each other at the most."""
    return {"torch": _torch_graph, "jax": _jax_graph, "autograd": _autograd_graph}[library(case)](
        case
    )


def _jax_graph(case: Case) -> tuple[str, int]:
    import jax

    traced = jax.make_jaxpr(function(case))(case.subject.x).jaxpr
    depth: dict[int, int] = {}
    for step in traced.eqns:
        below = 1 + max((depth.get(id(v), 0) for v in step.invars), default=0)
        depth |= {id(v): below for v in step.outvars}
    return " ".join(_primitives(traced)), max(depth.values())


def _primitives(traced: Any) -> Iterator[str]:
    for step in traced.eqns:
        yield step.primitive.name
        for given in step.params.values():
            for one in given if isinstance(given, (list, tuple)) else [given]:
                inner = getattr(one, "jaxpr", one)
                if hasattr(inner, "eqns"):
                    yield from _primitives(inner)


def _torch_graph(case: Case) -> tuple[str, int]:
    import torch

    x = torch.tensor(case.subject.x, requires_grad=True)
    depth: dict[Any, int] = {}
    waiting = [function(case)(x).grad_fn]
    while waiting:
        node = waiting[-1]
        before = [n for n, _ in node.next_functions if n is not None]
        unseen = [n for n in before if n not in depth]
        if unseen:
            waiting += unseen
        else:
            depth[waiting.pop()] = 1 + max((depth[n] for n in before), default=0)
    return " ".join(node.name() for node in depth), max(depth.values())


def _autograd_graph(case: Case) -> tuple[str, int]:
    from autograd.tracer import Node, trace

    names: list[str] = []

    class Seen(Node):
        __slots__ = ("depth",)

        def __init__(self, value, fun, args, kwargs, parent_argnums, parents):
            names.append(fun.__name__)
            self.depth = 1 + max(parent.depth for parent in parents)

        def initialize_root(self):
            self.depth = 0

    _, end = trace(Seen.new_root(), function(case), case.subject.x)
    return " ".join(names), end.depth


# --- all of them ---


def test_there_are_functions_of_every_family_and_library() -> None:
    for name in METHODS:
        pytest.importorskip(name)
    assert {case.family for case in EVERY} == set(FAMILIES)
    assert {case.library for case in EVERY} == {None, *METHODS}
    assert len(EVERY) >= 20


def test_names_are_of_their_families_and_in_no_catalogue() -> None:
    names = [case.name for case in EVERY]
    assert len(set(names)) == len(names)
    assert not set(names) & set(problems.names())
    for case in EVERY:
        assert case.name.partition("/")[0] == case.family.replace(" ", "-")
        assert len(case.source) > 10


@of()
def test_it_is_finite_and_the_same_twice(case: Case) -> None:
    for x in points(case):
        y = value(case, x)
        assert str(y.dtype) == case.dtype
        assert np.isfinite(y).all()
        assert np.array_equal(value(case, x), y)


@of(*(family for family in FAMILIES if family != "float32"))  # there they say nothing
def test_its_jacobian_is_finite_and_that_of_differences(case: Case) -> None:
    x, J = case.subject.x, here(case)
    assert np.isfinite(J).all()
    rng = np.random.default_rng(7)
    direction = rng.standard_normal(J.shape[1]) * np.maximum(np.abs(flat(x)), 1e-3)
    h = 1e-6
    ahead, behind = (value(case, moved(x, sign * h * direction)).ravel() for sign in (1, -1))
    product = J @ direction
    off = np.linalg.norm((ahead - behind) / (2 * h) - product)
    assert off <= 1e-6 * np.linalg.norm(product)


@of()
def test_what_is_handed_over_is_the_same_function(case: Case) -> None:
    f, x = case.asked()
    if isinstance(f, Problem):
        assert (f.in_axes, x) == (None, None)
        return
    backend = registry.load(library(case))
    assert all(backend.is_array(leaf) for leaf in tree.leaves(x))
    assert np.array_equal(backend.to_numpy(f(x)), value(case, case.subject.x))


@pytest.mark.parametrize("other", ["torch", "jax", "numpy"])
@pytest.mark.parametrize(
    "case", [case for case in EVERY if case.library is None], ids=lambda case: case.name
)
def test_over_any_namespace_it_is_one_function(case: Case, other: str) -> None:
    pytest.importorskip(other)
    backend = registry.load(other)
    backend.configure(1)
    problem = case.problem()
    placed = [
        tree.map_leaves(lambda a: backend.put(a, "cpu", "float64"), part)
        for part in (problem.x, *problem.constants)
    ]
    found = backend.to_numpy(problem.neutral(backend.xp)(*placed))
    np.testing.assert_allclose(found, value(case, problem.x), rtol=1e-12, atol=1e-13)


# --- what a family means ---


@of("small")
def test_small_has_at_most_ten_of_each(case: Case) -> None:
    assert max(here(case).shape) <= 10


@of("tall")
def test_tall_has_eight_times_more_outputs(case: Case) -> None:
    m, n = here(case).shape
    assert m >= 8 * n


@of("wide")
def test_wide_has_eight_times_more_inputs(case: Case) -> None:
    m, n = here(case).shape
    assert n >= 8 * m > 8


@of("square")
def test_square_is_square_dense_and_of_full_rank(case: Case) -> None:
    J = here(case)
    assert J.shape[0] == J.shape[1] == rank(J)
    assert np.mean(J != 0) > 0.9


@of("per sample")
def test_per_sample_is_block_diagonal(case: Case) -> None:
    axis, x = case.facts["in_axis"], case.subject.x
    count = value(case, x).shape[0]
    for where in (0, 1):
        blocks = jacobian(case.name, where).reshape(count, -1, *x.shape)
        by_sample = np.moveaxis(blocks, 2 + axis, 1).reshape(count, count, -1)
        own = np.eye(count, dtype=bool)
        assert not by_sample[~own].any()
        assert by_sample[own].any(axis=1).all()
    assert case.problem().in_axes is not None


@of("banded")
def test_banded_has_a_narrow_band_and_nothing_else(case: Case) -> None:
    below, above = case.facts["bandwidth"]
    J = here(case)
    rows, columns = np.nonzero(J)
    assert (rows - columns).max() == below
    assert (columns - rows).max() == above
    assert 8 * (below + above + 1) <= J.shape[1]


@of("stencil")
def test_stencil_couples_neighbours_in_the_plane(case: Case) -> None:
    grid = case.facts["grid"]
    rows, columns = (np.stack(np.unravel_index(i, grid)) for i in np.nonzero(here(case)))
    distance = np.abs(rows - columns).sum(axis=0)
    assert distance.max() == 1
    assert len(distance) == 5 * grid[0] * grid[1] - 2 * sum(grid)


@of("bottleneck")
def test_bottleneck_has_a_low_rank(case: Case) -> None:
    J = here(case)
    assert rank(J) == case.facts["k"] <= min(J.shape) / 8


@of("bottleneck with residual")
def test_bottleneck_with_residual_is_of_low_rank_off_the_diagonal_alone(case: Case) -> None:
    J = here(case)
    half = len(J) // 2
    assert rank(J) >= len(J) - 1 == J.shape[1] - 1  # one less where turning all changes nothing
    assert rank(J[:half, half:]) == case.facts["k"] <= len(J) / 8


@of("linear")
def test_linear_has_one_jacobian_and_it_is_the_function(case: Case) -> None:
    J, x = here(case), case.subject.x
    np.testing.assert_allclose(jacobian(case.name, 1), J, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(value(case, x).ravel(), J @ flat(x), rtol=1e-10, atol=1e-12)


@of("affine and nonlinear")
def test_affine_and_nonlinear_has_some_rows_that_stay(case: Case) -> None:
    change = jacobian(case.name, 1) - here(case)
    rows = np.zeros(len(change), dtype=bool)
    rows[case.facts["affine"]] = True
    assert 0 < rows.sum() < len(rows)
    assert np.abs(change[rows]).max() <= 1e-13
    assert np.abs(change[~rows]).max(axis=1).min() > 1e-6


@of("deep chain")
def test_deep_chain_is_deep(case: Case) -> None:
    assert made_of(case)[1] >= case.facts["depth"] >= 50


@of("loop")
def test_loop_is_a_loop(case: Case) -> None:
    names, depth = made_of(case)
    assert "scan" in names or "while" in names or depth >= case.facts["steps"]
    assert case.facts["steps"] >= 10


USES = {
    "fft": r"fft|Fft",
    "solve": r"\blu\b|triangular_solve|solve|Cholesky",
    "scatter": r"scatter.add|IndexAdd",
    "convolution": r"conv|Conv",
    "attention": r"Softmax|\bexp\b.*\bdiv\b.*dot_general",
    "reductions": r"sum|mean|Sum|Mean",
}


@of(*USES)
def test_it_uses_what_it_is_an_example_of(case: Case) -> None:
    assert re.search(USES[case.family], made_of(case)[0])


@of("reductions")
def test_reductions_have_few_outputs_of_all_inputs(case: Case) -> None:
    J = here(case)
    assert J.shape[0] * 32 <= J.shape[1]
    assert (J != 0).all(axis=0).all()


@of("ode")
def test_ode_is_integrated(case: Case) -> None:
    integrate = pytest.importorskip("scipy.integrate")
    rhs, x = case.facts["rhs"], case.subject.x
    found = integrate.solve_ivp(
        lambda _, y: np.asarray(rhs(y)), (0, case.facts["time"]), x, rtol=1e-10, atol=1e-12
    )
    np.testing.assert_allclose(value(case, x), found.y[:, -1], rtol=1e-4, atol=1e-5)


@of("kinematics")
def test_kinematics_turns_about_the_first_joint(case: Case) -> None:
    axes = case.facts["axes"]
    place = value(case, case.subject.x).ravel()[case.facts["points"]].reshape(-1, axes)
    turned = here(case)[case.facts["points"], 0].reshape(-1, axes)
    assert np.linalg.norm(place, axis=1).max() <= case.facts["reach"]
    expected = np.zeros_like(place)
    expected[:, 0], expected[:, 1] = -place[:, 1], place[:, 0]
    np.testing.assert_allclose(turned, expected, rtol=1e-12, atol=1e-13)


@of("float32")
def test_float32_cannot_be_had_in_float64(case: Case) -> None:
    assert case.dtype == "float32"
    backend = registry.load(library(case))
    precise = backend.put(case.subject.x, "cpu", "float64")
    if case.library == "torch":
        with pytest.raises(RuntimeError, match="dtype"):
            function(case)(precise)
    else:
        assert str(backend.to_numpy(function(case)(precise)).dtype) == "float32"
