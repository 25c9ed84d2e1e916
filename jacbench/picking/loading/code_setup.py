"""The lines before the Jacobian in the code to paste: imports, the point, the function of x."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from jacbench.backend import registry
from jacbench.backend.user_code import Spelling
from jacbench.core import tree
from jacbench.picking.loading.arguments import as_arrays, is_numbers
from jacbench.picking.loading.inputs import Inputs
from jacbench.picking.loading.recognition import owner_of

_AS_ARRAYS = {
    "torch": ("import torch", "torch.as_tensor", "torch.{}"),
    "jax": ("import jax.numpy as jnp", "jnp.asarray", '"{}"'),
}
"""By backend: what to import, the function that makes an array of a value, how it takes a dtype."""

_COPIES = {"torch": "torch.tensor"}
"""What takes its place for arrays of others, whose memory may be read-only."""

_OF_NUMPY = ("import numpy as np", "np.asarray", '"{}"')

_TREE_MAPS = {
    "torch": ("from torch.utils._pytree import tree_map", "tree_map"),
    "jax": ("import jax", "jax.tree.map"),
}
_OWN_TREE_MAP = ("from jacbench import tree", "tree.map_leaves")

_FLOAT64 = {"jax": ("import jax", 'jax.config.update("jax_enable_x64", True)')}
"""What a library has to be told before it computes in float64."""

_BY_PARAMETERS = {
    "torch": (
        (
            "import torch",
            "params = {{k: p.detach() for k, p in {model}.named_parameters() if p.requires_grad}}",
        ),
        "torch.func.functional_call({model}, params, ({inputs},){options})",
    ),
    "equinox": (
        (
            "import equinox as eqx",
            "params, static = eqx.partition({model}, eqx.is_inexact_array)",
        ),
        "eqx.combine(params, static)({inputs}{keywords})",
    ),
    "flax": (
        ("from flax import nnx", "graph, params, others = nnx.split({model}, nnx.Param, ...)"),
        "nnx.merge(graph, params, others)({inputs}{keywords})",
    ),
}
"""By package of a model: the lines that take its parameters out, and its call with others."""


@dataclass(frozen=True, kw_only=True)
class Pieces:
    """What the user's own code already says.

    Attributes
    ----------
    function
        The expression that names the function, model or problem.
    setup
        Lines that import it and make its arguments.
    given
        The arguments.
    output
        The entry to take where a model returns several.
    closed_over
        True where arguments that are not floating stay as they are given.
    by_field
        True where ``output`` is a field of a dataclass and no key.
    """

    function: str
    setup: tuple[str, ...]
    given: Inputs
    output: str | int | None = None
    closed_over: bool = False
    by_field: bool = False


def native(pieces: Pieces, library: str, dtype: str, *, narrow: bool = False) -> Spelling:
    """Return the spelling of a function of the library's own arrays, or of a model by its inputs.

    Parameters
    ----------
    dtype
        What is computed in: arguments of another dtype are converted.
    narrow
        True where the library makes float32 of all floats unless it is told otherwise.
    """
    given, setup = pieces.given, _prepared(pieces, library, dtype, narrow=narrow)
    x = given.names[given.argnum]
    if len(given.arguments) == 1 and not given.keywords and pieces.output is None:
        return Spelling(setup, pieces.function, x, library)
    return _defined(pieces, setup, _call(pieces, pieces.function), x, library)


def neutral(pieces: Pieces, library: str, dtype: str, *, narrow: bool = False) -> Spelling:
    """Return the spelling of a function ``f(xp, x, ...)`` over the library's namespace."""
    setup = _prepared(pieces, library, dtype, narrow=narrow)
    namespace = registry.load(library).xp
    package, _, name = getattr(namespace, "__name__", "").rpartition(".")
    if isinstance(namespace, ModuleType) and name == "xp":
        lines: tuple[str, ...] = (f"from {package} import xp",)
    else:
        lines = ("from jacbench import registry", f'xp = registry.load("{library}").xp')
    x = pieces.given.names[pieces.given.argnum]
    return _defined(pieces, (*lines, *setup), _call(pieces, pieces.function, "xp"), x, library)


def by_parameters(
    pieces: Pieces, library: str, package: str, dtype: str, *, narrow: bool = False
) -> Spelling:
    """Return the spelling of a model by its parameters; ``package`` is that of its class."""
    setup = _prepared(pieces, library, dtype, narrow=narrow)
    given = pieces.given
    spelled = {name: given.keyword_names.get(name, name) for name in given.keywords}
    if package not in _BY_PARAMETERS:
        output = f", output={pieces.output!r}" if pieces.output is not None else ""
        keywords = f", keywords={_as_dict(spelled)}" if spelled else ""
        made = f"Problem.from_model({', '.join((pieces.function, *given.names))}{keywords}{output})"
        lines = ("from jacbench import Problem", *pieces.setup)
        pieces = dataclasses.replace(pieces, function=made, setup=lines)
        return of_problem(pieces, library, dtype, has_aux=False)
    lines, call = _BY_PARAMETERS[package]
    named = {
        "model": pieces.function,
        "inputs": ", ".join(given.names),
        "keywords": "".join(f", {name}={value}" for name, value in spelled.items()),
        "options": f", {_as_dict(spelled)}" if spelled else "",
    }
    setup = (*setup, *(line.format(**named) for line in lines))
    return _defined(pieces, setup, call.format(**named) + _entry(pieces), "params", library)


def _as_dict(spelled: Mapping[str, str]) -> str:
    """Return keywords as the dict that ``functional_call`` and ``from_model`` take."""
    items = ", ".join(f'"{name}": {value}' for name, value in spelled.items())
    return f"{{{items}}}"


def of_problem(pieces: Pieces, library: str, dtype: str, *, has_aux: bool) -> Spelling:
    """Return the spelling of a :class:`jacbench.Problem`, its function bound to the library."""
    value = "problem.value_alone(function)" if has_aux else "function"
    lines = (
        *(_FLOAT64.get(library, ()) if dtype == "float64" else ()),
        "from jacbench import registry, tree",
        *pieces.setup,
        *([] if pieces.function == "problem" else [f"problem = {pieces.function}"]),
        f'backend = registry.load("{library}")',
        f'function = problem.bound("{library}", backend.xp)',
        "x, *constants = [",
        f'    tree.map_leaves(lambda leaf: backend.put(leaf, "cpu", "{dtype}"), given)',
        "    for given in (problem.x, *problem.constants)",
        "]",
        "def f(x):",
        f"    return {value}(x, *constants)",
    )
    return Spelling(lines, "f", "x", library)


def _defined(pieces: Pieces, setup: tuple[str, ...], call: str, x: str, library: str) -> Spelling:
    taken = {*pieces.given.names, *pieces.given.imported, pieces.function.partition(".")[0]}
    name = next(name for name in ("f", "g", "function_of_x") if name not in taken)
    return Spelling((*setup, f"def {name}({x}):", f"    return {call}"), name, x, library)


def _call(pieces: Pieces, function: str, *first: str) -> str:
    given = pieces.given
    keywords = [f"{name}={given.keyword_names.get(name, name)}" for name in given.keywords]
    return f"{function}({', '.join((*first, *given.names, *keywords))}){_entry(pieces)}"


def _entry(pieces: Pieces) -> str:
    if pieces.output is None:
        return ""
    return f".{pieces.output}" if pieces.by_field else f"[{pieces.output!r}]"


def _prepared(pieces: Pieces, library: str, dtype: str, *, narrow: bool) -> tuple[str, ...]:
    """Return the user's lines, then those that make each argument the library's own."""
    first = _FLOAT64.get(library, ()) if narrow and dtype == "float64" else ()
    imports: list[str] = []
    made: list[str] = []
    for index, name in enumerate(pieces.given.names):
        value = pieces.given.arguments[index]
        numbers = index == pieces.given.argnum and is_numbers(value)
        if numbers:
            value = as_arrays(value)
        elif _is_right(value, library, dtype) or (pieces.closed_over and _is_fixed(value)):
            continue
        needed, line = _converted(name, value, library, dtype)
        imports += needed
        made.append(line)
    return tuple(dict.fromkeys((*first, *pieces.setup, *imports))) + tuple(made)


def _is_right(value: Any, library: str, dtype: str) -> bool:
    """Say whether ``value`` is what the function takes, or nothing that could be converted."""
    arrays = [leaf for leaf in tree.leaves(value) if hasattr(leaf, "dtype")]
    owner = library if library in _AS_ARRAYS else None
    return all(owner_of(leaf) == owner and _fits(leaf, dtype) for leaf in arrays)


def _is_fixed(value: Any) -> bool:
    """Say whether nothing in ``value`` is floating."""
    arrays = [leaf for leaf in tree.leaves(value) if hasattr(leaf, "dtype")]
    return not any("float" in str(leaf.dtype) for leaf in arrays)


def _fits(leaf: Any, dtype: str) -> bool:
    held = str(leaf.dtype).rpartition(".")[2]
    return not held.startswith("float") or held == dtype


def _converted(name: str, value: Any, library: str, dtype: str) -> tuple[Sequence[str], str]:
    """Return the imports and the line that make ``name`` an array, or a tree, of the library."""
    module, function, as_dtype = _AS_ARRAYS.get(library, _OF_NUMPY)
    arrays = [leaf for leaf in tree.leaves(value) if hasattr(leaf, "dtype")]
    owners = {owner_of(leaf) for leaf in arrays}
    if library not in owners:
        function = _COPIES.get(library, function)
    told = ""
    if all("float" in str(leaf.dtype) for leaf in arrays):
        told = f", dtype={as_dtype.format(dtype)}"
    foreign = bool(owners - {None, library}) and function != "np.asarray"
    imports = [module, *([_OF_NUMPY[0]] if foreign else [])]

    def made(array: str) -> str:
        return f"{function}({f'np.asarray({array})' if foreign else array}{told})"

    if tree.is_leaf(value):
        return imports, f"{name} = {made(name)}"
    importing, tree_map = _TREE_MAPS.get(library, _OWN_TREE_MAP)
    return [*imports, importing], f"{name} = {tree_map}(lambda a: {made('a')}, {name})"
