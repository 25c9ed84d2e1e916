"""Cells held against products: the steps of every cell, where no entry is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from jacbench.backend import Method, MethodInfo, Prepared, Target
from jacbench.checking.checks import Settled
from jacbench.checking.random_products import ByProducts, Probed
from jacbench.checking.verdict import settle
from jacbench.core import layouts
from jacbench.core.cell import Cell, Verdict
from jacbench.core.layouts import Layout
from jacbench.core.pattern import Pattern
from jacbench.problems.problem import Problem
from tests.picking.gathering import (
    exact,
    smooth,
)
from tests.picking.planted import A, X, configured, subject

anp = pytest.importorskip("autograd.numpy")

# torch's own: the first use of forward mode
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")


class Told(Method):
    """A method that makes what the test tells of the right Jacobian."""

    def __init__(
        self,
        call: Callable[[np.ndarray], Any],
        operator: str = "jacobian",
        declared: Layout = layouts.MATRIX,
    ) -> None:
        self.info = MethodInfo("autograd.told", "what the test tells it", operator)
        self.call, self.declared = call, declared

    def layout(self, target: Target) -> Layout:
        return self.declared

    def prepare(self, target: Target) -> Prepared:
        return Prepared(self.call)


def products(problem: Problem, f: Callable[[Any], Any], J: Callable[[Any], Any]) -> ByProducts:
    """Return what three random vectors a side see of the Jacobian at both points."""
    rng = np.random.default_rng(0)
    m, n = J(problem.x).shape
    V, U = rng.standard_normal((n, 3)), rng.standard_normal((3, m))

    def at(x: Any) -> Probed:
        return Probed(
            x=x,
            constants=(),
            y=f(x),
            jacobian=J(x) @ V,
            tangents=V,
            cotangents=U,
            pulled=U @ J(x),
        )

    return ByProducts(at(problem.x), at(problem.elsewhere), "consensus", 0.0)


def verdict(method: Method) -> Settled:
    asked = subject(smooth(configured("autograd").xp))
    cell = Cell(
        "f", method.info.operator, method.info.name, "autograd", "cpu", "float64", threads=1
    )
    right = products(asked.problem, lambda x: np.tanh(A @ x), exact)
    return settle(cell, asked.problem, configured("autograd"), method, right)


class TestByProducts:
    """The steps of a cell, on products alone."""

    def test_the_right_one_agrees(self) -> None:
        found = verdict(Told(exact))
        assert found.result.verdict is Verdict.AGREES
        assert found.prepared is not None
        assert found.result.error is not None
        assert found.result.error < 1e-14
        assert found.result.tolerance == 1e-12
        assert found.result.notes["compared_on"] == "3 random products a side"

    def test_a_wrong_entry_is_placed(self) -> None:
        def spoiled(x: np.ndarray) -> np.ndarray:
            J = exact(x)
            J[1, 2] += 1e-6
            return J

        found = verdict(Told(spoiled))
        assert found.prepared is None
        assert found.result.verdict is Verdict.DISAGREES
        told = found.result.reason or ""
        assert told.startswith("at another point than it prepared: ‖(J-R)v‖/‖Rv‖ = ")
        assert "at row 1 of J v and at column 2 (x[2]) of v J" in told

    @pytest.mark.parametrize(
        ("call", "part"),
        [
            (lambda x: exact(X), "at another point than it prepared"),
            (lambda x: exact(x)[:1], "native shape (1, 3)"),
            (lambda x: exact(x).astype(np.float32), "float32 in a float64 cell"),
            (lambda x: exact(x) * np.nan, "at another point"),
            (lambda x: [], "native shape"),
        ],
    )
    def test_every_step_is_taken(self, call: Callable[[Any], Any], part: str) -> None:
        found = verdict(Told(call)).result
        assert found.verdict is Verdict.DISAGREES
        assert part in (found.reason or "")

    def test_a_changed_input_is_caught(self) -> None:
        def moves(x: np.ndarray) -> np.ndarray:
            J = exact(x)
            x += 1.0
            return J

        assert verdict(Told(moves)).result.verdict is Verdict.DISAGREES

    def test_an_overwritten_result_is_caught(self) -> None:
        kept = np.empty((2, 3))

        def reused(x: np.ndarray) -> np.ndarray:
            kept[...] = exact(x)
            return kept

        assert "overwrote" in (verdict(Told(reused)).result.reason or "")

    def test_what_raises_has_failed(self) -> None:
        def broken(x: np.ndarray) -> np.ndarray:
            raise ValueError("no")

        found = verdict(Told(broken)).result
        assert (found.verdict, found.reason) == (Verdict.FAILED, "ValueError: no")

    def test_sparse_and_factored_answers(self) -> None:
        pattern = Pattern.of(np.ones((2, 3)))
        csr = Told(lambda x: exact(x).reshape(-1), "sparse_jacobian", layouts.sparse(pattern))
        assert verdict(csr).result.verdict is Verdict.AGREES
        thin = Told(
            lambda x: (np.diag(1 - np.tanh(A @ x) ** 2), A.copy()),
            "factored_jacobian",
            layouts.factored(2),
        )
        assert verdict(thin).result.verdict is Verdict.AGREES
        wrong = Told(
            lambda x: (np.diag(1 - np.tanh(A @ x) ** 2), A * 1.1),
            "factored_jacobian",
            layouts.factored(2),
        )
        assert verdict(wrong).result.verdict is Verdict.DISAGREES

    def test_blocks_of_a_batch(self) -> None:
        x = np.arange(6.0).reshape(3, 2) / 10
        asked = subject(anp.sin, x, in_axes=(0,))
        right = products(asked.problem, np.sin, lambda x: np.diag(np.cos(x.reshape(-1))))
        cell = Cell("f", "batch_jacobian", "autograd.told", "autograd", "cpu", "float64", 1)

        def blocks(x: np.ndarray) -> np.ndarray:
            return np.einsum("bi,ij->bij", np.cos(x), np.eye(2)).reshape(6, 2)

        library = configured("autograd")
        for scale, verdict_ in ((1.0, Verdict.AGREES), (1.001, Verdict.DISAGREES)):
            method = Told(lambda x, s=scale: s * blocks(x), "batch_jacobian")
            found = settle(cell, asked.problem, library, method, right)
            assert found.result.verdict is verdict_
