"""Problems from a file of the user's: run only where the user names it."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from jacbench.core.errors import JacbenchError, unknown
from jacbench.problems.problem import Problem


def is_named(pattern: str) -> bool:
    """Say whether ``pattern`` names something in a file, as ``FILE.py:NAME``."""
    file, colon, name = pattern.rpartition(":")
    return bool(colon and name) and file.endswith(".py")


def problems(named: str) -> list[Problem]:
    """Return the problems that ``FILE.py:NAME`` names.

    NAME is a :class:`Problem`, a sequence of them, or a function without arguments that returns
    either. The file is executed, with its folder on the import path, as Python itself would.

    Raises
    ------
    JacbenchError
        One line where there is no such file or name, where it fails, or holds something else.
    """
    file, _, name = named.rpartition(":")
    module = loaded(Path(file), named)
    if not hasattr(module, name):
        raise unknown("name", name, public(module), hint=f"{file} has no such name")
    found = getattr(module, name)
    try:
        if callable(found) and not isinstance(found, Problem):
            found = found()
        listed = _listed(found)
    except (Exception, SystemExit) as exc:
        raise JacbenchError(f"{named} could not be called: {told(exc, Path(file))}") from exc
    if not listed or not all(isinstance(item, Problem) for item in listed):
        raise _other(named, found)
    return listed


def _listed(found: object) -> list[Any]:
    if isinstance(found, Problem):
        return [found]
    return list(found) if isinstance(found, Iterable) and not isinstance(found, str) else []


def _other(named: str, found: object) -> JacbenchError:
    return JacbenchError(
        f"{named} is a {type(found).__name__}, not a jacbench.Problem: wrap the function in "
        "jacbench.Problem(name=..., function=..., x=...)"
    )


def loaded(file: Path, named: str) -> ModuleType:
    """Execute ``file``, with its folder on the import path, and return the module.

    Parameters
    ----------
    named
        What was asked for, for the line that says what is wrong.
    """
    if not file.is_file():
        raise JacbenchError(f"{named}: there is no file {str(file)!r} here")
    key = f"jacbench_user_{file.stem}"
    spec = importlib.util.spec_from_file_location(key, file)
    if spec is None or spec.loader is None:
        raise JacbenchError(f"{named}: {str(file)!r} is no Python file")
    module = importlib.util.module_from_spec(spec)
    folder = str(file.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    sys.modules[key] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as exc:
        raise JacbenchError(f"{named}: the file does not import: {told(exc, file)}") from exc
    return module


def told(exc: BaseException, file: Path) -> str:
    """Return what ``exc`` says and the line of the user's file that it came from."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(exc.__traceback__)
        if Path(frame.filename).resolve() == file.resolve()
    ]
    where = f" (line {lines[-1]} of {file.name})" if lines else ""
    return f"{type(exc).__name__}: {' '.join(str(exc).split())[:200]}{where}"


def public(module: ModuleType) -> list[str]:
    """Return the names that a module offers."""
    return [name for name in vars(module) if not name.startswith("_")]
