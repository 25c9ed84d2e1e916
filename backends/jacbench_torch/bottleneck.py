"""The Jacobian of f = g o h, split where least passes between x and y, as the product of two.

Jh comes from a pull-back per value of the middle, Jg from a push per value, each mapped over the
one-hot vectors. The middle is one flat vector, whatever the shapes.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.func import jvp, vjp, vmap
from torch.fx.experimental.proxy_tensor import make_fx

from jacbench.backend import Target, UnfitError
from jacbench.core import layouts, tree
from jacbench.core.pattern import Pattern
from jacbench.structure import guard
from jacbench.structure.bottleneck import Halves, halve
from jacbench.structure.guard import Structured, StructuredMethod
from jacbench.structure.pattern_check import Products
from jacbench_torch import coloured, dependence, host_memory
from jacbench_torch.method import TorchMethod, detached, gradients, prepared, unary
from jacbench_torch.one_factor import told_its_tangent
from jacbench_torch.straight import Straight
from jacbench_torch.thin import transpose_constants

if TYPE_CHECKING:
    from jacbench.core.layouts import Layout

Factor = torch.Tensor


class Chain:
    """A function of x split in two, with the derivative of each half.

    Attributes
    ----------
    halves
        Where it is split.
    everywhere
        True where no number of x left torch as the function was recorded, so that it did not
        branch, and where it has no derivative rule of its own, which is not recorded.
    """

    def __init__(self, target: Target) -> None:
        code, self.everywhere = _recorded(target)
        self.halves = halves = halve(code.program)
        inner_wanted = (*halves.cut, *halves.side)
        self._inner = code.part(halves.inner.steps, code.program.inputs, inner_wanted)
        outer = code.part(halves.outer.steps, inner_wanted, [code.program.output])
        self._outer = told_its_tangent(outer, len(halves.cut))
        self._shapes = [code.program.values[value].shape for value in halves.cut]
        self._sizes = [code.program.values[value].size for value in halves.cut]
        with torch.no_grad():
            parts = self._inner(*tree.leaves(target.x))[: len(halves.cut)]
        self._dtypes = [part.dtype for part in parts]
        like = torch.cat([part.reshape(-1) for part in parts])
        self._basis = torch.eye(halves.k, dtype=like.dtype, device=like.device)
        self._constant: tuple[Factor | None, Factor | None] = (None, None)
        self._recorded: Any = None

    def inner(self, *leaves: Any) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """Return the middle as one vector, and what the outer half needs beside it."""
        values, count = self._inner(*leaves), len(self._sizes)
        return _joined([value.reshape(-1) for value in values[:count]], dim=0), values[count:]

    def outer(self, middle: torch.Tensor, side: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """Return y."""
        parts = [
            part.reshape(shape).to(dtype)
            for part, shape, dtype in zip(
                middle.split(self._sizes), self._shapes, self._dtypes, strict=True
            )
        ]
        y: torch.Tensor = self._outer(*parts, *side)[0]
        return y

    def _by_x(self, leaves: list[Any]) -> tuple[torch.Tensor, tuple[torch.Tensor, ...], Factor]:
        found: Any = vjp(self.inner, *leaves, has_aux=True)
        middle, pull, side = found
        rows = vmap(pull)(self._basis)
        return middle, side, _joined([row.reshape(self.halves.k, -1) for row in rows], dim=1)

    def _by_middle(self, middle: torch.Tensor, side: tuple[torch.Tensor, ...]) -> Factor:
        def push(tangent: torch.Tensor) -> Any:
            return jvp(lambda z: self.outer(z, side), (middle,), (tangent,))[1]

        columns: torch.Tensor = vmap(push)(self._basis)
        return columns.reshape(self.halves.k, -1)

    def keep_constant(self, x: Any) -> None:
        """Compute now the factors that are the same at every x."""
        transposed, Jh = self.factors(x)
        self._constant = (
            transposed if self.halves.outer.linear else None,
            Jh if self.halves.inner.linear else None,
        )

    def record(self, x: Any) -> None:
        """Record both derivatives as one graph, which is then what is called.

        It holds the operators alone: the layers of ``vmap``, ``vjp`` and ``jvp`` around them take
        longer than most of them. What cannot be recorded is called through those layers.
        """
        leaves = [leaf.detach().clone() for leaf in tree.leaves(x)]
        with torch.no_grad(), contextlib.suppress(Exception):
            self._recorded = make_fx(lambda *own: self._derived(list(own)))(*leaves)
        if self._recorded is not None:
            transpose_constants(self._recorded)

    @torch.no_grad()
    def factors(self, x: Any) -> tuple[Factor, Factor]:
        """Return the transpose of Jg, and Jh; one that is constant is not the caller's own.

        The graph may hold parameters that require a gradient: without ``no_grad`` the results
        would be a part of theirs.
        """
        leaves = tree.leaves(x)
        if self._recorded is None:
            return self._derived(leaves)
        found: tuple[Factor, Factor] = self._recorded(*leaves)
        return found

    def _derived(self, leaves: list[Any]) -> tuple[Factor, Factor]:
        transposed, Jh = self._constant
        if transposed is not None and Jh is not None:
            return transposed, Jh
        if Jh is None:
            middle, side, Jh = self._by_x(leaves)
        else:
            middle, side = self.inner(*leaves)
        return self._by_middle(middle, side) if transposed is None else transposed, Jh


def _recorded(target: Target) -> tuple[Straight, bool]:
    """Return the function as recorded, and whether that is all of it for every x."""
    try:
        with dependence.Watched():
            return Straight(target), not dependence.has_a_rule(target)
    except UnfitError:
        return Straight(target), False


def _joined(parts: Sequence[torch.Tensor], dim: int) -> torch.Tensor:
    """Return the parts as one tensor, each entry in a place of its own.

    A single part is as it is, where ``cat`` would copy it.
    """
    return parts[0].contiguous() if len(parts) == 1 else torch.cat(list(parts), dim=dim)


def _check(target: Target, chain: Chain) -> None:
    """Raise UnfitError where the recorded graph has another derivative than autograd finds.

    At x and at the second point, along one cotangent.
    """
    for point in (target.x, target.elsewhere):
        if point is not None and not _agrees(target, chain, point):
            raise UnfitError(
                "what make_fx records of it has another derivative than autograd: it branches in "
                "Python, leaves torch, or has a backward of its own"
            )


def _agrees(target: Target, chain: Chain, x: Any) -> bool:
    leaves = detached(x)
    y = unary(target)(tree.unflatten(x, leaves))
    seeded = torch.Generator().manual_seed(0)
    v = torch.randn(y.numel(), generator=seeded, dtype=torch.float64).to(y)
    expected = torch.cat([g.reshape(-1) for g in gradients(y, leaves, v.reshape(y.shape))])
    transposed, Jh = (factor.to(y) for factor in chain.factors(x))
    along = transposed @ v
    # Half of the digits are enough to tell one function from another. Rounding grows with the
    # factors, and not with their product, which may cancel.
    scale = torch.maximum(expected.norm(), along.norm() * Jh.norm())
    excess = (along @ Jh - expected).norm() - torch.finfo(y.dtype).eps ** 0.5 * scale
    return not bool(excess > 0)  # what is no number is for others to judge


def _held(
    target: Target, chain: Chain, arranged: Callable[[Factor, Factor], Any], met: Any
) -> guard.Held:
    """Return the call with one pass back through the function, which the factors have to give."""
    of_x, like = unary(target), tree.first(target.x)
    drawn = torch.as_tensor(
        guard.vectors(met, target.dtype, met.size * like.element_size()), device=like.device
    )

    def held(x: Any, number: int) -> tuple[Any, guard.Gap]:
        transposed, Jh = chain.factors(x)
        u = drawn[number % len(drawn)]
        leaves = detached(x)
        pulled = gradients(of_x(tree.unflatten(x, leaves)), leaves, u.reshape(target.y_shape))
        one = _joined([part.reshape(-1) for part in pulled], dim=0)
        u = u.to(transposed.dtype)
        apart = (transposed @ u).to(Jh.dtype) @ Jh - one
        scale = (transposed.abs() @ u.abs()).to(Jh.dtype) @ Jh.abs() + one.abs()
        return arranged(transposed, Jh), coloured.gap(apart, scale)

    return held


class Factors(StructuredMethod, TorchMethod):
    """Both factors, left as two."""

    def layout(self, target: Target) -> Layout:
        """Return (m, k) and (k, n), k being known once the function is recorded."""
        return layouts.factored(Chain(target).halves.k)

    def structured(self, target: Target, before: Pattern | None = None) -> Structured:
        """Record, split, compute what is constant, check the derivative."""
        del before
        chain = Chain(target)
        chain.keep_constant(target.x)
        chain.record(target.x)
        _check(target, chain)
        dtype = tree.first(target.x).dtype

        def arranged(transposed: Factor, Jh: Factor) -> Any:
            return self.result(transposed.to(dtype), Jh.to(dtype), chain.halves)

        return Structured(
            call=prepared(lambda x: arranged(*chain.factors(x)), target).call,
            holding=functools.partial(_held, target, chain, arranged),
            layout=self.known_layout(chain.halves),
            notes=dict(chain.halves.notes()),
            everywhere=chain.everywhere,
            side="rows",
        )

    def products_of(self, target: Target) -> Callable[[Any], Products]:
        """Return from x to products by the library, forward and back."""
        return functools.partial(coloured.products_at, target)

    def result(self, transposed: Factor, Jh: Factor, halves: Halves) -> Any:
        """Return what the method gives of the two: arrays of the caller's own."""
        Jg = transposed.clone() if halves.outer.linear else transposed.contiguous()
        return Jg.T, Jh.clone() if halves.inner.linear else Jh

    def known_layout(self, halves: Halves) -> Layout:
        """Return the layout for a middle of known size."""
        return layouts.factored(halves.k)


class Bottleneck(Factors):
    """The product of both factors: the Jacobian."""

    def layout(self, target: Target) -> Layout:
        """Return (m, n)."""
        del target
        return layouts.MATRIX

    def result(self, transposed: Factor, Jh: Factor, halves: Halves) -> Any:
        """Multiply."""
        del halves
        return host_memory.product(transposed.T, Jh)

    def known_layout(self, halves: Halves) -> Layout:
        """Return (m, n)."""
        del halves
        return layouts.MATRIX


METHODS = (Bottleneck("torch.bottleneck"), Factors("torch.factors"))
