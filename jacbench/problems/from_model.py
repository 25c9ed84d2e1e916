"""Models of a library (``torch.nn.Module``, Flax NNX, Equinox) as problems."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jacbench.backend import Backend, registry
from jacbench.backend.adapted import Adapted, Inputs, Training, one_or_tuple
from jacbench.core import tree
from jacbench.core.errors import JacbenchError

WRT = ("parameters", "inputs")


def model_fields(
    model: Any,
    *inputs: Any,
    wrt: str = "parameters",
    keywords: Mapping[str, Any] | None = None,
    argnum: int | None = None,
    name: str | None = None,
    output: str | int | None = None,
    batch_axis: int | None = None,
    **rest: Any,
) -> dict[str, Any]:
    """Return the fields of the problem of differentiating ``model(*inputs)``.

    Parameters
    ----------
    model
        A ``torch.nn.Module``, a Flax NNX or an Equinox module, in the mode (train, eval) in which
        it is differentiated. It is left as it is, its buffers too.
    inputs
        NumPy arrays or arrays of the model's library, or trees of them with None, numbers and text
        beside; floats become float64.
    wrt
        ``parameters``: x is a dict of them by name. ``inputs``: x is the input, or a tuple of
        several; those that are not floating (tokens, masks) are constants.
    keywords
        Further inputs by keyword.
    argnum
        With ``wrt="inputs"``: by which of the inputs alone; None: by all that are floating.
    name
        The problem's name; None: ``model/`` and the class's.
    output
        The key, index or field to take where the model returns a dict, a tuple or a dataclass.
    batch_axis
        The axis of every input that runs over samples; None where there is none. The output's is
        its first.
    rest
        Further fields of :class:`jacbench.Problem`, such as ``jacobian`` or ``elsewhere``.

    Raises
    ------
    JacbenchError
        In one line: not a model of an installed library, a model on a device without data, an
        output that is no array.

    Warns
    -----
    UserWarning
        One line each: the layers that normalise by the batch, and those that draw random numbers,
        because they are in train mode.
    """
    name = name or f"model/{type(model).__name__}"
    if wrt not in WRT:
        raise JacbenchError(f"problem {name!r}: wrt is {wrt!r}: give 'parameters' or 'inputs'")
    if not inputs and not keywords:
        raise JacbenchError(f"problem {name!r}: the model has no input: pass what it is called on")
    given = Inputs(tuple(map(_as_array, inputs)), dict(keywords or {}))
    backend_name, backend = _backend_of(name, model)
    moving = _moving(name, given, argnum) if wrt == "inputs" else ()
    adapted = backend.adapt(model, given, wrt, output)
    for line in _told_of(adapted.training):
        warnings.warn(line, UserWarning, stacklevel=3)
    if wrt == "inputs" and len(moving) < len(given.arrays):
        adapted = _by_some(adapted, moving)
    in_axes = None
    if batch_axis is not None:
        others = len(adapted.constants)
        in_axes = (
            (None, batch_axis, *[None] * (others - 1))
            if wrt == "parameters"
            else (batch_axis, *[None] * others)
        )
    return {
        "name": name,
        "native": {backend_name: adapted.function},
        "x": adapted.x,
        "constants": adapted.constants,
        "in_axes": in_axes,
        "tapped": True,
        **rest,
    }


def _told_of(layers: Sequence[Training]) -> list[str]:
    """Return one line for the layers that look at the batch, and one for those that draw."""
    told = (
        (False, "y of a sample depends on the whole batch, as the statistics are the batch's"),
        (True, "each call draws other random numbers, and a Jacobian is of one draw alone"),
    )
    return [
        f"{_listed(some)} in train mode: {why}: put the model in eval mode if that is not meant"
        for random, why in told
        if (some := [layer for layer in layers if layer.random is random])
    ]


def _listed(layers: Sequence[Training]) -> str:
    shown = [
        f"{layer.name!r} ({layer.kind})" if layer.name else f"the model itself ({layer.kind})"
        for layer in layers[:3]
    ]
    more = f" and {len(layers) - 3} more" if len(layers) > 3 else ""
    if len(layers) == 1:
        return f"{'layer ' if layers[0].name else ''}{shown[0]} is"
    return f"layers {', '.join(shown)}{more} are"


def _as_array(value: Any) -> Any:
    """Return plain numbers in a list, and a single float, as an array."""
    numbers = isinstance(value, (list, float)) and tree.leaves(value)
    plain = bool(numbers) and all(type(leaf) in {int, float} for leaf in tree.leaves(value))
    return np.asarray(value) if plain else value


def _moving(name: str, given: Inputs, argnum: int | None) -> tuple[int, ...]:
    """Return by which of the arrays the derivative is."""
    places, at = list[int](), 0
    for number, argument in enumerate((*given.arguments, dict(given.keywords))):
        for leaf in tree.leaves(argument):
            if not hasattr(leaf, "dtype"):
                continue
            if argnum in {None, number} and "float" in str(leaf.dtype):
                places.append(at)
            at += 1
    if not places:
        dtypes = ", ".join(
            f"{label} of {leaf.dtype}"
            for label, leaf in zip(given.names, given.arrays, strict=True)
        )
        raise JacbenchError(
            f"problem {name!r}: none of its inputs is floating ({dtypes}): differentiate it by "
            "wrt='parameters'"
        )
    return tuple(places)


@dataclass(frozen=True, eq=False)
class _BySome:
    """A function of all inputs as one of those at ``moving`` and of the others."""

    function: Any
    moving: tuple[int, ...]

    def __call__(self, x: Any, others: Any, *constants: Any, **tap: Any) -> Any:
        """Put each in its place."""
        inputs = list(others)
        for number, place in enumerate(self.moving):
            inputs.insert(place, x if len(self.moving) == 1 else x[number])
        return self.function(one_or_tuple(inputs), *constants, **tap)


def _by_some(adapted: Adapted, moving: tuple[int, ...]) -> Adapted:
    every = adapted.x if isinstance(adapted.x, tuple) else (adapted.x,)
    others = tuple(value for place, value in enumerate(every) if place not in moving)
    return Adapted(
        function=_BySome(adapted.function, moving),
        x=one_or_tuple([every[place] for place in moving]),
        constants=(others, *adapted.constants),
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
