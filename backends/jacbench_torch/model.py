"""A ``torch.nn.Module`` as a function of arrays: ``torch.func.functional_call``.

Reference: https://docs.pytorch.org/docs/stable/generated/torch.func.functional_call.html
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
import torch
from torch.func import functional_call

from jacbench.backend.adapted import Adapted, Inputs, Training, one_or_tuple, selected
from jacbench.core import tree
from jacbench.core.errors import JacbenchError

Tap: TypeAlias = Callable[[str, Any], Any]

_ATTENDING = (
    torch.nn.MultiheadAttention,
    torch.nn.TransformerEncoder,
    torch.nn.TransformerEncoderLayer,
)
"""Modules with a fused path of their own where nothing is differentiated."""

_BY_BATCH = torch.nn.modules.batchnorm._BatchNorm
_DROPPING = torch.nn.modules.dropout._DropoutNd


def adapt(model: torch.nn.Module, inputs: Inputs, wrt: str, output: str | int | None) -> Adapted:
    """Return ``model`` as a function of its parameters or of its inputs.

    A parameter that several submodules share is one parameter, by its first name. Parameters with
    ``requires_grad=False`` are constants and belong to the state, like the buffers. The function
    works on copies of the buffers, so that what batch norm writes in training mode is lost; it
    follows the mode (train, eval) in which it finds the model. Parameters and buffers are copied
    to the host now; tensors that the model holds in plain attributes are not seen.

    Raises
    ------
    JacbenchError
        In one line: a model whose parameters hold no data, one without a parameter that requires a
        gradient, one that cannot be called on these inputs, an output that is no tensor.
    """
    name = type(model).__name__
    if isinstance(model, torch.jit.ScriptModule):
        raise JacbenchError(
            f"{name} is compiled by torch.jit, and cannot be called with other parameters: pass "
            "the nn.Module that it was made from"
        )
    parameters, state = _host_copies(name, model)
    if wrt == "parameters" and not parameters:
        raise JacbenchError(
            f"{name} has no parameter that requires a gradient: call requires_grad_(), or take "
            "wrt='inputs'"
        )
    labelled = zip(inputs.names, inputs.arrays, strict=True)
    given = [_host(f"input {label} of {name}", value) for label, value in labelled]
    arguments = one_or_tuple(given)
    function = _Function(model, wrt, output, inputs, single=len(given) == 1)
    x, other = (parameters, arguments) if wrt == "parameters" else (arguments, parameters)
    layers = tuple(_in_train_mode(model))
    adapted = Adapted(function=function, x=x, constants=(other, state), training=layers)
    _try_out(name, adapted)
    return adapted


def _in_train_mode(model: torch.nn.Module) -> Iterator[Training]:
    """Name the layers that eval mode would make another function of."""
    for name, layer in model.named_modules():
        if not layer.training:
            continue
        by_batch = isinstance(layer, _BY_BATCH) and layer.running_mean is not None
        if by_batch or _draws(layer):
            yield Training(name=name, kind=type(layer).__name__, random=not by_batch)


def _draws(layer: torch.nn.Module) -> bool:
    if isinstance(layer, _DROPPING):
        return layer.p > 0
    if isinstance(layer, torch.nn.RReLU):
        return layer.lower < layer.upper
    inside = isinstance(layer, (torch.nn.MultiheadAttention, torch.nn.RNNBase))
    return inside and float(layer.dropout) > 0  # type: ignore[arg-type]


class _Function:
    """``f(x, *constants, tap=None)``; see :class:`jacbench.problems.from_model.Adapted`."""

    def __init__(
        self,
        model: torch.nn.Module,
        wrt: str,
        output: str | int | None,
        inputs: Inputs,
        *,
        single: bool,
    ) -> None:
        self._inputs = inputs
        self._model = model
        self._by_parameters = wrt == "parameters"
        self._output = output
        self._single = single
        self._buffers = frozenset(name for name, _ in model.named_buffers())
        self._attends = any(isinstance(module, _ATTENDING) for module in model.modules())

    def __call__(self, x: Any, other: Any, state: Any, *, tap: Tap | None = None) -> torch.Tensor:
        parameters, given = (x, other) if self._by_parameters else (other, x)
        # cloned here and not ahead: batch norm writes into its buffers, and under a transform only
        # into a tensor that was made within
        state = {k: v.clone() if k in self._buffers else v for k, v in state.items()}
        everything = (parameters, state)
        arrays = (given,) if self._single else tuple(given)
        arguments, keywords = self._inputs.called(arrays)
        name = type(self._model).__name__
        if tap is not None:
            with _tapping(self._model, tap):
                value = self._called(everything, arguments, keywords)
        else:
            value = self._called(everything, arguments, keywords)
        value = selected(value, self._output, name)
        if not isinstance(value, torch.Tensor):
            raise JacbenchError(
                f"{name} returns a {type(value).__name__} there, which is no tensor: wrap the "
                "model in one that returns the tensor to differentiate"
            )
        return value

    def _called(self, everything: Any, arguments: Any, keywords: Any) -> Any:
        """Call the model as a derivative sees it.

        The parameters are detached here, so that attention's fast path would be taken where the
        user's own call does not take it.
        """
        if not self._attends or torch.compiler.is_compiling():  # which cannot trace the switch
            return functional_call(self._model, everything, arguments, keywords)
        if not torch.backends.mha.get_fastpath_enabled():
            return functional_call(self._model, everything, arguments, keywords)
        with slow_attention():
            return functional_call(self._model, everything, arguments, keywords)


@contextlib.contextmanager
def slow_attention() -> Iterator[None]:
    """Keep torch's attention off its fast path, which has to be on before.

    It takes that path in eval mode and without a graph. It has no derivative there, and gives
    zeros on padded positions, where it gives other values under gradients.
    """
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(True)


@contextlib.contextmanager
def _tapping(model: torch.nn.Module, tap: Tap) -> Iterator[None]:
    """Pass the output of each named submodule through ``tap`` as long as this lasts."""
    handles = []
    try:
        for name, module in model.named_modules():
            if name:
                handles.append(module.register_forward_hook(_hook(name, tap)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _hook(name: str, tap: Tap) -> Callable[[torch.nn.Module, Any, Any], Any]:
    def hook(module: torch.nn.Module, arguments: Any, output: Any) -> Any:
        del module, arguments
        return tap(name, output) if isinstance(output, torch.Tensor) else None

    return hook


def _host_copies(name: str, model: torch.nn.Module) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the parameters that require a gradient, and what else the model holds, by name."""
    parameters: dict[str, Any] = {}
    state: dict[str, Any] = {}
    for key, value in model.named_parameters():
        if torch.nn.parameter.is_lazy(value):
            raise JacbenchError(
                f"{name} is lazy, and its parameter {key!r} has no shape yet: call the model once "
                "on its input"
            )
        into = parameters if value.requires_grad else state
        into[key] = _host(f"parameter {key!r} of {name}", value)
    for key, buffer in model.named_buffers():
        state[key] = _host(f"buffer {key!r} of {name}", buffer)
    return parameters, state


def _host(what: str, value: Any) -> Any:
    """Return a copy in NumPy; floats in float64, as bfloat16 has no counterpart there."""
    if not isinstance(value, torch.Tensor):
        array = np.array(value)
        return array.astype(np.float64) if array.dtype.kind == "f" else array
    if value.is_meta:
        raise JacbenchError(
            f"{what} is on device meta, which holds no data: build it on another device, or call "
            "model.to_empty(device='cpu') and load its weights"
        )
    value = value.detach()
    return np.array(value.to("cpu", torch.float64 if value.is_floating_point() else None).numpy())


def _try_out(name: str, adapted: Adapted) -> None:
    """Call the function once, so that what is wrong with it is said here and not in each cell."""
    placed: Any = tree.map_leaves(torch.tensor, (adapted.x, *adapted.constants))
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            adapted.function(*placed)
    except JacbenchError:
        raise
    except Exception as exc:
        told = " ".join(str(exc).split())
        raise JacbenchError(
            f"{name} cannot be called on these inputs in float64 on the CPU "
            f"({type(exc).__name__}: {told}): pass what its forward takes, and register every "
            "tensor that it holds as a parameter or a buffer"
        ) from exc
