"""Which library a function is written for, and whose an array is, without importing any."""

from __future__ import annotations

import functools
import itertools
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from jacbench.backend import registry

_MOST_VALUES = 2000
"""What a function refers to is followed so far: a library of a whole framework behind it."""

_MOST_ITEMS = 50
"""How many entries of a list or a dict that it refers to are looked at."""

_PLAIN = sys.stdlib_module_names | {"numpy", "scipy", "builtins", "jacbench"}
"""Packages that say nothing about the library, and are not looked into."""


@dataclass(frozen=True)
class _Imported:
    """A module that a function imports when it runs."""

    name: str


def owner_of(array: Any) -> str | None:
    """Return the backend whose library made ``array``; None for NumPy's and plain numbers.

    No library is imported: an array of one that is not there does not exist.
    """
    if isinstance(array, (np.ndarray, np.generic, bool, int, float, complex)):
        return None
    for descriptor in registry.descriptors().values():
        imported = descriptor.module in sys.modules and not descriptor.oracle
        if imported and registry.load(descriptor.name).is_array(array):
            return descriptor.name
    return None


def installed() -> list[str]:
    """Return the backends that differentiate and whose library is there, in their order."""
    every = registry.descriptors().values()
    return [d.name for d in every if not d.oracle and d.absent() is None]


def libraries(function: Any) -> tuple[str, ...]:
    """Return the backends whose libraries ``function`` refers to, the most direct first.

    By what its code names: globals, closures, defaults, imports inside of it, and what the
    functions and classes among those name in turn. Nothing is called.
    """
    found: dict[str, None] = {}
    for value in itertools.islice(_reached(function), _MOST_VALUES):
        found.update(dict.fromkeys(_named_by(value)))
    return tuple(found)


def imported_beside(function: Any) -> tuple[str, ...]:
    """Return the backends whose libraries the module of ``function`` imports."""
    home = sys.modules.get(str(getattr(function, "__module__", None)))
    beside = getattr(function, "__globals__", None) or getattr(home, "__dict__", {})
    modules = [value for value in beside.values() if isinstance(value, ModuleType)]
    found = itertools.chain.from_iterable(map(_named_by, modules))
    return tuple(dict.fromkeys(found))


@functools.cache
def _packages() -> dict[str, str]:
    """Return the backend of each package that belongs to a library: of several, the first."""
    return {
        package: descriptor.name
        for descriptor in reversed(registry.descriptors().values())
        if not descriptor.oracle
        for package in (
            descriptor.module,
            f"{descriptor.module}lib",  # jaxlib holds JAX's own types
            *(base.partition(".")[0] for base in descriptor.model_classes),
        )
    }


def _named_by(value: Any) -> Iterator[str]:
    """Name the backends that ``value`` itself belongs to."""
    for home in _homes(value):
        backend = _packages().get(home.partition(".")[0])
        if backend is not None:
            yield backend


def _homes(value: Any) -> Iterator[str]:
    """Name the modules that ``value``, its class and the bases of both come from."""
    if isinstance(value, _Imported):
        yield value.name
    elif isinstance(value, ModuleType):
        yield value.__name__
    else:
        kinds = value.__mro__ if isinstance(value, type) else type(value).__mro__
        own = getattr(value, "__module__", None) or _home_of_builtin(value)
        yield from (str(home) for home in (own, *(kind.__module__ for kind in kinds)))


def _home_of_builtin(value: Any) -> str:
    """Return where a function written in C comes from, as those of torch do not say it."""
    holder = getattr(value, "__self__", None)
    if isinstance(holder, ModuleType):
        return holder.__name__
    return (holder if isinstance(holder, type) else type(holder)).__module__


def _reached(function: Any) -> Iterator[Any]:
    """Yield ``function`` and all it refers to, by the number of steps."""
    queue, seen = deque([function]), dict[int, Any]()
    while queue:
        value = queue.popleft()
        if id(value) in seen:
            continue
        seen[id(value)] = value  # kept, so that no other object takes its address
        yield value
        if value is function or not _is_known(value):
            queue.extend(_parts(value))


def _is_known(value: Any) -> bool:
    """Say whether ``value`` is of a package that need not be looked into."""
    if isinstance(value, (_Imported, ModuleType)):
        return True
    if isinstance(value, (functools.partial, MethodType, list, tuple, dict)):
        return False
    home = getattr(value, "__module__", None) or type(value).__module__
    package = str(home).partition(".")[0]
    return package in _PLAIN or package in _packages()


def _parts(value: Any) -> Iterator[Any]:
    """Yield what ``value`` refers to in one step."""
    if isinstance(value, functools.partial):
        yield from (value.func, *value.args, *value.keywords.values())
    elif isinstance(value, MethodType):
        yield from (value.__func__, value.__self__)
    elif isinstance(value, FunctionType):
        yield from _of_function(value)
    elif isinstance(value, (list, tuple)):
        yield from value[:_MOST_ITEMS]
    elif isinstance(value, dict):
        yield from itertools.islice(value.values(), _MOST_ITEMS)
    elif isinstance(value, type):
        yield from (v for v in vars(value).values() if isinstance(v, FunctionType))
        yield from value.__bases__
    elif not isinstance(value, BuiltinFunctionType):
        wrapped = getattr(value, "__wrapped__", None)
        yield from () if wrapped is None else (wrapped,)
        yield from itertools.islice(_attributes(value).values(), _MOST_ITEMS)
        if callable(value):
            yield type(value)


def _attributes(value: Any) -> Mapping[str, Any]:
    held = getattr(value, "__dict__", None)
    return held if isinstance(held, dict) else {}


def _of_function(function: FunctionType) -> Iterator[Any]:
    names = dict.fromkeys(_code_names(function.__code__))
    beside = function.__globals__
    for name in names:
        if name in beside:
            yield beside[name]
        elif name.partition(".")[0] in _packages():
            yield _Imported(name)
    modules = [beside[n] for n in names if isinstance(beside.get(n), ModuleType)]
    for module in modules:
        package = module.__name__.partition(".")[0]
        if package not in _PLAIN and package not in _packages():
            yield from (vars(module)[name] for name in names if name in vars(module))
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # empty until the function around it has gone on
            continue
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    wrapped = getattr(function, "__wrapped__", None)
    if wrapped is not None:
        yield wrapped


def _code_names(code: CodeType) -> Iterator[str]:
    """Name what ``code``, and the functions within it, look up."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _code_names(constant)
