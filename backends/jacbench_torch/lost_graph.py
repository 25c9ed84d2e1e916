"""Where a function of tensors loses the graph that leads back to x, and at which line of whose.

Every call of torch's passes a mode on its way. A call that is given what has a graph, and returns
floats that have none, has cut there: ``detach``, ``.data``, ``torch.tensor`` of a list of tensors,
whatever runs under ``no_grad``, ``functional.jacobian`` without ``create_graph``. It matters where
what it gave reaches y: the function is called once more with that moved, and y has to move too.

Reference: https://docs.pytorch.org/docs/stable/notes/extending.html#extending-torch-with-a-tensor-like-type
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from jacbench.backend.graph_cut import GraphCut
from jacbench.core import tree
from jacbench_torch.isolation import gradients_on, own, transformed

_TO_PYTHON = {
    "item": ".item()",
    "tolist": ".tolist()",
    "numpy": ".numpy()",
    "__array__": "NumPy",
    "__float__": "float()",
}
"""What makes numbers of a tensor, by the method's name."""

_METHODS = {"detach": ".detach()", "detach_": ".detach_()"}
_PROPERTIES = {"data": ".data"}
_OF_LISTS = {"tensor": "torch.tensor(...)", "as_tensor": "torch.as_tensor(...)"}

_MEANT = {*_METHODS.values(), *_PROPERTIES.values(), "torch.no_grad()", "torch.inference_mode()"}
"""What says that nothing is to be differentiated; all else loses the graph by the way."""

_NO_USERS = {"torch", "contextlib", "jacbench", "jacbench_torch"}

_MOST = 8
"""How many places are looked at, at an evaluation each: a loop may cut at every turn."""
_MOVED = 0.1
"""By how much of itself what was cut is moved, to see whether y moves."""
_LEAST = 1e-3
"""What is 0 moves too."""


def of(function: Callable[..., Any], x: Any, *constants: Any) -> tuple[GraphCut, ...]:
    """Return where the graph from x is cut on its way through ``function`` to y.

    One evaluation, and another one for each place. What is cut may be meant so: a detached weight.
    What is printed, or branched on, does not reach y and is not told.
    """
    watch = _Watch()
    with gradients_on(), warnings.catch_warnings():
        # torch warns of the numbers that are made of tensors
        warnings.simplefilter("ignore")
        y = _value(function, x, constants, watch)
        places = [*watch.found][:_MOST]
        return tuple(p for p in places if _reaches(y, function, x, constants, p))


def _reaches(y: Any, function: Any, x: Any, constants: Any, place: GraphCut) -> bool:
    """Say whether y moves by more than rounding where what was cut at ``place`` moves."""
    if y is None:  # it raised: what was seen before is all there is
        return True
    moved = _value(function, x, constants, _Watch(move=place))
    if moved is None or len(moved) != len(y):
        return True
    return any(_differ(now, was) for now, was in zip(moved, y, strict=True))


def _differ(now: Any, was: Any) -> bool:
    if now.shape != was.shape:
        return True
    near = torch.finfo(was.dtype).eps ** 0.5 * was.norm()
    # what is not finite any more has left the domain, and so moved
    return not bool((now - was).norm() <= near)


def _value(function: Any, x: Any, constants: Any, watch: _Watch) -> list[Any] | None:
    """Return the floats of y under ``watch``, without a graph; None where the function raises."""
    x, constants = tree.map_leaves(_copy, x), [tree.map_leaves(_own, c) for c in constants]
    watch.starts = {leaf.grad_fn for leaf in tree.leaves(x) if isinstance(leaf, torch.Tensor)}
    watch.starts.discard(None)
    with suppress(Exception):
        with watch:
            y = function(x, *constants)
        return [
            leaf.detach().clone()
            for leaf in tree.leaves(y)
            if isinstance(leaf, torch.Tensor) and leaf.is_floating_point()
        ]
    return None


def is_recorded(function: Callable[[Any], Any], x: Any) -> bool:
    """Say whether the function's value is part of a graph, and True where that cannot be told."""
    with gradients_on(), suppress(Exception):
        value = function(tree.map_leaves(_copy, x))
        return any(isinstance(v, torch.Tensor) and v.requires_grad for v in tree.leaves(value))
    return True


def _copy(leaf: Any) -> Any:
    """Return a copy with a graph, which a function may write to."""
    if not (isinstance(leaf, torch.Tensor) and leaf.is_floating_point()):
        return leaf
    return own(leaf).detach().requires_grad_().clone()


def _own(leaf: Any) -> Any:
    return leaf.clone() if isinstance(leaf, torch.Tensor) else leaf


class _Watch(TorchFunctionMode):
    """Keeps the places where a graph was lost, in order; moves what one of them gave.

    Attributes
    ----------
    found
        The places, once each.
    starts
        The nodes by which the graph of x begins.
    """

    def __init__(self, move: GraphCut | None = None) -> None:
        super().__init__()
        self.found: dict[GraphCut, None] = {}
        self.starts: set[Any] = set()
        self._move = move

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Call ``func``; look whether what it gave has lost the graph of what it was given."""
        del types
        result = func(*args, **(kwargs or {}))
        what = _what_was_cut(func, (args, kwargs or {}), result)
        if what is None or _in_a_rule():
            return result
        place = _placed(what)
        if place not in self.found:
            if not any(self._is_of_x(tensor) for tensor in _within((args, kwargs or {}))):
                return result
            self.found[place] = None
        return _moved(result) if place == self._move else result

    def _is_of_x(self, tensor: Any) -> bool:
        """Say whether a tensor's graph leads back to x, and not to a weight alone."""
        if not (isinstance(tensor, torch.Tensor) and tensor.requires_grad):
            return False
        if transformed(tensor):  # its graph ends where the transformation begins
            return True
        ahead, seen = [tensor.grad_fn], set()
        while ahead:
            node = ahead.pop()
            if node in self.starts:
                return True
            if node is not None and node not in seen:
                seen.add(node)
                ahead.extend(before for before, _ in node.next_functions)
        return False


def _in_a_rule() -> bool:
    """Say whether this is the forward of an ``autograd.Function``, which has a backward instead."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_globals is not globals():
        name = frame.f_globals.get("__name__")
        if name == "torch.autograd.function" and frame.f_code.co_name == "apply":
            return True
        frame = frame.f_back
    return False


def _moved(result: Any) -> Any:
    """Return numbers that are others, of the same kind, shape and dtype."""
    if isinstance(result, torch.Tensor):
        if not result.is_floating_point():
            return result
        with torch.no_grad():
            most = result.abs().max() if result.numel() else 0.0
            return result + _MOVED * (result.abs() + most + _LEAST)
    if isinstance(result, np.ndarray):
        return _moved(torch.from_numpy(result)).numpy()
    if isinstance(result, float):
        return result + _MOVED * (abs(result) + _LEAST)
    if type(result) in {tuple, list}:
        return type(result)(map(_moved, result))
    return result


def _what_was_cut(func: Any, given: Any, result: Any) -> str | None:
    """Return how the call that cut is written; None where it did not cut."""
    name = getattr(func, "__name__", "")
    lost = name in _TO_PYTHON or any(
        isinstance(one, torch.Tensor) and one.is_floating_point() and not one.requires_grad
        for one in _within(result)
    )
    if not lost or not any(isinstance(t, torch.Tensor) and t.requires_grad for t in _within(given)):
        return None
    if name == "__get__":
        return _PROPERTIES.get(getattr(func.__self__, "__name__", ""))
    known = _TO_PYTHON.get(name) or _METHODS.get(name) or _OF_LISTS.get(name)
    if known is not None:
        return known
    if torch.is_inference_mode_enabled():
        return "torch.inference_mode()"
    return None if torch.is_grad_enabled() else "torch.no_grad()"


def _within(value: Any) -> Iterator[Any]:
    """Yield what tuples, lists and dicts hold."""
    if isinstance(value, (tuple, list)):
        for part in value:
            yield from _within(part)
    elif isinstance(value, dict):
        yield from _within(list(value.values()))
    else:
        yield value


def _placed(what: str) -> GraphCut:
    """Return the cut with the user's line that it stands on, by torch's own name if it is inside.

    ``torch.autograd.functional`` detaches unless it is told to create a graph.
    """
    frame: FrameType | None = sys._getframe(2)
    inside = ""
    while frame is not None and _is_no_users(frame):
        if frame.f_globals is globals():  # the function itself is one of torch's
            frame = None
            break
        inside = f"{frame.f_globals.get('__name__')}.{frame.f_code.co_name}"
        frame = frame.f_back
    meant = what in _MEANT
    if inside.startswith("torch.autograd.functional."):
        what, meant = f"{inside} without create_graph=True", False
    if frame is None:
        return GraphCut(what, meant=meant)
    return GraphCut(what, f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}", meant)


def _is_no_users(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).partition(".")[0] in _NO_USERS
