"""The derivative by an intermediate value Z: what ``backward`` passes on its way to x.

Z is computed, and PyTorch keeps ``.grad`` of leaves only; ``retain_grad`` and a hook each bring it
out. The other methods differentiate by a shift that is added to Z; here that shift only sees to it
that Z is part of a graph.
Reference: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.retain_grad.html
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from jacbench.backend import Prepared, Target
from jacbench.core import layouts
from jacbench.core.errors import JacbenchError
from jacbench_torch.method import TorchMethod, output_basis, prepared

if TYPE_CHECKING:
    from jacbench.backend.method import ProblemFacts
    from jacbench.core.layouts import Layout

_NO_INTERMEDIATE = (
    "takes derivatives by an intermediate value, and this problem names none: see Problem at"
)


_WRITTEN_OVER = (
    "a later step writes over the intermediate value in place (nn.ReLU(inplace=True) does), and "
    "autograd then answers for what was written: turn inplace off"
)


class WrittenOverError(RuntimeError):
    """Z at the end of the evaluation is not what was computed as Z."""


class ByIntermediate(TorchMethod):
    """``y.backward(one_hot, retain_graph=True)`` per output; the gradient at Z is picked up."""

    def layout(self, target: Target) -> Layout:
        """Return (m,) + Z.shape."""
        del target
        return layouts.ROWS

    def unsupported(
        self, problem: ProblemFacts | None, operator: str, device: str, dtype: str
    ) -> str | None:
        """Decline whatever has no intermediate value."""
        reason = super().unsupported(problem, operator, device, dtype)
        if reason is None and (problem is None or problem.intermediate is None):
            return _NO_INTERMEDIATE
        return reason

    def declined(self, exc: Exception) -> str | None:
        """Recognise a Z that was written over."""
        return str(exc) if isinstance(exc, WrittenOverError) else super().declined(exc)

    @abstractmethod
    def watch(self, Z: torch.Tensor) -> Callable[[], torch.Tensor | None]:
        """Return what gives, once per pass, the gradient that reached Z; None where none did."""

    def prepare(self, target: Target) -> Prepared:
        """Make the one-hot vectors."""
        intermediate, constants, watch = target.intermediate, target.constants, self.watch
        if intermediate is None:
            raise JacbenchError(f"{self.info.name}: {_NO_INTERMEDIATE}")
        basis = output_basis(target).unbind(0)

        def call(x: torch.Tensor) -> torch.Tensor:
            shift = x.detach().requires_grad_()
            y, Z = intermediate(shift, *constants)
            if Z._version:  # counts the writes in place since Z was made
                raise WrittenOverError(_WRITTEN_OVER)
            if not y.requires_grad:
                return x.new_zeros(len(basis), *x.shape)
            taken = watch(Z)
            rows = []
            for one_hot in basis:
                y.backward(one_hot, retain_graph=True, inputs=[shift])
                shift.grad = None
                gradient = taken()
                rows.append(torch.zeros_like(x) if gradient is None else gradient)
            return torch.stack(rows)

        return prepared(call, target)


class RetainGrad(ByIntermediate):
    """``Z.retain_grad()`` before the first pass, ``Z.grad`` read and cleared after each."""

    def watch(self, Z: torch.Tensor) -> Callable[[], torch.Tensor | None]:
        """Keep the gradient in ``Z.grad``."""
        Z.retain_grad()

        def take() -> torch.Tensor | None:
            gradient, Z.grad = Z.grad, None
            return gradient

        return take


class RegisterHook(ByIntermediate):
    """``Z.register_hook``: the hook is called with the gradient of each pass."""

    def watch(self, Z: torch.Tensor) -> Callable[[], torch.Tensor | None]:
        """Keep what the hook was called with."""
        seen: list[torch.Tensor] = []
        Z.register_hook(seen.append)  # it returns None, which leaves the gradient as it is

        def take() -> torch.Tensor | None:
            return seen.pop() if seen else None

        return take


METHODS = (RetainGrad("torch.retain-grad"), RegisterHook("torch.register-hook"))
