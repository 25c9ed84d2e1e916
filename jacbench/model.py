"""Models of a library (``torch.nn.Module``, Flax NNX, Equinox) as problems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jacbench import registry
from jacbench.backend import Backend
from jacbench.errors import JacbenchError
from jacbench.problem import NativeFunction, Problem
from jacbench.tree import Tree

WRT = ("parameters", "inputs")


@dataclass(frozen=True, kw_only=True)
class Adapted:
    """A model as a function of arrays.

    Attributes
    ----------
    function
        ``f(x, *constants, tap=None)`` on the library's arrays. It changes neither the model nor
        its buffers, and passes the output of each submodule through ``tap(name, value)``.
    x
        NumPy arrays: the parameters as a dict by name, or the inputs (one array, or a tuple).
    constants
        The rest: (inputs, state) for the parameters, (parameters, state) for the inputs; ``state``
        is a dict of what is neither, such as the running statistics of a batch norm.
    """

    function: NativeFunction
    x: Tree
    constants: tuple[Tree, ...]


def from_model(
    model: Any,
    *inputs: Any,
    wrt: str = "parameters",
    name: str | None = None,
    output: str | int | None = None,
    batch_axis: int | None = None,
    **rest: Any,
) -> Problem:
    """Return the problem of differentiating ``model(*inputs)``.

    Parameters
    ----------
    model
        A ``torch.nn.Module``, a Flax NNX or an Equinox module, in the mode (train, eval) in which
        it is differentiated. It is left as it is, its buffers too.
    inputs
        NumPy arrays or arrays of the model's library; floats become float64.
    wrt
        ``parameters``: x is a dict of them by name. ``inputs``: x is the input, or a tuple of
        several.
    name
        The problem's name; None: ``model/`` and the class's.
    output
        The key or index to take where the model returns a dict or a tuple.
    batch_axis
        The axis of every input that runs over samples; None where there is none. The output's is
        its first.
    rest
        Further fields of :class:`Problem`, such as ``jacobian`` or ``elsewhere``.

    Raises
    ------
    JacbenchError
        In one line: not a model of an installed library, a model on a device without data, an
        output that is no array.
    """
    name = name or f"model/{type(model).__name__}"
    if wrt not in WRT:
        raise JacbenchError(f"problem {name!r}: wrt is {wrt!r}: give 'parameters' or 'inputs'")
    if not inputs:
        raise JacbenchError(f"problem {name!r}: the model has no input: pass what it is called on")
    backend_name, backend = _backend_of(name, model)
    adapted = backend.adapt(model, tuple(inputs), wrt, output)
    in_axes = None
    if batch_axis is not None:
        in_axes = (None, batch_axis, None) if wrt == "parameters" else (batch_axis, None, None)
    return Problem(
        name=name,
        native={backend_name: adapted.function},
        x=adapted.x,
        constants=adapted.constants,
        in_axes=in_axes,
        tapped=True,
        **rest,
    )


def _backend_of(name: str, model: Any) -> tuple[str, Backend]:
    for descriptor in registry.descriptors().values():
        if descriptor.recognises(model):
            return descriptor.name, registry.load(descriptor.name)
    known = ", ".join(c for d in registry.descriptors().values() for c in d.model_classes)
    raise JacbenchError(
        f"problem {name!r}: a {type(model).__name__} is no model that a backend knows ({known}): "
        "pass function=f(xp, x, *constants) or native={backend: f}"
    )


def selected(output: Any, which: str | int | None, name: str) -> Any:
    """Return the one array of what a model returned, or raise the line that says how to choose.

    Parameters
    ----------
    output
        What the model returned.
    which
        The key or index asked for.
    name
        The model's class, for the message.
    """
    if isinstance(output, Mapping):
        kind, choices = "dict", sorted(map(str, output))
    elif isinstance(output, (tuple, list)):
        kind, choices = type(output).__name__, list(map(str, range(len(output))))
    else:
        if which is None:
            return output
        raise JacbenchError(f"{name} returns one array: leave output={which!r} out")
    told = f"{name} returns a {kind} with {', '.join(choices)}"
    if which is None:
        first = repr(choices[0]) if kind == "dict" else choices[0]
        raise JacbenchError(f"{told}: say which one to differentiate, e.g. output={first}")
    try:
        return output[which]
    except (KeyError, IndexError, TypeError):
        raise JacbenchError(f"{told}, not {which!r}: give one of them as output=") from None


def one_or_tuple(inputs: Sequence[Any]) -> Any:
    """Return the single input, or all of them as a tuple: what x is by the inputs."""
    return inputs[0] if len(inputs) == 1 else tuple(inputs)
