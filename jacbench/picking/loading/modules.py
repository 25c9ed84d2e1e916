"""A module of a library, by its inputs or its parameters, as a problem."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

from jacbench.backend import registry
from jacbench.backend.adapted import is_field as names_a_field
from jacbench.checking import process_state
from jacbench.core import tree
from jacbench.core.errors import JacbenchError
from jacbench.picking.loading import arguments
from jacbench.picking.loading.inputs import Inputs
from jacbench.problems.problem import Problem

_KINDS = {
    "torch": "torch.nn.Module",
    "flax": "Flax NNX module",
    "equinox": "Equinox module",
}
"""What a module is called, by the package of its class."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """A module as a problem, and the backend it belongs to."""

    problem: Problem
    backend: str
    notes: tuple[str, ...]


def package(model: Any) -> tuple[str, str]:
    """Return the backend of a module, and the package that its class comes from."""
    bases = {f"{base.__module__}.{base.__qualname__}" for base in type(model).__mro__}
    for descriptor in registry.descriptors().values():
        for known in descriptor.model_classes:
            if known in bases:
                return descriptor.name, known.partition(".")[0]
    raise JacbenchError(f"a {type(model).__name__} is no module that a backend knows")


def kind(model: Any) -> str:
    """Return what a module is called."""
    backend, home = package(model)
    return _KINDS.get(home, f"{backend} module")


def adapted(model: Any, given: Inputs, name: str, wrt: str, output: str | int | None) -> Made:
    """Return ``model`` as a problem; by one of its inputs, the others are constants.

    Raises
    ------
    JacbenchError
        In one line: what :meth:`jacbench.Problem.from_model` refuses, and inputs without a
        derivative where that is by the inputs.
    """

    def hosted(value: Any) -> Any:
        if not hasattr(value, "dtype"):
            return value
        return arguments.host(value, f"{name}: an input")

    inputs = [tree.map_leaves(hosted, value) for value in given.arguments]
    keywords = {key: tree.map_leaves(hosted, value) for key, value in given.keywords.items()}
    by_one = wrt == "inputs" and (len(inputs) > 1 or bool(keywords))
    if wrt == "inputs":
        _check_floats(given, name)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        problem = Problem.from_model(
            model,
            *inputs,
            wrt=wrt,
            keywords=keywords,
            argnum=given.argnum if by_one else None,
            name=name,
            output=output,
        )
    notes = [str(one.message) for one in caught if issubclass(one.category, UserWarning)]
    backend, _ = package(model)
    return Made(problem=problem, backend=backend, notes=tuple(notes))


def is_field(model: Any, given: Inputs, output: str | int | None, dtype: str) -> bool:
    """Say whether ``output`` is taken from what ``model`` returns as a field, and not as a key.

    The model is called for it where ``output`` is a name; ``dtype`` is what it computes in.
    """
    if not isinstance(output, str):
        return False
    home, _ = package(model)
    backend, where = registry.load(home), device(model, home)

    def placed(value: Any) -> Any:
        if not hasattr(value, "dtype"):
            return value
        return backend.put(arguments.host(value, "an input"), where, dtype)

    inputs = [tree.map_leaves(placed, value) for value in given.arguments]
    keywords = {key: tree.map_leaves(placed, value) for key, value in given.keywords.items()}
    with process_state.kept(backend, model):
        return names_a_field(model(*inputs, **keywords), output)


def _check_floats(given: Inputs, name: str) -> None:
    try:
        arguments.split(None, given, name)
    except JacbenchError as exc:
        raise JacbenchError(f"{exc}; wrt='parameters' differentiates by those") from None


def device(model: Any, backend: str) -> str:
    """Return where the parameters of a module lie, where it says so; else ``cpu``."""
    array = _first_parameter(model, backend)
    return "cpu" if array is None else registry.load(backend).device_of(array)


def dtype(model: Any, backend: str) -> str | None:
    """Return the dtype of a module's parameters, where it says so and it is one of ours."""
    array = _first_parameter(model, backend)
    told = "" if array is None else str(array.dtype).rpartition(".")[2]
    return told if told in {"float64", "float32"} else None


def _first_parameter(model: Any, backend: str) -> Any:
    parameters = getattr(model, "parameters", None)
    if not callable(parameters):
        return None
    held = (p for p in parameters() if registry.load(backend).is_array(p))
    return next(held, None)
