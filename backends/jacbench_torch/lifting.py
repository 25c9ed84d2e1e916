"""What a function holds in float32, taken as float64: for the reference, never for a timed call.

torch promotes element by element, and refuses products of two precisions: a function that holds
float32 weights has no value for a float64 x. Within :class:`Lifting` it has.

Reference: https://docs.pytorch.org/docs/stable/torch.overrides.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_WIDER = {torch.float32: torch.float64, torch.complex64: torch.complex128}
_WIDE = frozenset(_WIDER.values())

_DTYPE: Any = torch.Tensor.dtype.__get__  # type: ignore[attr-defined]

_BY_IDENTITY = frozenset((torch.autograd.grad, torch.autograd.backward, torch.Tensor.backward))
"""Functions that ask which tensor it is: another one of the same values is not in the graph."""

_LIKE = frozenset(
    f"{what}_like" for what in ("zeros", "ones", "empty", "full", "rand", "randn")
) | frozenset(f"new_{what}" for what in ("zeros", "ones", "empty", "full", "tensor"))
"""Makers of tensors that take over the dtype, and no value, of another."""

_WRITERS = frozenset(
    f"__{what}__"
    for what in (
        *("setitem", "set"),
        *("iadd", "isub", "imul", "imatmul", "itruediv", "ifloordiv", "imod", "ipow"),
        *("iand", "ior", "ixor", "ilshift", "irshift"),
    )
)
"""Functions that write into their first argument, beside those whose name ends in ``_``."""


class Lifting(TorchFunctionMode):
    """A mode in which float32 and complex64 tensors are lifted where they meet wider ones.

    What is left as it is written: a call that holds narrow tensors alone, so that what is computed
    of constants has the values that it has in float32; a conversion to float32 by name, so that a
    function which rounds on purpose still returns float32; what writes into a narrow tensor;
    integers. A tensor that a function makes without naming a dtype is lifted once it is made.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call ``func`` with its narrow tensors lifted, where that is in order."""
        del types
        named = dict(kwargs or {})
        if func == _DTYPE:  # what is lifted where it is used has the dtype that it is lifted to
            own: torch.dtype = args[0].dtype
            return _WIDER.get(own, own)
        dtypes = {tensor.dtype for tensor in _tensors((args, named))}
        if dtypes & _WIDE and dtypes & _WIDER.keys() and not _keeps(func, args, named):
            return func(*_lifted(args), **_lifted(named))
        made = func(*args, **named)
        return _lifted_result(made) if _makes(func, args, named, dtypes) else made


def _keeps(func: Callable[..., Any], args: tuple[Any, ...], named: Mapping[str, Any]) -> bool:
    """Say whether a narrow tensor among the arguments is the one that is meant, not its values."""
    if func in _BY_IDENTITY:
        return True
    name = getattr(func, "__name__", "")
    in_place = name in _WRITERS or (name.endswith("_") and not name.endswith("__"))
    written = (args[:1] if in_place else (), named.get("out"))
    return any(tensor.dtype in _WIDER for tensor in _tensors(written))


def _makes(
    func: Callable[..., Any],
    args: tuple[Any, ...],
    named: Mapping[str, Any],
    dtypes: set[torch.dtype],
) -> bool:
    """Say whether ``func`` makes a tensor of the default dtype, or of that of a narrow one."""
    if named.get("dtype") is not None or any(isinstance(value, torch.dtype) for value in args):
        return False
    return not dtypes or getattr(func, "__name__", "") in _LIKE


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _tensors(part)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def _lifted(value: Any) -> Any:
    """Return ``value`` with its narrow tensors lifted; what holds none is the same object."""
    if isinstance(value, torch.Tensor):
        wider = _WIDER.get(value.dtype)
        return value if wider is None else value.to(wider)
    if not any(tensor.dtype in _WIDER for tensor in _tensors(value)):
        return value
    if isinstance(value, dict):
        return {key: _lifted(part) for key, part in value.items()}
    parts = [_lifted(part) for part in value]
    # a named tuple takes its fields one by one
    return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)


def _lifted_result(made: Any) -> Any:
    if not isinstance(made, torch.Tensor) or made.dtype not in _WIDER:
        return made
    lifted = made.detach().to(_WIDER[made.dtype])
    # a transform forbids the call, even where it asks for nothing
    return lifted.requires_grad_() if made.requires_grad else lifted
