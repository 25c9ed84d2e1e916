"""One contract for every method of every backend, on every problem, in both precisions.

A cell agrees, or it is unsupported and says why. What agrees is checked once more here, without the
code that gave the verdict.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jacbench import layout, problems, registry, tree
from jacbench.backend import Target
from jacbench.cell import Cell, CellResult, Verdict
from jacbench.harness import Harness, Limits
from jacbench.problem import Problem
from jacbench.problems.shape import hidden_layer
from jacbench.settle import Settled

# torch.func.linearize's tracer says so of every function with constants; its numbers are right
pytestmark = pytest.mark.filterwarnings("ignore:Attempted to insert a get_attr Node:UserWarning")

METHODS = registry.method_names()
COMPILED = [name for name in METHODS if name.startswith("torch.compile-")]
DTYPES = ("float64", "float32")
LIMIT = {"float64": 1e-12, "float32": 2e-5}

COMPILED_CASES = [
    (problem, method, "float64")
    for method in COMPILED
    for problem in ("shape/small", "basics/mlp-weights", "basics/logistic-loss")
]
# the same network as shape/small and shape/wide, which JAX would trace and compile once more
SAME_IN_FLOAT32 = ("shape/tall", "shape/square", "shape/scalar")
CASES = [
    (problem, method, dtype)
    for method in METHODS
    if method not in COMPILED
    for problem in problems.names()
    for dtype in DTYPES
    if not (dtype == "float32" and method.startswith("jax.") and problem in SAME_IN_FLOAT32)
]

# Seconds a cell: one pass from Python per row or per column. In float32, where a fault would be one
# of the dtype and not of the size, a small twin of the same form stands in; so it does in both for
# the one cell that takes most of a minute.
SLOWEST = ("jax.vjp-loop", "shape/tall")
SLOW = {
    *((method, "shape/tall") for method in ("autograd.jacobian", "autograd.vjp-loop")),
    *(("jax.vjp-loop", problem) for problem in ("shape/wide", "basics/generator")),
    ("autograd.jvp", "shape/wide"),
    ("numpy.central-difference", "shape/wide"),
    ("numpy.complex-step", "shape/wide"),
    ("torch.functional", "shape/tall"),
    *((m, "shape/tall") for m in ("torch.grad-loop", "torch.backward-loop")),
}
TWINS = {
    "shape/tall": (64, 4),
    "shape/wide": (4, 64),
    "basics/generator": (24, 24),
}


@functools.cache
def twin(problem: str) -> Problem:
    m, n = TWINS[problem]
    entry = problems.Entry(
        name=f"twin/{problem}", m=m, n=n, summary="", source="", build="jacbench.problems.shape"
    )
    return hidden_layer(entry)


TWIN_PROBLEMS = {twin(problem).name: twin(problem) for problem in TWINS}


@functools.cache
def harness(chunk_size: int | None = None) -> Harness:
    return Harness(1, Limits(chunk_size), TWIN_PROBLEMS, verify_pins=False)


def installed(method: str) -> str:
    """Return the method's backend, or skip where it cannot be had."""
    descriptor = registry.descriptor_of(method)
    reason = descriptor.absent()
    if reason is not None:
        pytest.skip(reason)
    return descriptor.name


def settled(
    problem: str,
    method: str,
    dtype: str = "float64",
    device: str = "cpu",
    chunk_size: int | None = None,
) -> Settled:
    backend = installed(method)
    cell = Cell(problem, "jacobian", method, backend, device, dtype, 1)
    return harness(chunk_size).settle(cell)


def target_of(found: Settled, problem: Problem, y_shape: tuple[int, ...]) -> Target:
    return Target(
        function=problem.function,
        x=found.x,
        constants=(),
        y_shape=y_shape,
        device=found.result.cell.device,
        dtype=found.result.cell.dtype,
        chunk_size=found.result.chunk_size,
    )


def native_arrays(method: str, native: Any) -> list[np.ndarray]:
    backend = registry.load(registry.descriptor_of(method).name)
    return [backend.to_numpy(leaf) for leaf in tree.leaves(native)]


def check(found: Settled, problem: Problem) -> None:
    """Look at an agreeing cell with nothing but NumPy and the declared layout."""
    result, method = found.result, found.result.cell.method
    limit = LIMIT[result.cell.dtype]
    if method != "numpy.central-difference":  # inexact by construction, with its own tolerance
        assert result.tolerance == limit
    assert result.error is not None
    assert result.tolerance is not None
    assert result.error <= result.tolerance

    def rounded(value: Any) -> Any:
        return tree.map_leaves(
            lambda leaf: (
                leaf.astype(result.cell.dtype).astype(float) if leaf.dtype.kind == "f" else leaf
            ),
            value,
        )

    constants = [rounded(constant) for constant in problem.constants]
    y = np.asarray(problem.function(registry.load("numpy").xp, rounded(problem.x), *constants))
    assert (result.m, result.n) == (y.size, problem.n)
    assert problem.jacobian is not None
    exact = problem.jacobian(rounded(problem.x), *constants)
    declared = registry.method(method).layout(target_of(found, problem, y.shape))
    assert found.prepared is not None
    arrays = native_arrays(method, found.prepared.call(found.x))
    assert [a.shape for a in arrays] == declared.shapes(y.shape, problem.leaf_shapes)
    assert {str(a.dtype) for a in arrays} == {result.cell.dtype}
    J = declared.matrix(arrays, y.size).astype(float)
    error = np.linalg.norm(J - exact) / np.linalg.norm(exact)
    assert error <= result.tolerance
    if result.cell.dtype == "float64" and method != "numpy.central-difference":
        assert error < 1e-12
        assert result.error < 1e-12


def check_unsupported(result: CellResult) -> None:
    assert result.verdict is Verdict.UNSUPPORTED, (result.reason, result.traceback)
    assert result.reason
    assert "\n" not in result.reason


@pytest.mark.parametrize(("problem", "method", "dtype"), [*CASES, *COMPILED_CASES])
def test_agrees_or_says_why_not(problem: str, method: str, dtype: str) -> None:
    installed(method)
    slow = dtype == "float32" and (method, problem) in SLOW
    if slow or (method, problem) == SLOWEST:
        problem = twin(problem).name
    found = settled(problem, method, dtype)
    if found.result.verdict is not Verdict.AGREES:
        check_unsupported(found.result)
        pytest.skip(found.result.reason or "")
    check(found, harness().problem(problem))


@pytest.mark.parametrize("method", METHODS)
def test_supports_something_here(method: str) -> None:
    # else the test above would pass for a backend that declines everything
    if method in COMPILED:
        pytest.skip("depends on the machine's compiler")
    assert settled("basics/mlp-weights", method).result.verdict is Verdict.AGREES


def test_only_forward_mode_on_a_vector_is_declined() -> None:
    # a method that declines more than it must would go unnoticed
    pytest.importorskip("torch")
    declined = {
        (method, problem)
        for problem in problems.names()
        for method in METHODS
        if method not in COMPILED
        and registry.descriptor_of(method).absent() is None
        and (method, problem) != SLOWEST
        and settled(problem, method).result.verdict is not Verdict.AGREES
    }
    assert {method for method, _ in declined} <= {"torch.functional-forward"}
    assert ("torch.functional-forward", "basics/mlp-weights") not in declined


# --- chunk sizes ---


def chunking_of(method: str) -> str:
    installed(method)
    return registry.method(method).chunking


@pytest.mark.parametrize("problem", ["shape/small", "basics/mlp-weights"])
@pytest.mark.parametrize("method", [m for m in METHODS if m not in COMPILED])
def test_chunk_sizes(method: str, problem: str) -> None:
    chunking = chunking_of(method)
    m = problems.entry(problem).m
    whole = settled(problem, method).result
    for size in (1, 3, m, m + 5):
        found = settled(problem, method, chunk_size=size)
        if chunking == "whole":
            check_unsupported(found.result)
            assert "no chunk size" in (found.result.reason or "")
            assert found.result.n == problems.entry(problem).n
            continue
        assert found.result.verdict == whole.verdict, found.result.reason
        assert found.result.chunk_size == (size if chunking == "chunked" else None)
        if whole.verdict is Verdict.AGREES:
            check(found, problems.get(problem))


@pytest.mark.parametrize("method", COMPILED)
def test_chunk_size_when_compiled(method: str) -> None:
    found = settled("shape/small", method, chunk_size=2)
    if found.result.verdict is not Verdict.AGREES:
        check_unsupported(found.result)
        return
    assert found.result.chunk_size == 2
    check(found, problems.get("shape/small"))


def test_every_way_of_chunking_is_offered() -> None:
    pytest.importorskip("torch")
    found = {chunking_of(m) for m in METHODS if registry.descriptor_of(m).name == "torch"}
    assert found == {"chunked", "whole", "loop"}


# --- statelessness ---


@pytest.mark.parametrize("problem", ["basics/mlp-weights", "basics/shifted-square"])
@pytest.mark.parametrize("method", METHODS)
def test_keeps_nothing_between_calls(method: str, problem: str) -> None:
    if method in COMPILED and problem != "basics/mlp-weights":
        pytest.skip("torch.compile takes seconds: one problem stands for both")
    found = settled(problem, method)
    if found.result.verdict is not Verdict.AGREES:
        check_unsupported(found.result)
        pytest.skip(found.result.reason or "")
    backend = registry.load(registry.descriptor_of(method).name)
    assert found.prepared is not None
    one = found.x
    two = tree.map_leaves(
        lambda leaf: backend.put(leaf, "cpu", "float64"), problems.get(problem).elsewhere
    )
    before = [backend.to_numpy(leaf) for leaf in tree.leaves([one, two])]
    call = found.prepared.call
    kept = [call(one)]
    copies = [native_arrays(method, kept[0])]
    for x in (two, one):
        kept.append(call(x))
        copies.append(native_arrays(method, kept[-1]))
    for first, second, third in zip(*copies, strict=True):
        assert not np.array_equal(first, second)
        assert np.array_equal(first, third)
    for native, copy in zip(kept, copies, strict=True):
        assert all(map(np.array_equal, native_arrays(method, native), copy))
    after = [backend.to_numpy(leaf) for leaf in tree.leaves([one, two])]
    assert all(map(np.array_equal, before, after))


# --- CUDA ---


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("problem", ["basics/mlp-weights", "shape/small"])
@pytest.mark.parametrize("method", METHODS)
def test_on_cuda(method: str, problem: str, dtype: str) -> None:
    name = installed(method)
    if registry.descriptors()[name].cuda_devices() == 0:
        pytest.skip(f"{name} sees no CUDA device here")
    found = settled(problem, method, dtype, device="cuda:0")
    if found.result.verdict is not Verdict.AGREES:
        check_unsupported(found.result)
        pytest.skip(found.result.reason or "")
    backend = registry.load(name)
    assert {backend.device_of(leaf) for leaf in tree.leaves(found.x)} == {"cuda:0"}
    check(found, problems.get(problem))


# --- random functions ---

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


REPRESENTATIVES = {
    "torch": (
        (
            "torch.functional",
            "torch.backward-loop",
            "torch.grad-batched",
            "torch.vmap-vjp",
            "torch.vmap-jvp",
            "torch.func.jacrev",
            "torch.func.jacfwd",
        ),
        20,
    ),
    "jax": (("jax.jacrev", "jax.linearize", "jax.map-vjp"), 4),  # compiles each time
    "autograd": (("autograd.jacobian", "autograd.vjp-loop", "autograd.jvp"), 20),
    "numpy": (("numpy.central-difference", "numpy.complex-step"), 20),
}


@pytest.mark.parametrize("backend", REPRESENTATIVES)
def test_random_functions_agree(backend: str) -> None:
    methods, examples = REPRESENTATIVES[backend]
    installed(methods[0])

    @settings(max_examples=examples, suppress_health_check=list(HealthCheck))
    @given(functions())
    def agree(problem: Problem) -> None:
        own = Harness(1, Limits(), {problem.name: problem}, verify_pins=False)
        for method in methods:
            cell = Cell(problem.name, "jacobian", method, backend, "cpu", "float64", 1)
            result = own.settle(cell).result
            assert result.verdict is Verdict.AGREES, (method, result.reason, result.traceback)
            assert result.reference == "complex-step"

    agree()


def test_every_layout_is_declared_by_some_method() -> None:
    pytest.importorskip("torch")
    pytest.importorskip("autograd")
    problem = problems.get("basics/mlp-weights")
    found = {
        registry.method(method)
        .layout(target_of(settled(problem.name, method), problem, (20, 1)))
        .name
        for method in METHODS
        if method not in COMPILED and registry.descriptor_of(method).absent() is None
    }
    every = (
        layout.OUTPUT_BY_INPUT,
        layout.ROWS,
        layout.OUTPUT_BY_COLUMNS,
        layout.COLUMNS,
        layout.MATRIX,
    )
    assert found == {one.name for one in every}
