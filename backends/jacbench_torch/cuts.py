"""Where a program takes tensors out of the graph: seen by running it once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

import jacbench

_OWN = tuple(Path(str(file)).parent for file in (torch.__file__, jacbench.__file__, __file__))


class _Watch(TorchFunctionMode):
    """Writes down every call that stops gradients, with the line that asked for it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, None] = {}

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        what = _named(func, args)
        if what:
            self.seen.setdefault(f"{what}{_line(sys._getframe(1))}")
        return func(*args, **(kwargs or {}))


def stops(function: Callable[..., Any], *arguments: Any) -> str:
    """Return what stops gradients in ``function`` and on which lines; empty where nothing does.

    ``detach``, ``.data`` and ``torch.no_grad`` are meant to. What leaves torch (``.item()``,
    ``.numpy()``) or makes a new tensor of old ones cuts the graph too, and mostly by mistake.
    """
    watch = _Watch()
    with watch:
        function(*arguments)
    return ", ".join(watch.seen)


def _named(func: Any, args: Sequence[Any]) -> str:
    name = getattr(func, "__name__", "")
    if name in {"detach", "detach_"}:
        return name
    if name == "__get__" and getattr(getattr(func, "__self__", None), "__name__", "") == "data":
        return ".data"
    if name == "_set_grad_enabled" and args and not args[0]:
        return "torch.no_grad"
    return ""


def _line(frame: FrameType | None) -> str:
    """Return the innermost line that is neither torch's nor jacbench's; empty for none."""
    while frame is not None:
        file = Path(frame.f_code.co_filename)
        if not any(map(file.is_relative_to, _OWN)):
            return f" ({file.name}, line {frame.f_lineno})"
        frame = frame.f_back
    return ""
