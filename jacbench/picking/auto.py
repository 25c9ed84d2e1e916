"""``method="auto"``: picked on the first call for a function, shapes, dtype and device, then kept.

Only methods that hold for every x are taken: a structure that was seen at two points may not be
there at the next one.
"""

from __future__ import annotations

import hashlib
import json
import warnings
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MethodType
from typing import Any

from jacbench.backend import registry
from jacbench.core import tree
from jacbench.core.errors import JacbenchError
from jacbench.core.tree import Tree
from jacbench.derivatives.functions import Derivative, prepare
from jacbench.picking.options import PickOptions
from jacbench.picking.pick import pick_here

TIME_LIMIT_S = 10.0
"""What the first call may take beyond the Jacobian itself, seconds."""
SCHEMA = 1
"""Version of the cache file."""

_kept: dict[int, _Kept] = {}
"""By the identity of a function's owner: what was prepared, for as long as that is there.

By identity, as modules with arrays in them have neither a hash nor an equality that is a truth.
"""


@dataclass(frozen=True)
class _Kept:
    """What was prepared for one function, by the shapes of x; or for an object's methods."""

    owner: Callable[[], Any]
    prepared: dict[tuple[str, str], Derivative] = field(default_factory=dict)


@dataclass(frozen=True)
class Choice:
    """What was picked."""

    method: str
    chunk_size: int | None


def derivative(f: Callable[[Any], Any], x: Tree, cache: Path | None) -> Derivative:
    """Return the Jacobian of ``f`` for points like ``x``, prepared by the method that was picked.

    Parameters
    ----------
    f, x
        As in :func:`jacbench.jacobian`.
    cache
        A JSON file in which the choice is kept beyond this process, and looked up in the next: for
        the same source of f, shapes, dtype, device, machine and versions. None: there is none.
    """
    kept, key = _of_owner(f), (_name(f), _key(x))
    if key not in kept.prepared:
        choice = _picked(f, x) if cache is None else _cached(f, x, cache)
        # what is kept must not keep f itself alive
        own = _weakly(f)
        kept.prepared[key] = prepare(own, x, choice.method, chunk_size=choice.chunk_size)
    return kept.prepared[key]


def _of_owner(f: Callable[[Any], Any]) -> _Kept:
    """Return what is kept for ``f``; for a method, which is made anew at each look, its object."""
    owner = f.__self__ if isinstance(f, MethodType) else f
    number = id(owner)
    known = _kept.get(number)
    if known is not None and known.owner() is owner:
        return known
    made = _Kept(_reference(owner, number))
    _kept[number] = made
    return made


def _reference(owner: Any, number: int) -> Callable[[], Any]:
    def gone(_: object) -> None:
        _kept.pop(number, None)

    try:
        return weakref.ref(owner, gone)
    except TypeError:  # an object without a place for weak references: it stays
        return lambda: owner


def _name(f: Callable[[Any], Any]) -> str:
    return f.__name__ if isinstance(f, MethodType) else ""


def _weakly(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a function that calls ``f`` for as long as somebody else has it."""
    owner: Any = f.__self__ if isinstance(f, MethodType) else f
    bound: Callable[..., Any] | None = f.__func__ if isinstance(f, MethodType) else None
    try:
        found = weakref.ref(owner)
    except TypeError:
        return f

    def called(x: Any) -> Any:
        own = found()
        assert own is not None  # noqa: S101 - whoever calls has it
        return own(x) if bound is None else bound(own, x)

    return called


def forget() -> None:
    """Pick anew at the next call of every function."""
    _kept.clear()


def _key(x: Tree) -> str:
    """Return shapes, dtypes, devices and the structure of x as one text."""
    leaves = [
        (
            name,
            tuple(getattr(leaf, "shape", ())),
            str(getattr(leaf, "dtype", "")),
            type(leaf).__module__,
            _device(leaf),
        )
        for name, leaf in zip(tree.names(x), tree.leaves(x), strict=True)
    ]
    return repr(leaves)


def _device(leaf: Any) -> str:
    return str(getattr(leaf, "device", "cpu"))


def _picked(f: Callable[[Any], Any], x: Tree) -> Choice:
    options = PickOptions(time_limit_s=TIME_LIMIT_S, form="dense", compile=False, structure=False)
    answer = pick_here(f, x, options)
    if answer.doubt:
        warnings.warn(
            f"method='auto' took {answer.method}, which is not confirmed: {answer.doubt}",
            UserWarning,
            stacklevel=2,
        )
    return Choice(answer.method, answer.chunk_size)


def _cached(f: Callable[[Any], Any], x: Tree, file: Path) -> Choice:
    entry = hashlib.sha256("\n".join([_source(f), _key(x), _machine()]).encode()).hexdigest()
    known = _read(file)
    found = known.get(entry)
    if isinstance(found, dict) and found.get("method") in registry.method_names():
        size = found.get("chunk_size")
        return Choice(found["method"], size if isinstance(size, int) and size > 0 else None)
    choice = _picked(f, x)
    _write(file, {**_read(file), entry: {"method": choice.method, "chunk_size": choice.chunk_size}})
    return choice


def _source(f: Callable[[Any], Any]) -> str:
    from jacbench.results import source_hash  # noqa: PLC0415 - only where a file was asked for

    return source_hash.of_function(f)


def _machine() -> str:
    """Return what the times depend on besides: the machine and the versions."""
    from jacbench.results import fingerprint  # noqa: PLC0415

    return json.dumps([fingerprint.machine(), fingerprint.versions()], sort_keys=True)


def _read(file: Path) -> Mapping[str, Any]:
    """Return the entries of the file; none where it is not there, cut short or of another kind."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(content, dict) or content.get("jacbench_auto") != SCHEMA:
        return {}
    entries = content.get("choices")
    return entries if isinstance(entries, dict) else {}


def _write(file: Path, entries: Mapping[str, Any]) -> None:
    from jacbench.results.writer import replace  # noqa: PLC0415

    if file.exists() and not _read(file) and file.stat().st_size:
        text = file.read_text(encoding="utf-8", errors="replace")
        if "jacbench_auto" not in text:
            raise JacbenchError(
                f"cache {str(file)!r} is no cache of jacbench's: name another file, or remove it"
            )
    content = {"jacbench_auto": SCHEMA, "choices": dict(entries)}
    try:
        replace(file, json.dumps(content, indent=2) + "\n")
    except OSError as exc:
        raise JacbenchError(
            f"cache {str(file)!r} cannot be written: {exc.strerror or exc}: name another file"
        ) from None
