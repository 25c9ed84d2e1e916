"""What belongs to the whole process: taken before a method runs, compared and put back after it.

A method that changes the working directory, a default dtype or the number of threads changes what
its neighbours compute and how long they take. Random numbers may be drawn: their generators are put
back too, and that is no fault.
"""

from __future__ import annotations

import gc
import os
import random
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from jacbench.backend import Backend
from jacbench.core import redaction
from jacbench.measuring import blas

_NOT_WATCHED = ("PYTEST_", "_")
"""Beginnings of environment variables that change around a method, or are a library's own.

Inductor notes an address in one that begins with an underscore, anew for each compilation.
"""


@dataclass(frozen=True)
class Part:
    """One thing that belongs to the whole process.

    Attributes
    ----------
    read
        Returns its value, which is not changed in place afterwards.
    restore
        Puts a value back.
    told
        Says in a few words what changed, given the values before and after.
    by_imports
        True where a library that is imported late may change it for itself.
    """

    read: Callable[[], Any]
    restore: Callable[[Any], object]
    told: Callable[[Any, Any], str]
    by_imports: bool = False


@dataclass(frozen=True)
class State:
    """The values of every part, and of what a backend adds."""

    parts: tuple[Any, ...]
    drawn: Mapping[str, Any]
    backend: Backend
    of_backend: Mapping[str, Any]
    of_generators: Mapping[str, Any]


@dataclass(frozen=True)
class Changes:
    """What was no longer as it had been, and has been put back.

    Attributes
    ----------
    lines
        A few words for each change.
    drawn
        The libraries whose global generators were used.
    """

    lines: tuple[str, ...] = ()
    drawn: tuple[str, ...] = ()

    @property
    def reason(self) -> str | None:
        """All changes in one line, None where there are none."""
        if not self.lines:
            return None
        return (
            f"changed {'; '.join(self.lines)}: a method, and the function under it, must leave the "
            "process as it was"
        )


def take(backend: Backend) -> State:
    """Return the state of this process, as far as the framework and ``backend`` know it."""
    return State(
        tuple(part.read() for part in PARTS),
        {name: read() for name, (read, _) in GENERATORS.items()},
        backend,
        dict(backend.state()),
        dict(backend.generators()),
    )


def put_back(before: State, *, first_use: bool = False) -> Changes:
    """Compare this process with ``before``, put back what changed, and return what that was.

    ``first_use`` leaves alone what a library's own imports may have changed.
    """
    now = take(before.backend)
    lines = [
        part.told(value, other) + _undone(partial(part.restore, value))
        for part, value, other in zip(PARTS, before.parts, now.parts, strict=True)
        if not (first_use and part.by_imports) and not _same(value, other)
    ]
    lines.extend(
        _from_to(name, value, now.of_backend[name])
        + _undone(partial(before.backend.restore, {name: value}))
        for name, value in before.of_backend.items()
        if name in now.of_backend and not _same(value, now.of_backend[name])
    )
    return Changes(tuple(lines), tuple(_generators_put_back(before, now)))


@contextmanager
def kept(backend: Backend, function: Callable[..., Any]) -> Iterator[None]:
    """Leave random generators, and what ``function`` holds, as they were: for a look at it.

    70 us, and a copy of what the library says that the function holds.
    """
    drawn = {name: read() for name, (read, _) in GENERATORS.items()}
    of_backend, holds = dict(backend.generators()), backend.held(function)
    try:
        yield
    finally:
        for name, value in drawn.items():
            GENERATORS[name][1](value)
        for name, value in of_backend.items():
            backend.restore({name: value})
        backend.put_held(holds)


def _generators_put_back(before: State, now: State) -> Iterator[str]:
    for name, value in before.drawn.items():
        if not _same(value, now.drawn[name]):
            GENERATORS[name][1](value)
            yield name
    for name, value in before.of_generators.items():
        if name in now.of_generators and not _same(value, now.of_generators[name]):
            before.backend.restore({name: value})
            yield name


def _undone(restore: Callable[[], object]) -> str:
    """Put one part back; return what to add to its line where that is not possible."""
    try:
        restore()
    except Exception as exc:  # noqa: BLE001 - the other parts are put back all the same
        return f" (not put back: {type(exc).__name__})"
    return ""


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return np.array_equal(one, other)
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    return bool(one == other)


# What changed, in words


def _from_to(what: str, before: Any, after: Any) -> str:
    return f"{what} from {_short(before)} to {_short(after)}"


def _short(value: Any) -> str:
    return redaction.one_line(redaction.text(str(value)), 60)


def _named(what: str) -> Callable[[Any, Any], str]:
    return lambda before, after: _from_to(what, before, after)


def _itself(what: str) -> Callable[[Any, Any], str]:
    """Name what changed alone: its values would say nothing, or too much."""
    return lambda _before, _after: what


def _entries(what: str) -> Callable[[Any, Any], str]:
    """Name the entries of a mapping that changed, with their values."""

    def told(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
        changed = [
            f"{name} from {before.get(name)} to {after.get(name)}"
            for name in sorted(before.keys() | after.keys())
            if before.get(name) != after.get(name)
        ]
        return f"{what} ({', '.join(changed)})"

    return told


def _variables(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """Name the environment variables; their values are nobody's business."""
    changed = [
        _short(name)
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]
    more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
    return f"the environment ({', '.join(changed[:5])}{more})"


# How to read and to put back


def _folder() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109 - a Path would only be made to be compared
    except OSError:
        return None


def _environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith(_NOT_WATCHED)}


def _restore_environment(before: Mapping[str, str]) -> None:
    for name in _environment().keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


def _restore_folder(before: str | None) -> None:
    if before is not None:
        os.chdir(before)


def _silenced() -> bool:
    """Say whether all warnings are ignored: what libraries add for their own is theirs."""
    return any(
        action == "ignore" and message is None and category is Warning and module is None
        for action, message, category, module, _ in warnings.filters
    )


def _restore_silenced(before: bool) -> None:
    if before:
        return
    kept = [
        f for f in warnings.filters if not (f[0] == "ignore" and f[1:4] == (None, Warning, None))
    ]
    warnings.filters[:] = kept  # type: ignore[index]
    if hasattr(warnings, "_filters_mutated"):
        warnings._filters_mutated()


def _attribute(module: Any, name: str) -> Callable[[Any], None]:
    return lambda value: setattr(module, name, value)


def _affinity() -> frozenset[int] | None:
    return frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def _restore_affinity(before: frozenset[int] | None) -> None:
    if before is not None:
        os.sched_setaffinity(0, before)


def _collecting() -> tuple[bool, tuple[int, int, int]]:
    return gc.isenabled(), gc.get_threshold()


def _restore_collecting(before: tuple[bool, tuple[int, int, int]]) -> None:
    enabled, threshold = before
    (gc.enable if enabled else gc.disable)()
    gc.set_threshold(*threshold)


def _restore_path(before: tuple[str, ...]) -> None:
    sys.path[:] = before


PARTS = (
    Part(_folder, _restore_folder, _named("the working directory")),
    Part(_environment, _restore_environment, _variables, by_imports=True),
    Part(np.geterr, lambda value: np.seterr(**value), _entries("numpy's error handling")),
    Part(np.geterrcall, np.seterrcall, _itself("numpy's function for errors")),
    Part(blas.threads, blas.set_threads, _named("the threads of numpy's BLAS")),
    Part(_affinity, _restore_affinity, _itself("the processors to run on")),
    Part(lambda: tuple(sys.path), _restore_path, _itself("sys.path"), by_imports=True),
    Part(lambda: sys.stdin, _attribute(sys, "stdin"), _itself("sys.stdin")),
    Part(lambda: sys.stdout, _attribute(sys, "stdout"), _itself("sys.stdout")),
    Part(lambda: sys.stderr, _attribute(sys, "stderr"), _itself("sys.stderr")),
    Part(sys.getswitchinterval, sys.setswitchinterval, _named("the switch interval of threads")),
    Part(sys.gettrace, sys.settrace, _itself("the trace function")),
    Part(sys.getprofile, sys.setprofile, _itself("the profile function")),
    Part(_collecting, _restore_collecting, _itself("the garbage collector's settings")),
    Part(_silenced, _restore_silenced, _itself("the filters of warnings, to ignore them all")),
)
"""What the framework knows of, less the recursion limit, which compilers raise as they need it.

A backend adds its library's, see :meth:`Backend.state`.
"""

GENERATORS: Mapping[str, tuple[Callable[[], Any], Callable[[Any], object]]] = {
    "random": (random.getstate, random.setstate),
    "numpy": (lambda: np.random.get_state(legacy=False), np.random.set_state),  # noqa: NPY002
}
"""The global generators of Python and NumPy: how to read each, and how to put it back."""
