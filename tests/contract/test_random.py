"""Random functions of random trees, with and without samples, under methods of each kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jacbench.core import tree
from jacbench.core.cell import Cell, Verdict
from jacbench.problems.problem import Problem
from jacbench.running.prepared_cells import Harness, Limits
from tests.contract.answers import check, told
from tests.contract.cells import INFO, installed

# torch.func.linearize's tracer says so of every function with constants; its numbers are right
pytestmark = pytest.mark.filterwarnings("ignore:Attempted to insert a get_attr Node:UserWarning")

SHAPES = st.sampled_from([(), (1,), (3,), (2, 2), (1, 3)])
OUTPUTS = st.sampled_from([(), (1,), (4,), (2, 3), (3, 1)])

# By index, as a user would: autograd traces a dict as a box that is no dict, so that the functions
# of jacbench.tree see one leaf in it.
STRUCTURES: dict[str, tuple[Any, Any]] = {
    "array": (lambda leaf: leaf(), lambda x: [x]),
    "dict, unsorted": (
        lambda leaf: {"w": leaf(), "b": leaf(), "W": {"z": leaf(), "a": leaf()}},
        lambda x: [x["b"], x["W"]["z"], x["w"], x["W"]["a"]],
    ),
    "nested tuples": (
        lambda leaf: ((leaf(), leaf()), (leaf(), (leaf(),))),
        lambda x: [x[1][1][0], x[0][0], x[1][0], x[0][1]],
    ),
    "list of a dict": (lambda leaf: [leaf(), {"only": leaf()}], lambda x: [x[1]["only"], x[0]]),
}


@st.composite
def functions(draw: st.DrawFn) -> Problem:
    """Draw tanh(A v) + (B v)^2 + C v^3 over v, all leaves of an array or of a tree."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def leaf() -> np.ndarray:
        return rng.uniform(-1, 1, draw(SHAPES))

    build, leaves_of = STRUCTURES[draw(st.sampled_from(sorted(STRUCTURES)))]
    x = build(leaf)
    y_shape = draw(OUTPUTS)
    m, n = int(np.prod(y_shape, dtype=int)), sum(part.size for part in tree.leaves(x))
    weights = rng.uniform(-1, 1, (3, m, n))

    def function(xp: Any, x: Any, *matrices: Any) -> Any:
        A, B, C = matrices
        v = xp.concat([xp.reshape(part, (-1,)) for part in leaves_of(x)])
        return xp.reshape(xp.tanh(A @ v) + xp.square(B @ v) + C @ v**3, y_shape)

    return Problem(name="random/function", function=function, x=x, constants=tuple(weights), seed=1)


@st.composite
def batches(draw: st.DrawFn) -> Problem:
    """Draw tanh(A u + D c) + (B u)^2 per sample, u all leaves of x, along a random axis of each.

    x or a constant c runs over samples, or both do.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count, rank = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    axes = draw(st.sampled_from([(0, 0), (-1, None), (-rank, 0), (rank - 1, 0), (None, 0)]))

    def leaf() -> np.ndarray:
        shape = list(rng.integers(1, 4, rank))
        if axes[0] is not None:
            shape[axes[0]] = count
        return rng.uniform(-1, 1, shape)

    build, leaves_of = STRUCTURES[draw(st.sampled_from(sorted(STRUCTURES)))]
    x = build(leaf)
    c = rng.uniform(-1, 1, (2,) if axes[1] is None else (count, 2))
    outputs = draw(OUTPUTS)
    size = sum(part.size for part in tree.leaves(x)) // (1 if axes[0] is None else count)
    m = int(np.prod(outputs, dtype=int))
    A, B = rng.uniform(-1, 1, (2, size, m))
    D = rng.uniform(-1, 1, (2, m))

    def rows(xp: Any, part: Any) -> Any:
        """Return (count, size), or (size,) where the samples share x."""
        if axes[0] is None:
            return xp.reshape(part, (-1,))
        front = axes[0] % rank
        order = (front, *(axis for axis in range(rank) if axis != front))
        samples = part.shape[front]  # one, under a map over samples
        return xp.reshape(xp.permute_dims(part, order), (samples, -1))

    def function(xp: Any, x: Any, c: Any, A: Any, B: Any, D: Any) -> Any:
        u = xp.concat([rows(xp, part) for part in leaves_of(x)], axis=-1)
        y = xp.tanh(u @ A + c @ D) + xp.square(u @ B)
        return xp.reshape(y, (-1, *outputs))

    return Problem(
        name="random/batch",
        function=function,
        x=x,
        constants=(c, A, B, D),
        in_axes=(*axes, None, None, None),
        seed=1,
    )


FUNCTIONS = {
    "torch": (
        (
            *("torch.functional", "torch.backward-loop", "torch.grad-batched", "torch.vmap-vjp"),
            *("torch.vmap-jvp", "torch.func.jacrev", "torch.func.jacfwd"),
            *("torch.func.jacrev-aux", "torch.value-and-grad-loop", "torch.func.vjp"),
            *("torch.backward", "torch.functional.jvp", "torch.forward-ad"),
        ),
        12,
    ),
    # it compiles each time
    "jax": (("jax.jacrev", "jax.linearize", "jax.map-vjp", "jax.value-and-vjp", "jax.jvp"), 3),
    "autograd": (
        (
            *("autograd.jacobian", "autograd.vjp-loop", "autograd.jvp", "autograd.make_vjp"),
            *("autograd.value-and-vjp-loop", "autograd.make_jvp"),
        ),
        20,
    ),
    "numpy": (
        (
            *("numpy.central-difference", "numpy.complex-step"),
            *("numpy.central-difference-jvp", "numpy.complex-step-jvp"),
        ),
        20,
    ),
}
BATCHES = {
    "torch": (
        ("torch.vmap-jacrev", "torch.vmap-jacfwd", "torch.sum-trick", "torch.sample-loop"),
        20,
    ),
    "jax": (("jax.vmap-jacrev", "jax.sum-trick", "jax.sample-loop"), 3),
    "autograd": (("autograd.sample-loop", "autograd.sum-trick"), 20),
}


def settle_all(problem: Problem, methods: tuple[str, ...], backend: str) -> None:
    own = Harness(1, Limits(), {problem.name: problem}, verify_pins=False)
    for method in methods:
        cell = Cell(problem.name, INFO[method].operator, method, backend, "cpu", "float64", 1)
        found = own.settle(cell)
        if method.endswith(".sum-trick") and problem.in_axes and problem.in_axes[0] is None:
            assert found.result.verdict is Verdict.UNSUPPORTED
            continue
        assert found.result.verdict is Verdict.AGREES, told(found.result)
        assert found.result.reference == "complex-step"
        check(found, problem)


@pytest.mark.parametrize("backend", FUNCTIONS)
def test_random_functions_agree(backend: str) -> None:
    methods, examples = FUNCTIONS[backend]
    installed(methods[0])

    @settings(max_examples=examples, suppress_health_check=list(HealthCheck))
    @given(functions())
    def agree(problem: Problem) -> None:
        settle_all(problem, methods, backend)

    agree()


@pytest.mark.parametrize("backend", BATCHES)
def test_random_batches_agree(backend: str) -> None:
    methods, examples = BATCHES[backend]
    installed(methods[0])

    @settings(max_examples=examples, suppress_health_check=list(HealthCheck))
    @given(batches())
    def agree(problem: Problem) -> None:
        settle_all(problem, methods, backend)

    agree()
