"""A library's model as a function of arrays, and what it is called with."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jacbench.core import tree
from jacbench.core.errors import JacbenchError
from jacbench.core.function_types import NativeFunction
from jacbench.core.tree import Tree


@dataclass(frozen=True)
class Inputs:
    """What a model is called with, and the arrays in it.

    Attributes
    ----------
    arguments, keywords
        As the model takes them: arrays, and trees with None, numbers and text in them.
    """

    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]

    @property
    def arrays(self) -> tuple[Any, ...]:
        """The arrays, in tree order."""
        return tuple(leaf for leaf in self._leaves() if hasattr(leaf, "dtype"))

    @property
    def names(self) -> tuple[str, ...]:
        """What each array is called: ``0``, ``0['ids']``, ``mask``."""
        every = tree.names(list(self.arguments)), tree.names(dict(self.keywords))
        names = [
            *(name.replace("[", "", 1).replace("]", "", 1) for name in every[0]),
            *(name.replace("['", "", 1).replace("']", "", 1) for name in every[1]),
        ]
        leaves = zip(names, self._leaves(), strict=True)
        return tuple(name for name, leaf in leaves if hasattr(leaf, "dtype"))

    def _leaves(self) -> list[Any]:
        return tree.leaves([list(self.arguments), dict(self.keywords)])

    @property
    def plain(self) -> bool:
        """Whether they are arrays by position, and nothing else."""
        return not self.keywords and all(hasattr(one, "dtype") for one in self.arguments)

    def called(self, arrays: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments and the keywords with other arrays in the places of these."""
        if self.plain:
            return tuple(arrays), {}
        given = iter(arrays)
        leaves = [next(given) if hasattr(leaf, "dtype") else leaf for leaf in self._leaves()]
        arguments, keywords = tree.unflatten([list(self.arguments), dict(self.keywords)], leaves)
        return tuple(arguments), keywords


@dataclass(frozen=True, kw_only=True)
class Training:
    """A layer that computes something else in train mode than in eval mode.

    Attributes
    ----------
    name, kind
        Its path in the model, empty for the model itself, and its class.
    random
        True where it draws random numbers, False where it looks at the other samples.
    """

    name: str
    kind: str
    random: bool


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
    training
        The layers that are in train mode and differ in it.
    """

    function: NativeFunction
    x: Tree
    constants: tuple[Tree, ...]
    training: tuple[Training, ...] = ()


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
    fields = _fields(output)
    if is_field(output, which):
        return getattr(output, str(which))
    if isinstance(output, Mapping):
        kind, keys = "dict", sorted(output, key=str)
        choices, entries = list(map(str, keys)), [output[key] for key in keys]
    elif fields and which is None:
        kind, choices = type(output).__name__, fields
        entries = [getattr(output, field) for field in fields]
    elif fields and not isinstance(output, tuple):
        told = f"{name} returns a {type(output).__name__} with {', '.join(fields)}"
        raise JacbenchError(f"{told}, not {which!r}: give one of them as output=")
    elif isinstance(output, (tuple, list)):
        kind, choices = type(output).__name__, list(map(str, range(len(output))))
        entries = list(output)
    else:
        if which is None:
            return output
        raise JacbenchError(f"{name} returns one array: leave output={which!r} out")
    told = f"{name} returns a {kind} with {', '.join(choices)}"
    if which is None:
        raise JacbenchError(f"{told}: {_advice(choices, entries)}")
    try:
        return output[which]
    except (KeyError, IndexError, TypeError):
        raise JacbenchError(f"{told}, not {which!r}: give one of them as output=") from None


def _advice(choices: Sequence[str], entries: Sequence[Any]) -> str:
    """Return what to do about several entries; only one with a derivative serves as example."""
    for choice, entry in zip(choices, entries, strict=True):
        if "float" in str(getattr(entry, "dtype", "")):
            example = choice if choice.isdecimal() else repr(choice)
            return f"say which one to differentiate, e.g. output={example}"
    return "none of them is an array of floats: return at least one"


def is_field(output: Any, which: str | int | None) -> bool:
    """Say whether ``which`` names a field of a dataclass or a named tuple, and no key of a dict."""
    return not isinstance(output, Mapping) and which in _fields(output)


def _fields(output: Any) -> list[str]:
    """Return the names of the fields of a dataclass or a named tuple."""
    if isinstance(output, tuple):
        return list(getattr(output, "_fields", ()))
    return [f.name for f in dataclasses.fields(output)] if dataclasses.is_dataclass(output) else []


def one_or_tuple(inputs: Sequence[Any]) -> Any:
    """Return the single input, or all of them as a tuple: what x is by the inputs."""
    return inputs[0] if len(inputs) == 1 else tuple(inputs)
