"""Equinox modules as functions of their arrays.

Reference: https://docs.kidger.site/equinox/api/manipulation/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import equinox as eqx
import jax

from jacbench.backend.adapted import Training
from jacbench.core.errors import JacbenchError
from jacbench_jax.model import Leaves, Parts, Tap, tapped


def parts(model: Any) -> Parts:
    """Split ``model`` into its floating arrays, which are its parameters, and the other ones.

    Activations and whatever else is no array stay where they are. A module is called as it is:
    one of a single sample must be mapped over a batch by a module around it.
    """
    name = type(model).__name__
    if any(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(model)):
        raise JacbenchError(f"{name} has shapes and no data: build the model with its arrays")
    arrays, static = eqx.partition(model, eqx.is_array)
    leaves = Leaves(name, arrays, _dotted)
    parameters = leaves.floating()
    state = {key: array for key, array in leaves.arrays.items() if key not in parameters}

    def forward(
        arrays: Mapping[str, Any],
        inputs: tuple[Any, ...],
        keywords: Mapping[str, Any],
        tap: Tap | None,
    ) -> Any:
        whole = eqx.combine(leaves.rebuilt(arrays), static)
        return (whole if tap is None else _tapping(whole, tap))(*inputs, **keywords)

    return Parts(
        parameters=parameters, state=state, forward=forward, training=tuple(_in_train_mode(model))
    )


def _in_train_mode(model: Any) -> Iterator[Training]:
    """Name the layers that inference mode would make another function of."""

    def differs(node: Any) -> bool:
        return isinstance(node, (eqx.nn.BatchNorm, eqx.nn.Dropout))

    for path, layer in jax.tree_util.tree_leaves_with_path(model, is_leaf=differs):
        if not differs(layer) or layer.inference:
            continue
        draws = isinstance(layer, eqx.nn.Dropout)
        if not draws or layer.p > 0:
            yield Training(name=_dotted(path), kind=type(layer).__name__, random=draws)


def _dotted(path: tuple[Any, ...]) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")


class _Tapped(eqx.Module):  # type: ignore[misc, unused-ignore] # untyped where it is absent
    """A submodule whose output goes through ``tap``; in all else it is the submodule."""

    inner: Any
    name: str = eqx.field(static=True)
    tap: Tap = eqx.field(static=True)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call the submodule."""
        return tapped(self.inner(*arguments, **named), self.name, self.tap)

    def __getattr__(self, attribute: str) -> Any:
        """Return the submodule's: Equinox's own layers ask for each other's sizes and weights."""
        if attribute == "inner" or attribute.startswith("__"):
            raise AttributeError(attribute)
        return getattr(self.inner, attribute)


def _tapping(module: Any, tap: Tap, prefix: tuple[Any, ...] = ()) -> Any:
    """Return ``module`` with every submodule below it wrapped, the innermost too."""

    def is_submodule(node: Any) -> bool:
        return node is not module and isinstance(node, eqx.Module)

    def wrapped(path: tuple[Any, ...], node: Any) -> Any:
        if not is_submodule(node):
            return node
        inside = _tapping(node, tap, (*prefix, *path))
        # A stateful layer returns (value, state), and eqx.nn.Sequential knows it by its class.
        stateful = isinstance(node, eqx.nn.StatefulLayer) and node.is_stateful()
        if stateful or not callable(node):
            return inside
        return _Tapped(inside, _dotted((*prefix, *path)), tap)

    return jax.tree_util.tree_map_with_path(wrapped, module, is_leaf=is_submodule)
