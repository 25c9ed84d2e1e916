"""One contract for every method of every backend: its operator, on every problem, in both dtypes.

The cells themselves are in one file a library: ``test_methods_*.py``.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from jacbench.backend import Prepared, registry
from jacbench.core import layouts, operators, tree
from jacbench.core.cell import Verdict
from tests.contract.answers import check, check_not_done, declared, right
from tests.contract.cells import (
    CASES,
    COMPILED,
    COMPILED_CASES,
    DTYPES,
    INFO,
    INSTANCES,
    METHODS,
    REQUIRED,
    STRUCTURED,
    TRACED,
    has_operator,
    installed,
    problem_of,
    settled,
)
from tests.contract.expected import expected
from tests.contract.holding import is_called_again

# --- what every method must do ---

OF_OPERATOR = {
    "batch_jacobian": ("samples", "samples that share x"),
    "value_and_jacobian": ("a tree", "an input that is not used", "aux"),
}


def required(method: str) -> tuple[str, ...]:
    if INFO[method].by_intermediate:
        return ("an intermediate value",)
    if method in COMPILED:
        return ("an input that is not used",)  # of a tree: seconds each
    if method.endswith(".sum-trick"):
        return ("samples",)
    if INFO[method].structure:
        return ()  # see test_structure
    return OF_OPERATOR.get(INFO[method].operator, ("a tree", "an input that is not used"))


HELD = {*CASES, *COMPILED_CASES}
MUST = [
    (method, what, dtype)
    for method in INFO
    for dtype in DTYPES
    # a tree with an input that is not used is a tree
    for what in required(method)
    if not (method in TRACED and dtype == "float32" and what == "a tree")
]


def test_every_method_is_held_to_what_it_must_do() -> None:
    # else a method that declines everything could pass
    for method, what, dtype in MUST:
        cell = (REQUIRED[what], method, dtype)
        assert cell in HELD
        assert expected(*cell) is Verdict.AGREES


def test_every_method_is_called_again() -> None:
    called = {method for problem, method, dtype in HELD if is_called_again(problem, method, dtype)}
    assert called == set(INFO) - set(STRUCTURED)


BY_HAND = {
    "numpy.analytic": "a tree",
    "numpy.analytic-value": "a tree",
    "numpy.analytic-batch": "samples",
    "numpy.analytic-vjp": "a tree",
    "numpy.analytic-jvp": "a tree",
}


@pytest.mark.parametrize("method", BY_HAND)
def test_the_check_made_here_sees_what_is_slightly_off(method: str) -> None:
    # else everything above would pass for a check that looks at nothing
    name = REQUIRED[BY_HAND[method]]
    found = settled(name, method)
    assert found.prepared is not None
    call, parts = found.prepared.call, 2 if INFO[method].operator == "value_and_jacobian" else 1
    check(found, problem_of(name))
    for part in range(parts):

        def off(x: Any, part: int = part) -> Any:
            returned = call(x)
            if parts == 1:
                return tree.map_leaves(lambda leaf: leaf * (1 + 1e-9), returned)
            scaled = list(returned)
            scaled[part] = scaled[part] * (1 + 1e-9)
            return tuple(scaled)

        with pytest.raises(AssertionError):
            check(dataclasses.replace(found, prepared=Prepared(off)), problem_of(name))


@pytest.mark.parametrize("backend", ["torch", "jax", "autograd", "numpy"])
def test_every_operator_has_a_method_in_every_library(backend: str) -> None:
    offered = {info.operator for info in registry.descriptors()[backend].methods}
    lacking = {"autograd": {"factored_jacobian"}, "numpy": {"factored_jacobian", "sparse_jacobian"}}
    assert offered == set(operators.NAMES) - lacking.get(backend, set())


def test_every_layout_is_declared_by_some_method() -> None:
    pytest.importorskip("torch")
    pytest.importorskip("autograd")
    name = REQUIRED["a tree"]
    answer = right(problem_of(name), "jacobian", "numpy", "float64")
    found = {
        declared(settled(name, method), problem_of(name), answer.y.shape).name
        for method in METHODS
        if method not in TRACED  # for nothing but its layout
        if INFO[method].operator == "jacobian" and not INFO[method].by_intermediate
        if registry.descriptor_of(method).absent() is None
    }
    every = (
        layouts.OUTPUT_BY_INPUT,
        layouts.ROWS,
        layouts.OUTPUT_BY_COLUMNS,
        layouts.COLUMNS,
        layouts.MATRIX,
    )
    assert found == {one.name for one in every}


# --- the instances ---

LARGE = [name for name, small in INSTANCES.items() if name != small]
FULL = {
    # 10000 columns are seconds, and numpy.analytic's
    "torch.func.jacrev": [name for name in LARGE if name != "shape/wide"],
    "torch.sum-trick": LARGE,
    "numpy.analytic": LARGE,
    "jax.map-vjp": ["shape/tall"],
    "jax.vmap-jacfwd": ["basics/generator"],
}


@pytest.mark.parametrize(
    ("method", "problem"),
    [(m, name) for m, names in FULL.items() for name in names if has_operator(name, m)],
)
def test_at_the_size_of_the_catalogue(method: str, problem: str) -> None:
    found = settled(problem, method)
    if found.result.verdict is Verdict.AGREES:
        check(found, problem_of(problem))
    else:
        check_not_done(found, problem_of(problem))
        assert settled(INSTANCES[problem], method).result.verdict is found.result.verdict


def test_instances_are_small() -> None:
    # a large one would take this suite minutes, once per method and dtype
    large = {
        name: problem_of(name).n
        for name in INSTANCES.values()
        if problem_of(name).n > 250 and problem_of(name).jacobian is not None
    }
    assert not large, f"give {large} smaller sizes in tests/contract/cells.py"


# --- CUDA ---


@pytest.mark.parametrize("method", INFO)
def test_on_cuda(method: str) -> None:
    name = installed(method)
    if registry.descriptors()[name].cuda_devices() == 0:
        pytest.skip(f"{name} sees no CUDA device here")
    backend = registry.load(name)
    for what, dtype in [(what, dtype) for m, what, dtype in MUST if m == method]:
        found = settled(REQUIRED[what], method, dtype, device="cuda:0")
        if found.result.verdict is not Verdict.AGREES:
            check_not_done(found, problem_of(REQUIRED[what]))
            continue
        assert {backend.device_of(leaf) for leaf in tree.leaves(found.x)} == {"cuda:0"}
        check(found, problem_of(REQUIRED[what]))
