"""What modules keep between calls, such as the running means of a batch norm: as it was."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch


def of(function: Callable[..., Any]) -> Sequence[tuple[torch.Tensor, torch.Tensor]]:
    """Return each buffer of the modules that ``function`` is, is bound to or names, and a copy."""
    found: dict[int, torch.Tensor] = {}
    for module in _modules(function):
        found.update((id(buffer), buffer) for buffer in module.buffers())
    with torch._C._DisableFuncTorch():  # inside of a transform a copy has no storage
        return [(buffer, buffer.detach().clone()) for buffer in found.values()]


def put_back(held: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> None:
    """Write the copies back where a buffer has changed."""
    with torch.no_grad(), torch._C._DisableFuncTorch():
        for buffer, copy in held:
            if not torch.equal(buffer, copy):
                buffer.copy_(copy)


def _modules(function: Any) -> Iterator[torch.nn.Module]:
    """Yield modules that a function refers to directly; what those hold is theirs."""
    if isinstance(function, torch.nn.Module):
        yield function
        return
    if isinstance(function, functools.partial):
        yield from _modules(function.func)
        yield from _those(function.args)
        yield from _those(function.keywords.values())
        return
    yield from _those([getattr(function, "__self__", None)])
    code = getattr(function, "__code__", None)
    if code is None:
        return
    cells = getattr(function, "__closure__", None) or ()
    yield from _those(cell.cell_contents for cell in cells if _is_filled(cell))
    yield from _those(getattr(function, "__defaults__", None) or ())
    own = getattr(function, "__globals__", {})
    yield from _those(own[name] for name in code.co_names if name in own)


def _those(values: Any) -> Iterator[torch.nn.Module]:
    return (value for value in values if isinstance(value, torch.nn.Module))


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True
