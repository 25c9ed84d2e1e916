"""Cells whose Jacobian is too large to hold are held against products, by the same evidence."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from jacbench.checking.new_points import NewPoints
from jacbench.checking.product_reference import reference_by_products
from jacbench.checking.random_products import ByProducts
from jacbench.core.cell import Cell, CellResult, Verdict
from jacbench.core.errors import JacbenchError
from jacbench.problems.problem import Problem
from jacbench.running.prepared_cells import Harness, Limits
from tests import own_rule

N = 60
X = np.linspace(0.5, 1.5, N)

# torch's own: the first use of forward mode
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")


def neighbours(xp: Any, x: Any) -> Any:
    return x**2 * xp.concat([x[1:], x[:1]])


def settled(problem: Problem, method: str, operator: str) -> CellResult:
    own = Harness(1, Limits(memory_bytes=1000), {"mine": problem}, verify_pins=False)
    return own.settle(Cell("mine", operator, method, "torch", "cpu", "float64", 1)).result


def test_what_is_too_large_to_hold_is_held_against_products() -> None:
    pytest.importorskip("torch")
    problem = Problem(name="mine", function=neighbours, x=X)
    found = settled(problem, "torch.coloured-csr", "sparse_jacobian")
    assert (found.verdict, found.reference, found.tolerance) == (
        Verdict.AGREES,
        "consensus",
        1e-12,
    )
    assert found.notes["compared_on"] == "3 random products a side"
    assert "reference_doubt" not in found.notes
    dense = settled(problem, "torch.func.jacrev", "jacobian")
    assert dense.verdict is Verdict.TOO_LARGE


def test_what_is_cut_out_of_the_whole_is_too_large_like_it() -> None:
    apart = Problem(
        name="mine",
        function=lambda xp, x: xp.sin(x),
        x=X.reshape(20, 3),
        in_axes=(0,),
        jacobian=lambda x: np.diag(np.cos(x).reshape(-1)),
    )
    own = Harness(1, Limits(memory_bytes=1000), {"mine": apart}, verify_pins=False)
    cell = Cell("mine", "batch_jacobian", "numpy.analytic-batch", "numpy", "cpu", "float64", 1)
    assert own.settle(cell).result.verdict is Verdict.TOO_LARGE


def test_samples_are_held_against_products_too() -> None:
    pytest.importorskip("torch")
    apart = Problem(
        name="mine", function=lambda xp, x: xp.sin(x) * x, x=X.reshape(20, 3), in_axes=(0,)
    )
    found = settled(apart, "torch.vmap-jacrev", "batch_jacobian")
    assert (found.verdict, found.reference) == (Verdict.AGREES, "consensus")
    mixed = Problem(
        name="mine", function=lambda xp, x: x - xp.sum(x), x=X.reshape(20, 3), in_axes=(0,)
    )
    found = settled(mixed, "torch.vmap-jacrev", "batch_jacobian")
    assert found.verdict is Verdict.UNSUPPORTED
    assert (found.reason or "").startswith("samples interact")


def native(f: Any) -> Problem:
    return Problem(name="mine", native={"torch": f}, x=X)


def test_a_rule_that_is_wrong_leaves_nothing_that_is_right() -> None:
    pytest.importorskip("torch")
    wrong = native(own_rule.sine(lambda given, cosine: 2 * given * cosine))
    with pytest.raises(JacbenchError, match=r"what is right cannot be told: differences .* away"):
        reference_by_products(wrong, "float64", "torch")
    assert settled(wrong, "torch.coloured-csr", "sparse_jacobian").verdict is Verdict.FAILED


def test_a_cut_is_named() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(JacbenchError, match=r"\.detach\(\) at test_product_reference\.py:"):
        reference_by_products(native(lambda x: x * torch.tanh(x).detach()), "float64", "torch")


def test_what_differences_cannot_confirm_is_told() -> None:
    torch = pytest.importorskip("torch")
    right = reference_by_products(native(lambda x: torch.relu(x - X[3])), "float64", "torch")
    assert right.kind == "consensus"
    assert right.doubt.startswith("differences cannot confirm the reference: ")


def test_beside_y_stands_aux() -> None:
    problem = Problem(
        name="mine", native={"autograd": lambda x: (x * x, {"twice": 2 * x})}, x=X, has_aux=True
    )
    pytest.importorskip("autograd")
    right = reference_by_products(problem, "float64", "autograd")
    assert np.array_equal(right.here.aux["twice"], 2 * X)


def test_products_by_numpy_are_by_the_complex_step() -> None:
    problem = Problem(name="mine", function=neighbours, x=X)
    right = reference_by_products(problem, "float64", "numpy")
    J = np.diag(2 * X * np.roll(X, -1)) + np.roll(np.diag(X**2), 1, axis=1)
    assert right.distance(J).error < 1e-14
    assert (right.kind, right.doubt) == ("consensus", "")


def test_a_miss_at_a_new_point_counts_where_one_mode_alone_is_known() -> None:
    pytest.importorskip("autograd")
    from autograd.extend import defvjp, primitive

    sine = primitive(np.sin)
    defvjp(sine, lambda ans, x: lambda g: g * np.cos(x))
    problem = Problem(name="mine", native={"autograd": sine}, x=X)

    def rightly(moved: Problem) -> ByProducts:
        right = reference_by_products(moved, "float64", "autograd")
        one_side = [
            dataclasses.replace(point, jacobian=np.empty((N, 0)), tangents=np.empty((N, 0)))
            for point in (right.here, right.elsewhere)
        ]
        return dataclasses.replace(right, here=one_side[0], elsewhere=one_side[1])

    points = NewPoints(problem, rightly(problem), rightly, "float64")
    found = points.current()
    assert found is not None
    assert points.tells(found.here, 1e-3)
    assert not points.tells(found.here, 1e-15)
