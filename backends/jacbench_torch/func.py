"""``torch.func``: vmapped products, ``jacrev``, ``jacfwd`` and ``linearize``.

Reference: https://docs.pytorch.org/docs/stable/func.api.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch.func import jacfwd, jacrev, jvp, linearize, vjp, vmap

from jacbench.backend import Chunking, Prepared, Target
from jacbench.core import layouts
from jacbench_torch.isolation import BOTH
from jacbench_torch.method import TorchMethod, input_basis, output_basis, prepared, unary

if TYPE_CHECKING:
    from jacbench.core.layouts import Layout


class VmapVjp(TorchMethod):
    """``vjp`` once, its pull-back mapped over the one-hot rows."""

    chunking: Chunking = "chunked"
    differentiable = BOTH

    def layout(self, target: Target) -> Layout:
        """Return (m,) + leaf.shape for each leaf."""
        del target
        return layouts.ROWS

    def prepare(self, target: Target) -> Prepared:
        """Make the one-hot rows."""
        of_x, basis, chunk = unary(target), output_basis(target), target.chunk_size

        def call(x: Any) -> Any:
            pull: Any = vjp(of_x, x)[1]
            (rows,) = vmap(pull, chunk_size=chunk)(basis)
            return rows

        return prepared(call, target)


class VmapJvp(TorchMethod):
    """``jvp`` mapped over the one-hot columns; x itself is not mapped."""

    chunking: Chunking = "chunked"
    differentiable = BOTH

    def layout(self, target: Target) -> Layout:
        """Return (n,) + y.shape."""
        del target
        return layouts.COLUMNS

    def prepare(self, target: Target) -> Prepared:
        """Make the one-hot columns."""
        of_x, basis, chunk = unary(target), input_basis(target), target.chunk_size

        def call(x: Any) -> Any:
            def push(tangent: Any) -> Any:
                return jvp(of_x, (x,), (tangent,))[1]

            return vmap(push, chunk_size=chunk)(basis)

        return prepared(call, target)


class Linearize(TorchMethod):
    """``linearize`` once (a traced graph), its push-forward mapped over the one-hot columns.

    The graph holds for one x, so that tracing is a part of every call.
    """

    chunking: Chunking = "chunked"

    def layout(self, target: Target) -> Layout:
        """Return (n,) + y.shape."""
        del target
        return layouts.COLUMNS

    def prepare(self, target: Target) -> Prepared:
        """Make the one-hot columns."""
        of_x, basis, chunk = unary(target), input_basis(target), target.chunk_size

        def call(x: Any) -> Any:
            _, push = linearize(of_x, x)
            return vmap(push, chunk_size=chunk)(basis)

        return prepared(call, target)


class Jacrev(TorchMethod):
    """``torch.func.jacrev``."""

    chunking: Chunking = "chunked"
    differentiable = BOTH

    def prepare(self, target: Target) -> Prepared:
        """Build the transform; torch traces it anew in every call."""
        jacobian, constants = (
            jacrev(target.function, chunk_size=target.chunk_size),
            target.constants,
        )
        return prepared(lambda x: jacobian(x, *constants), target)


class Jacfwd(TorchMethod):
    """``torch.func.jacfwd``; it has no chunk size, ``torch.vmap-jvp`` does."""

    chunking: Chunking = "whole"
    differentiable = BOTH

    def prepare(self, target: Target) -> Prepared:
        """Build the transform; torch traces it anew in every call."""
        jacobian, constants = jacfwd(target.function), target.constants
        return prepared(lambda x: jacobian(x, *constants), target)


METHODS = (
    VmapVjp("torch.vmap-vjp"),
    VmapJvp("torch.vmap-jvp"),
    Jacrev("torch.func.jacrev"),
    Jacfwd("torch.func.jacfwd"),
    Linearize("torch.func.linearize"),
)
