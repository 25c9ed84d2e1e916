"""What defines a problem or a method, as a short hash: an edited one is no longer the same cell.

The hash is made of source text and of values, never of addresses, of Python's own ``hash`` or of
paths, so that it is the same in another process and on another machine.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.util
import inspect
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from jacbench.backend import Method
from jacbench.problems.problem import Problem

DIGITS = 16
"""Hexadecimal digits: 64 bits."""

_MAX_DEPTH = 40
_MAX_VALUES = 100_000
"""What is nested deeper, or stands after so many values, is left out."""

_LIBRARIES = ("", "builtins", "jacbench", "numpy", "torch", "jax", "jaxlib", "autograd")
"""Libraries also where they are imported from a checkout."""

_OF_NO_MATTER = ("name", "source", "summary", "known_faults", "rtol", "atol")
"""Fields of a problem that change neither its function nor its point."""


def of_problem(problem: Problem) -> str:
    """Return the hash of a problem's functions, point, constants and options."""
    functions = (problem.function, problem.jacobian, *problem.native.values())
    digest = _Digest(map(_package, functions))
    for field in dataclasses.fields(problem):
        if field.name not in _OF_NO_MATTER:
            digest.add(field.name)
            digest.add(
                _natives(problem) if field.name == "native" else getattr(problem, field.name)
            )
    return digest.short()


def of_function(function: Any) -> str:
    """Return the hash of a function's source and of all that it holds."""
    digest = _Digest([_package(function)])
    digest.add(function)
    return digest.short()


def of_method(method: Method) -> str:
    """Return the hash of a method: its class, the bases of the same package, what it holds."""
    digest = _Digest([_package(type(method))])
    digest.add(method)
    digest.add((method.info.operator, method.chunking))
    return digest.short()


def _natives(problem: Problem) -> dict[str, Any]:
    return {
        backend: _Text(_module_text(native), native) if isinstance(native, str) else native
        for backend, native in problem.native.items()
    }


def _module_text(name: str) -> str:
    """Return the source of ``module:name``'s module, which need not be importable here."""
    try:
        spec = importlib.util.find_spec(name.partition(":")[0])
        return Path((spec and spec.origin) or "").read_text(encoding="utf-8")
    except (ImportError, OSError, ValueError):
        return ""


@dataclasses.dataclass(frozen=True)
class _Text:
    """Source text and the name of what is meant in it."""

    text: str
    name: str


class _Digest:
    """A hash that values are added to, each with its type, so that no two run together.

    Parameters
    ----------
    home
        Packages whose source counts wherever they are installed. That of other libraries does not:
        their versions are recorded.
    """

    def __init__(self, home: Iterable[str]) -> None:
        self._home = frozenset(home) - {""}
        self._hash = hashlib.sha256()
        self._seen: dict[int, int] = {}
        self._kept: list[object] = []
        self._depth = 0

    def short(self) -> str:
        return self._hash.hexdigest()[:DIGITS]

    def add(self, value: Any) -> None:
        """Add ``value``; one that was met before by its number."""
        if self._depth > _MAX_DEPTH or len(self._kept) > _MAX_VALUES:
            return
        if _is_plain(value):
            self._say(type(value).__name__, repr(value))
            return
        if id(value) in self._seen:
            self._say("again", str(self._seen[id(value)]))
            return
        self._seen[id(value)] = len(self._seen)
        self._kept.append(value)  # or another value might get its address
        self._depth += 1
        self._add(value)
        self._depth -= 1

    def _say(self, kind: str, text: str | bytes) -> None:
        raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        self._hash.update(f"{kind}:{len(raw)}:".encode())
        self._hash.update(raw)

    def _add(self, value: Any) -> None:
        if isinstance(value, (types.FunctionType, type)) and not self._counts(value):
            self._say("named", _public_name(value))
        elif isinstance(value, type):
            self._class(value)
        elif isinstance(value, Mapping):
            self._all("mapping", *(e for k in sorted(value, key=repr) for e in (k, value[k])))
        elif isinstance(value, (set, frozenset)):
            self._say("set", "".join(sorted(self._alone(entry) for entry in value)))
        elif isinstance(value, (list, tuple)):
            self._all(type(value).__name__, *value)
        elif isinstance(value, (np.ndarray, np.generic)):
            self._array(np.asarray(value))
        else:
            self._rarer(value)

    def _rarer(self, value: Any) -> None:
        match value:
            case types.FunctionType():
                self._function(value)
            case types.CodeType():
                self._code(value)
            case types.MethodType():
                self._all("method", value.__func__, value.__self__)
            case functools.partial():
                self._all("partial", value.func, value.args, value.keywords)
            case property() | staticmethod() | classmethod() | functools.cached_property():
                self._all(type(value).__name__, *_functions_of(value))
            case types.ModuleType():
                self._say("module", value.__name__)
            case PurePath():
                self._say("path", value.name)
            case _:
                self._object(value)

    def _counts(self, value: Any) -> bool:
        """Say whether the source of a function or class is looked at."""
        package = _package(value)
        if isinstance(value, types.FunctionType) and package in {"", "builtins"}:
            return True  # made by exec: no module is its home
        return package in self._home or not _is_library(package)

    def _alone(self, value: Any) -> str:
        digest = _Digest(self._home)
        digest.add(value)
        return digest.short()

    def _all(self, kind: str, *values: Any) -> None:
        self._say(kind, str(len(values)))
        for value in values:
            self.add(value)

    def _array(self, array: np.ndarray[Any, Any]) -> None:
        if array.dtype.hasobject:
            self._all("objects", array.shape, *array.reshape(-1).tolist())
            return
        self._say("array", f"{array.dtype.str}{array.shape}")
        # Seen as bytes and not copied: a constant may be large.
        self._hash.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)

    def _function(self, function: types.FunctionType) -> None:
        code = function.__code__
        self._say("function", function.__qualname__.rpartition("<locals>.")[2])
        self.add(code)
        cells = [_content(cell) for cell in function.__closure__ or ()]
        self._all("bound", cells, function.__defaults__, function.__kwdefaults__)
        for name in sorted(_names(code)):
            if name in function.__globals__:
                self._global(name, function.__globals__[name])

    def _global(self, name: str, value: Any) -> None:
        """Add a helper or a constant; of a library's function the name has been said."""
        helper = isinstance(value, (types.FunctionType, type)) and self._counts(value)
        if helper or _is_constant(value):
            self._all("global", name, value)

    def _code(self, code: types.CodeType) -> None:
        text = _source(code)
        if text is None:
            self._say("bytecode", code.co_code)
            self._all("consts", *code.co_consts)
            self._all("names", *code.co_names, *code.co_varnames)
            return
        self._say("source", text)

    def _class(self, cls: type) -> None:
        """Add the functions and the constants of the class, and of its bases that count.

        Not its text in one piece: before Python 3.13 finding that parses the whole module.
        """
        self._say("class", cls.__qualname__)
        for base in cls.__mro__:
            if not self._counts(base):
                self._say("base", _public_name(base))
                continue
            own = vars(base)
            for name in sorted(own):
                value = own[name]
                if _is_code(value) or (_is_constant(value) and not _is_dunder(name)):
                    self._all("attribute", name, value)

    def _object(self, value: Any) -> None:
        if hasattr(value, "__wrapped__"):  # what functools.wraps, jax.jit and the like keep
            self._all("wrapper", value.__wrapped__)
            return
        array = _as_array(value)
        if array is not None:
            self._array(array)
            return
        if isinstance(getattr(value, "__qualname__", None), str):  # a builtin, a ufunc
            self._say("named", _public_name(value))
            return
        self.add(type(value))
        self.add(_held(value))


def _is_plain(value: Any) -> bool:
    plain = (bool, int, float, complex, str, bytes, types.NoneType, types.EllipsisType)
    return isinstance(value, plain)


def _is_constant(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return len(value) < 1000 and all(_is_constant(entry) for entry in value)
    return _is_plain(value) or isinstance(value, (np.ndarray, np.generic))


def _is_code(value: Any) -> bool:
    return isinstance(
        value,
        (types.FunctionType, property, staticmethod, classmethod, functools.cached_property),
    )


def _is_dunder(name: str) -> bool:
    """Say whether an attribute is Python's: ``__module__``, ``__firstlineno__``."""
    return name.startswith("__") and name.endswith("__")


def _functions_of(value: Any) -> list[Any]:
    if isinstance(value, property):
        return [value.fget, value.fset, value.fdel]
    return [value.func if isinstance(value, functools.cached_property) else value.__func__]


def _public_name(value: Any) -> str:
    """Return the name of a library's function or class, the same wherever jacbench keeps its own.

    A class that moves to another module of jacbench is the same class: with the module in its name
    every method of every stored file would become an edited one.
    """
    package = _package(value)
    home = package if package == "jacbench" else getattr(value, "__module__", None) or ""
    return f"{home}.{value.__qualname__}"


def _package(value: Any) -> str:
    return str(getattr(value, "__module__", None) or "").partition(".")[0]


@functools.cache
def _is_library(package: str) -> bool:
    """Say whether a package is installed rather than somebody's own file."""
    if package in sys.stdlib_module_names or package in _LIBRARIES:
        return True
    where = getattr(getattr(sys.modules.get(package), "__spec__", None), "origin", None) or ""
    return not {"site-packages", "dist-packages"}.isdisjoint(Path(where).parts)


def _names(code: types.CodeType) -> set[str]:
    """Return the names that a code object, or one within it, may look up in its module."""
    inner = [const for const in code.co_consts if isinstance(const, types.CodeType)]
    return set(code.co_names).union(*map(_names, inner))


@functools.cache
def _source(code: types.CodeType) -> str | None:
    """Return the text of a function, without the indentation of its place; None without a file."""
    try:
        text = inspect.cleandoc("\n" + inspect.getsource(code))
        if code.co_name == "<lambda>":  # several may stand in one line
            return f"{code.co_varnames}: {_body(code) or text}"
    except (OSError, TypeError, SyntaxError, IndexError, ValueError):
        return None
    return text or None


def _body(code: types.CodeType) -> str:
    """Return the text that the instructions of a lambda were made from."""
    places = [
        ((line, column), (last, end))
        for line, last, column, end in code.co_positions()
        if line and last and column is not None and end
    ]
    if not places:  # Python was told to keep none
        return ""
    (first, column), (last, end) = min(p[0] for p in places), max(p[1] for p in places)
    lines = [line.encode() for line in inspect.findsource(code)[0][first - 1 : last]]
    lines[-1] = lines[-1][:end]
    lines[0] = lines[0][column:]
    return b"".join(lines).decode(errors="replace")


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a name that is not bound yet
        return None


def _as_array(value: Any) -> np.ndarray[Any, Any] | None:
    """Return another library's array as NumPy's, None where it is none."""
    if not (hasattr(value, "dtype") and hasattr(value, "shape") and hasattr(value, "__array__")):
        return None
    detached: Callable[[], Any] | None = getattr(value, "detach", None)
    try:
        return np.asarray(value if detached is None else detached().cpu())
    except Exception:  # noqa: BLE001 - on a device without data, of a dtype that NumPy lacks
        return np.array(f"{value.dtype}{tuple(value.shape)}")


def _held(value: Any) -> dict[str, Any]:
    """Return what an object holds; of one without attributes what it is, unless by its address."""
    held = dict(getattr(value, "__dict__", {}))
    for name in _slots(type(value)):
        if hasattr(value, name):
            held[name] = getattr(value, name)
    told = repr(value) if not held else ""
    return {"repr": told} if told and " at 0x" not in told else held


def _slots(cls: type) -> Iterator[str]:
    for base in cls.__mro__:
        slots = vars(base).get("__slots__", ())
        yield from (slots,) if isinstance(slots, str) else slots
