"""A method kept apart from what surrounds its call: gradients switched off, an outer graph.

Under ``torch.no_grad()`` or ``inference_mode`` a function builds no graph, which looks as if y did
not depend on x; and a result that was computed apart from the graph of x looks, to whoever
differentiates it once more, as if it were constant. Both would be zeros. So gradients are switched
on where they are off, and a result that cannot be differentiated says so when it is.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import compress
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import torch
from torch.autograd import forward_ad

from jacbench.backend import MethodInfo, Prepared, Target
from jacbench.core import tree
from jacbench.core.errors import JacbenchError
from jacbench.core.redaction import one_line
from jacbench.structure.guard import Guarded

if TYPE_CHECKING:
    from jacbench.core.layouts import Layout

M = TypeVar("M", bound="_Differentiable")


class _Differentiable(Protocol):
    """What is read of a method of torch's."""

    info: MethodInfo
    differentiable: frozenset[str]


NEITHER: frozenset[str] = frozenset()
BACK = NEITHER | {"reverse"}
BOTH = BACK | {"forward"}
"""The modes by which a result can be differentiated once more; by both, inside torch.func too."""

GOES_THROUGH = {
    "jacobian": "torch.func.jacrev",
    "value_and_jacobian": "torch.func.jacrev-aux",
    "batch_jacobian": "torch.vmap-jacrev",
    "vjp": "torch.func.vjp",
    "jvp": "torch.func.jvp",
}
"""By operator, the method whose result can be differentiated and mapped."""


def isolated(prepare: Callable[[M, Target], Prepared]) -> Callable[[M, Target], Prepared]:
    """Return a method's ``prepare`` such that it, and the call that it prepares, are kept apart.

    Where nothing surrounds a call, it gains three questions to torch, the last one for each leaf of
    x: 0.2 us for an array.
    """
    if getattr(prepare, "_isolated", False):
        return prepare

    @functools.wraps(prepare)
    def apart(method: M, target: Target) -> Prepared:
        x = target.x
        if transformed(x) and method.differentiable != BOTH:
            raise JacbenchError(_not_inside(method))
        try:
            if _switched_off() or (tracked(x) and not transformed(x)):
                with gradients_on():
                    found = prepare(method, _plain(target))
            else:
                found = prepare(method, target)
        except RuntimeError as exc:
            _refuse_if_inside(x, method, exc)
            raise
        guarded = isinstance(found.call, Guarded)
        wrapped = _Guard(found.call, x, method) if guarded else _apart(found.call, x, method)
        return dataclasses.replace(found, call=wrapped)

    apart._isolated = True  # type: ignore[attr-defined]
    return apart


class _Guard:
    """A guarded call that is kept apart: it says, as a guard does, what layout its result has."""

    def __init__(self, guarded: Any, like: Any, method: _Differentiable) -> None:
        self._guarded = guarded
        self.answer = _apart(guarded.answer, like, method, _of_answer)

    def __call__(self, x: Any) -> Any:
        """Return the native result at ``x``."""
        return self.answer(x)[0]

    @property
    def layout(self) -> Layout | None:
        """The layout of the next result."""
        layout: Layout | None = self._guarded.layout
        return layout


def _of_answer(change: Callable[[Any], Any], answer: tuple[Any, Any]) -> tuple[Any, Any]:
    return tree.map_leaves(change, answer[0]), answer[1]


def _apart(
    call: Callable[[Any], Any],
    like: Any,
    method: _Differentiable,
    mapped: Callable[[Callable[[Any], Any], Any], Any] = tree.map_leaves,
) -> Callable[[Any], Any]:
    """Return ``call`` kept apart; ``mapped`` changes every tensor of what it returns."""
    is_on, is_inference = torch.is_grad_enabled, torch.is_inference_mode_enabled
    tracks = _tracker(like)

    def of_x(x: Any) -> Any:
        if is_inference() or not is_on():
            with gradients_on():
                return mapped(own, call(tree.map_leaves(own, x)))
        try:
            return _within_a_graph(call, x, method, mapped) if tracks(x) else call(x)
        except RuntimeError as exc:
            _refuse_if_inside(x, method, exc)
            raise

    return of_x


def _within_a_graph(
    call: Callable[[Any], Any],
    x: Any,
    method: _Differentiable,
    mapped: Callable[[Callable[[Any], Any], Any], Any],
) -> Any:
    """Call within the graph that x is part of, or put the refusal to go further into that graph."""
    inside = transformed(x)
    if method.differentiable >= _modes(x) and (method.differentiable == BOTH or not inside):
        return call(x)
    if inside:
        raise JacbenchError(_not_inside(method))
    result, leaves = call(tree.map_leaves(torch.Tensor.detach, x)), tree.leaves(x)
    told = (
        f"{method.info.name}: what it returned is differentiated by x, and it keeps no graph of x: "
        f"take {_instead(method)}, or give it x.detach() where no such derivative is wanted"
    )
    refusing: Callable[..., torch.Tensor] = _Refusing.apply
    return mapped(lambda leaf: refusing(told, leaf, *leaves), result)


class _Refusing(torch.autograd.Function):
    """The first tensor, as a function of the others by which it cannot be differentiated."""

    @staticmethod
    def forward(ctx: Any, told: str, result: torch.Tensor, *leaves: torch.Tensor) -> torch.Tensor:
        """Return ``result``; ``told`` is what the other two raise."""
        del leaves
        ctx.told = told
        return result.view_as(result)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """Refuse."""
        del gradients
        raise JacbenchError(ctx.told)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        """Refuse."""
        del tangents
        raise JacbenchError(ctx.told)


def _refuse_if_inside(x: Any, method: _Differentiable, exc: RuntimeError) -> None:
    """Raise the line for what torch refuses in the middle of another derivative or map."""
    if tracked(x) or transformed(x):
        raise JacbenchError(f"{_not_inside(method)}; torch says: {one_line(exc, 120)}") from exc


def _not_inside(method: _Differentiable) -> str:
    return (
        f"{method.info.name}: x is being mapped or differentiated by torch already, and this "
        f"method does not work inside of that: take {_instead(method)}"
    )


def _instead(method: _Differentiable) -> str:
    return GOES_THROUGH.get(method.info.operator, GOES_THROUGH["jacobian"])


# --- what surrounds a call ---


def tracked(x: Any) -> bool:
    """Say whether a leaf of x is part of a graph, or carries a tangent."""
    return any(map(_tracked, tree.leaves(x)))


def _tracker(like: Any) -> Callable[[Any], bool]:
    """Return :func:`tracked` for points like one; without a walk where there is one level."""
    if isinstance(like, torch.Tensor):
        return _tracked
    if type(like) is dict and _are_tensors(like.values()):
        return lambda x: any(map(_tracked, x.values()))
    if type(like) in {list, tuple} and _are_tensors(like):
        return lambda x: any(map(_tracked, x))
    return tracked


def _are_tensors(parts: Iterable[Any]) -> bool:
    return all(isinstance(part, torch.Tensor) for part in parts)


def _tracked(leaf: torch.Tensor) -> bool:
    # outside of a level nothing has a tangent
    return leaf.requires_grad or (forward_ad._current_level >= 0 and _is_dual(leaf))


def _is_dual(leaf: torch.Tensor) -> bool:
    return forward_ad.unpack_dual(leaf).tangent is not None


def _modes(x: Any) -> frozenset[str]:
    """Return the modes in which a tracked x is being differentiated."""
    leaves = tree.leaves(x)
    forward = forward_ad._current_level >= 0 and any(map(_is_dual, leaves))
    reverse = any(leaf.requires_grad for leaf in leaves)
    return frozenset(compress(("forward", "reverse"), (forward, reverse)))


def transformed(x: Any) -> bool:
    """Say whether ``torch.func`` maps or differentiates a leaf of x: it then has no storage."""
    return any(map(torch._C._functorch.is_functorch_wrapped_tensor, tree.leaves(x)))


def _switched_off() -> bool:
    return torch.is_inference_mode_enabled() or not torch.is_grad_enabled()


@contextmanager
def gradients_on() -> Iterator[None]:
    """Switch gradients on and inference mode off, whatever they were."""
    with torch.inference_mode(mode=False), torch.enable_grad():
        yield


def _plain(target: Target) -> Target:
    """Return the target with what autograd can record: no inference tensors, no graph."""
    given = {
        name: tree.map_leaves(own, getattr(target, name))
        for name in ("x", "constants", "vector", "elsewhere")
    }
    return dataclasses.replace(target, **given)


def own(leaf: Any) -> Any:
    """Return a tensor without a graph, and one made outside of inference mode."""
    if not isinstance(leaf, torch.Tensor):
        return leaf
    return leaf.clone() if leaf.is_inference() else leaf.detach()
