"""Where a function of tensors loses the graph that leads back to x, and at which line of whose.

Every call of torch's passes a mode on its way. A call that is given what has a graph, and returns
floats that have none, has cut there: ``detach``, ``.data``, ``torch.tensor`` of a list of tensors,
whatever runs under ``no_grad``, ``functional.jacobian`` without ``create_graph``.

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

import torch
from torch.overrides import TorchFunctionMode

from jacbench import tree
from jacbench_torch.isolation import gradients_on, own

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

_MOST = 2
"""How many places are told: the first are those that matter."""


def of(function: Callable[[Any], Any], x: Any) -> str | None:
    """Return where the graph from x is cut on its way through ``function``; None: nowhere.

    One evaluation. What is cut may be meant so: a detached weight, a branch on a number.
    """
    watch = _Watch()
    with gradients_on(), warnings.catch_warnings(), suppress(Exception):
        # torch warns of the numbers that are made of tensors
        warnings.simplefilter("ignore")
        copies = tree.map_leaves(_copy, x)
        with watch:
            function(copies)
    return " and ".join([*watch.found][:_MOST]) or None


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


class _Watch(TorchFunctionMode):
    """Keeps, in order and once each, the places where a graph was lost."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, None] = {}

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Call ``func``; look whether what it gave has lost the graph of what it was given."""
        del types
        result = func(*args, **(kwargs or {}))
        what = _what_was_cut(func, (args, kwargs or {}), result)
        if what is not None:
            self.found[_placed(what)] = None
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


def _placed(what: str) -> str:
    """Return ``what`` with the user's line that it stands on, by torch's own name if it is inside.

    ``torch.autograd.functional`` detaches unless it is told to create a graph.
    """
    frame: FrameType | None = sys._getframe(2)
    inside = ""
    while frame is not None and _is_torchs(frame):
        inside = f"{frame.f_globals.get('__name__')}.{frame.f_code.co_name}"
        frame = frame.f_back
    if inside.startswith("torch.autograd.functional."):
        what = f"{inside} without create_graph=True"
    if frame is None:
        return what
    return f"{what} at {Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


def _is_torchs(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).partition(".")[0] in {"torch", "contextlib"}
