"""What a command line names, loaded: ``FILE.py:NAME``, ``package.module:NAME``, a problem."""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from jacbench import problems
from jacbench.core.errors import JacbenchError, unknown
from jacbench.problems import from_file
from jacbench.problems.problem import Problem

_HOME = "jacbench"
"""Where the lines to paste import the catalogue from."""


@dataclass(frozen=True, kw_only=True)
class Named:
    """Something of the user's that can be differentiated, and how code names it.

    Attributes
    ----------
    object
        A function, a module of a library, or a :class:`Problem`.
    module
        Where it was found.
    expression
        What names it after the lines of :meth:`imports`: ``loss``, ``Model.encode``, ``build()``.
    file
        The file it was found in, as it was named; None where a module was named.
    text
        What was asked for.
    """

    object: Any
    module: ModuleType
    expression: str
    file: Path | None
    text: str

    @property
    def place(self) -> str:
        """The file or the module, in words."""
        return self.file.name if self.file is not None else self.text.rpartition(":")[0] or _HOME

    def imports(self, *others: str) -> tuple[str, ...]:
        """Return the lines that import it and ``others``, names of the same module."""
        names = tuple(dict.fromkeys((self.expression.partition(".")[0].strip("()"), *others)))
        module = self.file.stem if self.file is not None else self.place
        return _import_lines(module, names)

    def told(self, exc: BaseException) -> str:
        """Return what ``exc`` says, and the line of the user's own code that it came from."""
        return _told(exc, self.file)


def load(named: str) -> Named:
    """Return what ``named`` names.

    A file is executed, with its folder on the import path, as Python itself would; a module is
    imported, with the working directory on the path. NAME may have dots: ``model.encoder``. What
    has no colon is a problem of the catalogue: ``basics/mlp-weights[batch=64]``. A
    function without arguments is taken to make what is meant, and is called.

    Raises
    ------
    JacbenchError
        In one line: no such file, module or name; one that does not import, its own traceback
        kept as the cause; something that is no function.
    """
    place, _, name = named.rpartition(":")
    if not place and name.partition("/")[0] in _families():
        return _of_catalogue(named)
    if not place or not name or "/" in name or "\\" in name:
        raise JacbenchError(
            f"{named!r} names no function: give FILE.py:NAME or package.module:NAME, or a problem "
            "of jacbench list"
        )
    file = Path(place) if place.endswith(".py") else None
    module = _imported(place, named) if file is None else _executed(file, named)
    found, expression = _attribute(module, name, place), name
    if _makes(found):
        found, expression = _made(found, named, file), f"{name}()"
    _check_function(named, found)
    return Named(
        object=found,
        module=module,
        expression=expression,
        file=file,
        text=named,
    )


def _families() -> set[str]:
    return {name.partition("/")[0] for name in problems.names()}


def _of_catalogue(named: str) -> Named:
    return Named(
        object=problems.get(named),
        module=problems,
        expression=f"problems.get({named!r})".replace("'", '"'),
        file=None,
        text=named,
    )


def _import_lines(module: str, names: tuple[str, ...]) -> tuple[str, ...]:
    if all(part.isidentifier() for part in module.split(".")):
        return (f"from {module} import {', '.join(names)}",)
    # a file such as 2-body.py, which no import statement can name
    return tuple(f"{name} = __import__({module!r}).{name}" for name in names)


def _executed(file: Path, named: str) -> ModuleType:
    try:
        return from_file.loaded(file, named)
    except JacbenchError as exc:
        if "relative import" not in str(exc):
            raise
        advice = "name it as package.module:NAME, from the folder above its package"
        raise JacbenchError(f"{exc}: {advice}") from exc.__cause__


def _imported(name: str, named: str) -> ModuleType:
    here = str(Path.cwd())
    if "" not in sys.path and here not in sys.path:
        sys.path.insert(0, here)
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as exc:
        if isinstance(exc, ModuleNotFoundError) and f"{name}.".startswith(f"{exc.name}."):
            raise JacbenchError(
                f"{named}: there is no module {exc.name!r} here or installed: "
                "give FILE.py:NAME, or package.module:NAME from the folder above the package"
            ) from exc
        raise JacbenchError(f"{named}: the module does not import: {_told(exc, None)}") from exc


def _attribute(module: ModuleType, name: str, place: str) -> Any:
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            known = list(_offered(found)) or [key for key in dir(found) if key[0] != "_"]
            raise unknown("name", part, known, hint=f"{place} has {_some(known)}")
        found = getattr(found, part)
    return found


def _offered(owner: Any) -> Iterator[str]:
    """Name what could have been meant: problems and what can be called, made there."""
    for name in dir(owner):
        value = None if name.startswith("_") else getattr(owner, name, None)
        if isinstance(value, type) or not (callable(value) or isinstance(value, Problem)):
            continue
        elsewhere = isinstance(owner, ModuleType) and inspect.isroutine(value)
        if not elsewhere or getattr(value, "__module__", None) == owner.__name__:
            yield name


def _some(names: list[str]) -> str:
    if not names:
        return "none that could be meant"
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")


def _makes(found: Any) -> bool:
    """Say whether ``found`` is a function without arguments."""
    if not inspect.isroutine(found):
        return False
    try:
        return not inspect.signature(found).parameters
    except (TypeError, ValueError):  # some that are written in C have none
        return False


def _made(makes: Any, named: str, file: Path | None) -> Any:
    try:
        found = makes()
    except (Exception, SystemExit) as exc:
        raise JacbenchError(f"{named} could not be called: {_told(exc, file)}") from exc
    if isinstance(found, type) or not (callable(found) or isinstance(found, Problem)):
        raise JacbenchError(
            f"{named} takes no argument, and returned {article(found)}: name a function of x"
        )
    return found


def _check_function(named: str, found: Any) -> None:
    if isinstance(found, type):
        raise JacbenchError(
            f"{named} is a class: name an instance of it, such as model = {found.__name__}(...), "
            "or a function that returns one"
        )
    if not callable(found) and not isinstance(found, Problem):
        raise JacbenchError(f"{named} is {article(found)}, not a function: name a function of x")


def article(found: Any) -> str:
    """Return ``a list`` or ``an int``: what ``found`` is."""
    name = type(found).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def _told(exc: BaseException, file: Path | None) -> str:
    if file is not None:
        return from_file.told(exc, file)
    own = [
        frame for frame in traceback.extract_tb(exc.__traceback__) if _is_own(Path(frame.filename))
    ]
    where = f" (line {own[-1].lineno} of {Path(own[-1].filename).name})" if own else ""
    return f"{type(exc).__name__}: {' '.join(str(exc).split())[:200]}{where}"


def _is_own(file: Path) -> bool:
    """Say whether a file is the user's, and no library's installed below the working directory."""
    return file.is_relative_to(Path.cwd()) and "site-packages" not in file.parts
