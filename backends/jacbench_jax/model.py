"""Flax NNX and Equinox modules as functions of arrays; neither is imported unless one arrives."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from jacbench.backend import Backend
from jacbench.backend.adapted import Adapted, Inputs, Training, one_or_tuple, selected
from jacbench.core.errors import JacbenchError
from jacbench_jax import MODEL_CLASSES
from jacbench_jax.method import UNTRACEABLE

Tap = Callable[[str, Any], Any]
"""``tap(name, value)`` returns what takes the value's place."""


class Forward(Protocol):
    """The model as a function of all of its arrays, by dotted name."""

    def __call__(
        self,
        arrays: Mapping[str, Any],
        inputs: tuple[Any, ...],
        keywords: Mapping[str, Any],
        tap: Tap | None,
    ) -> Any:
        """Rebuild the model from ``arrays`` and call it on ``inputs`` and ``keywords``."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """A model taken apart.

    Attributes
    ----------
    parameters, state
        NumPy arrays by dotted name: what is learned, and every other array of the model.
    forward
        Puts it together from both and calls it.
    training
        The layers that are in train mode and differ in it.
    """

    parameters: Mapping[str, Any]
    state: Mapping[str, Any]
    forward: Forward
    training: tuple[Training, ...] = ()


def adapt(
    backend: Backend, model: Any, inputs: Inputs, wrt: str, output: str | int | None
) -> Adapted:
    """Return ``model`` as a function, having traced it once to see that it returns an array."""
    name = type(model).__name__
    bases = [f"{base.__module__}.{base.__qualname__}" for base in type(model).__mro__]
    adapter = next((MODEL_CLASSES[base] for base in bases if base in MODEL_CLASSES), None)
    if adapter is None:
        return Backend.adapt(backend, model, inputs, wrt, output)
    parts: Parts = importlib.import_module(adapter).parts(model)
    given = one_or_tuple([on_host(f"an input of {name}", value) for value in inputs.arrays])
    if wrt == "parameters" and not parts.parameters:
        raise JacbenchError(f"{name} has no parameters: differentiate it by wrt='inputs'")

    def call(arrays: Mapping[str, Any], given: Any, tap: Tap | None) -> Any:
        arguments, keywords = inputs.called(given if isinstance(given, tuple) else (given,))
        return selected(parts.forward(arrays, arguments, keywords, tap), output, name)

    def of_parameters(parameters: Any, inputs: Any, state: Any, *, tap: Tap | None = None) -> Any:
        return call({**parameters, **state}, inputs, tap)

    def of_inputs(inputs: Any, parameters: Any, state: Any, *, tap: Tap | None = None) -> Any:
        return call({**parameters, **state}, inputs, tap)

    parameters, state = dict(parts.parameters), dict(parts.state)
    if wrt == "parameters":
        adapted = Adapted(
            function=of_parameters, x=parameters, constants=(given, state), training=parts.training
        )
    else:
        adapted = Adapted(
            function=of_inputs, x=given, constants=(parameters, state), training=parts.training
        )
    _check_output(name, adapted)
    return adapted


def _check_output(name: str, adapted: Adapted) -> None:
    try:
        with _float64():
            trace = jax.make_jaxpr(adapted.function, return_shape=True)
            traced, value = trace(adapted.x, *adapted.constants)
    except UNTRACEABLE:
        return  # it needs numbers; methods that trace say so, and the others may have it
    except JacbenchError:
        raise
    except Exception as exc:
        told = " ".join(str(exc).split())
        raise JacbenchError(
            f"calling {name} raised {type(exc).__name__}: {told}: call it on these inputs yourself "
            "to see where"
        ) from exc
    if not isinstance(value, jax.ShapeDtypeStruct):
        raise JacbenchError(
            f"{name} returns a {type(value).__name__}, not an array: wrap it in a module that "
            "returns one"
        )
    narrow = sorted(set(_roundings(traced.jaxpr)))
    if narrow:
        warnings.warn(
            f"{name} rounds float64 to {', '.join(narrow)} on its way, as "
            "jax.nn.dot_product_attention does: central differences will not confirm it",
            stacklevel=4,
        )


def _float64() -> Any:
    """Return the context in which JAX computes in float64, as the cells do."""
    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(True)
    return importlib.import_module("jax.experimental").enable_x64()


def _roundings(traced: Any) -> Iterator[str]:
    """Name the dtypes to which float64 is rounded, in ``traced`` and what it calls."""
    for step in traced.eqns:
        if step.primitive.name == "convert_element_type":
            given, made = step.invars[0].aval.dtype, step.params["new_dtype"]
            if given == np.float64 and jnp.issubdtype(made, jnp.floating) and made != given:
                yield str(made)
        for inner in jax.tree.leaves([*step.params.values()], is_leaf=_is_jaxpr):
            if _is_jaxpr(inner):
                yield from _roundings(inner)


def _is_jaxpr(value: Any) -> bool:
    return hasattr(value, "eqns")


class Leaves:
    """The arrays of a pytree by dotted name, and the way back.

    Attributes
    ----------
    arrays
        NumPy arrays: floats in float64, the rest as it is. A random key is there by its data, an
        unsigned array, so that it too goes in as an argument.
    """

    def __init__(self, model: str, pytree: Any, names: Callable[[Any], str]) -> None:
        found, self._structure = jax.tree_util.tree_flatten_with_path(pytree)
        self._names = [names(path) for path, _ in found]
        twice = [name for name in self._names if self._names.count(name) > 1]
        if twice:
            raise JacbenchError(
                f"{model} has two arrays called {twice[0]!r}: name its attributes without dots"
            )
        self._keys = {
            name: jax.random.key_impl(leaf)
            for name, (_, leaf) in zip(self._names, found, strict=True)
            if _is_key(leaf) and not isinstance(leaf, jax.ShapeDtypeStruct)
        }
        self.arrays = {
            name: on_host(f"{name!r} of {model}", leaf)
            for name, (_, leaf) in zip(self._names, found, strict=True)
        }

    def rebuilt(self, arrays: Mapping[str, Any]) -> Any:
        """Return the pytree with the leaves of ``arrays``, which may hold others beside them."""
        leaves = [
            jax.random.wrap_key_data(arrays[name], impl=self._keys[name])
            if name in self._keys
            else arrays[name]
            for name in self._names
        ]
        return jax.tree.unflatten(self._structure, leaves)

    def floating(self) -> dict[str, Any]:
        """Return the arrays that have a derivative."""
        return {name: array for name, array in self.arrays.items() if array.dtype.kind in "fc"}


def on_host(what: str, leaf: Any) -> Any:
    """Return a copy as a NumPy array; narrow floats, which NumPy may lack, as float64."""
    if isinstance(leaf, jax.ShapeDtypeStruct):
        raise JacbenchError(f"{what} has a shape and no data: build the model with its arrays")
    if _is_key(leaf):
        leaf = jax.random.key_data(leaf)
    array = np.array(leaf)
    return array.astype(np.float64) if jnp.issubdtype(array.dtype, jnp.floating) else array


def tapped(value: Any, name: str, tap: Tap) -> Any:
    """Pass a submodule's output through ``tap`` where it is one array."""
    return tap(name, value) if isinstance(value, jax.Array) else value


def _is_key(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
