"""Where a value for x can come from: the user's own module, a shape, a file of arrays."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from jacbench.core.arrays import Array, Shape
from jacbench.core.errors import JacbenchError
from jacbench.core.redaction import one_line
from jacbench.picking.loading import signature
from jacbench.picking.loading.by_name import Named

SEED = 0
"""Of the normal numbers that stand in where only a shape is given."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A value, before it is known which arguments it holds, and how code makes it.

    Attributes
    ----------
    value
        An array, a tree of them, or a tuple or dict of arguments.
    expression
        What gives it: ``inputs()``.
    told
        Where it comes from, in words: ``inputs() of model.py``.
    imported
        Names of the user's module that the expression needs.
    setup
        Lines that the expression needs.
    """

    value: Any
    expression: str
    told: str
    imported: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()


def from_module(named: Named) -> Iterator[Source]:
    """Return what the user's module offers under the names ``x`` and ``inputs``."""
    module = named.module
    if holds(module, "x"):
        told = f"x of {named.place}"
        yield Source(value=module.x, expression="x", told=told, imported=("x",))
    maker = getattr(module, "inputs", None)
    if maker is None or isinstance(maker, ModuleType) or maker is named.object:
        return
    expression = "inputs()" if callable(maker) else "inputs"
    yield Source(
        value=_called(named, maker) if callable(maker) else maker,
        expression=expression,
        told=f"{expression} of {named.place}",
        imported=("inputs",),
    )


def holds(module: ModuleType, name: str) -> bool:
    """Say whether ``name`` is a value there, and neither a function nor a module."""
    value = getattr(module, name, None)
    return value is not None and not callable(value) and not isinstance(value, ModuleType)


def _called(named: Named, maker: Any) -> Any:
    takes = signature.of(maker)
    if takes.required or takes.needed:
        raise JacbenchError(
            f"{named.text}: inputs{takes} of {named.place} takes arguments: write it without, so "
            "that inputs() returns x"
        )
    try:
        return maker()
    except (Exception, SystemExit) as exc:
        raise JacbenchError(f"{named.place}: inputs() raised {named.told(exc)}") from exc


def from_shapes(given: Sequence[str | Sequence[int]], dtype: str | None) -> Source:
    """Return seeded normal numbers, a tuple of arrays where there are several shapes."""
    shapes = [shape_of(shape) for shape in given]
    rng = np.random.default_rng(SEED)
    leaves = [
        np.asarray(rng.standard_normal(shape)).astype(dtype or np.float64) for shape in shapes
    ]
    narrowed = "" if dtype in {None, "float64"} else f', dtype="{dtype}"'
    spelled = [f"np.asarray(rng.standard_normal({shape}){narrowed})" for shape in shapes]
    alone = len(shapes) == 1
    return Source(
        value=leaves[0] if alone else tuple(leaves),
        expression=spelled[0] if alone else f"({', '.join(spelled)})",
        told=" ".join(f"--shape {','.join(map(str, shape)) or '()'}" for shape in shapes),
        setup=("import numpy as np", f"rng = np.random.default_rng({SEED})"),
    )


def shape_of(said: str | Sequence[int]) -> Shape:
    """Return the shape that ``32,6`` says; ``()`` is that of a number."""
    if isinstance(said, str):
        parts = [part for part in re.split(r"[,x\s]+", said.strip().strip("()")) if part]
        readable = bool(parts) or said.strip() == "()"
        sizes = tuple(int(part) if part.isdecimal() else 0 for part in parts) if readable else (0,)
    else:
        sizes = tuple(said)
    if any(size < 1 for size in sizes):
        raise JacbenchError(
            f"--shape {said!r}: give whole numbers of at least 1, such as 32,6; () for a number"
        )
    return sizes


def from_file(path: Path) -> Source:
    """Return the array of a ``.npy`` file; those of a ``.npz`` by name, where it has several."""
    if path.suffix not in {".npy", ".npz"}:
        raise JacbenchError(f"--input {str(path)!r}: give a .npy or a .npz file of arrays")
    if not path.is_file():
        raise JacbenchError(f"--input {str(path)!r}: there is no such file here")
    value = _read(path)
    expression = f'np.load("{path.as_posix()}")'
    if isinstance(value, dict):
        value, expression = _of_archive(path, value, expression)
    return Source(
        value=value,
        expression=expression,
        told=f"--input {path.name}",
        setup=("import numpy as np",),
    )


def _of_archive(path: Path, arrays: dict[str, Array], expression: str) -> tuple[Any, str]:
    if not arrays:
        raise JacbenchError(f"--input {str(path)!r}: it holds no arrays")
    names = list(arrays)
    if len(names) == 1:
        return arrays[names[0]], f'{expression}["{names[0]}"]'
    if names == [f"arr_{i}" for i in range(len(names))]:  # np.savez without names
        return tuple(arrays.values()), f"tuple({expression}.values())"
    return arrays, f"dict({expression})"


def _read(path: Path) -> Array | dict[str, Array]:
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as exc:
        told = one_line(exc, 150)
        if "Object arrays" in told:
            raise JacbenchError(
                f"--input {str(path)!r}: it holds Python objects, which are not loaded, as they "
                "may run code: save arrays of floats"
            ) from exc
        raise JacbenchError(
            f"--input {str(path)!r}: NumPy cannot read it ({told}): save it by np.save or np.savez"
        ) from exc
