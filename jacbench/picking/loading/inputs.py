"""What a function is called with: x, and the arguments that are held constant beside it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jacbench.core.errors import JacbenchError
from jacbench.core.tree import Tree
from jacbench.picking.loading import signature
from jacbench.picking.loading.by_name import Named
from jacbench.picking.loading.input_sources import (
    Source,
    from_file,
    from_module,
    from_shapes,
    holds,
)
from jacbench.picking.loading.signature import Signature
from jacbench.problems.problem import Problem


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What a function is called with, and how code makes it.

    Attributes
    ----------
    arguments
        The positional arguments; the one at ``argnum`` is x, the others are held constant.
    names
        How the code to paste calls each of them.
    argnum
        Which of them is x.
    keywords
        Arguments given by keyword, held constant.
    keyword_names
        How the code to paste calls each of those.
    imported
        Names that the code takes from the user's module beside the function's.
    setup
        The lines that make the arguments, after that import.
    convertible
        True where the arguments may become arrays of another library, or of another precision: a
        function is what the user named, its inputs are what was found.
    told
        Where they come from: ``x of model.py``, ``--shape 32,6``; empty for a caller's own.
    """

    arguments: tuple[Any, ...]
    names: tuple[str, ...] = ("x",)
    argnum: int = 0
    keywords: Mapping[str, Any] = field(default_factory=dict)
    keyword_names: Mapping[str, str] = field(default_factory=dict)
    imported: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    convertible: bool = False
    told: str = ""

    def __post_init__(self) -> None:
        """Name what has no name."""
        unnamed = range(len(self.names), len(self.arguments))
        names = (*self.names, *(f"argument_{i}" for i in unnamed))
        object.__setattr__(self, "names", names)

    @property
    def x(self) -> Tree:
        """What the derivative is taken by."""
        return self.arguments[self.argnum]


def find(
    named: Named,
    *,
    shape: Sequence[str | Sequence[int]] = (),
    dtype: str | None = None,
    file: str | Path | None = None,
    argnum: int = 0,
) -> Inputs | None:
    """Return the arguments of what was named; None for a problem, which has its own point.

    From the user's file: ``x = ...``; ``inputs()``, which returns x, or a tuple of the arguments,
    or a dict of them by name; or values under the names of the arguments. Otherwise from shapes,
    or from a file of arrays. Tuples and dicts are the arguments where the function takes so many
    or calls them so, and else x itself.

    Parameters
    ----------
    shape
        ``32,6``, one for each leaf of x or for each argument: seeded normal numbers.
    dtype
        That of those numbers; None: float64.
    file
        A ``.npy`` or ``.npz`` file.
    argnum
        Which argument x is; the others are constants.

    Raises
    ------
    JacbenchError
        In one line: more than one source or none, a source that fails, an argument that nobody
        gave.
    """
    if isinstance(named.object, Problem):
        if shape or file is not None:
            raise JacbenchError(
                f"{named.text} is a jacbench.Problem and has its own x: leave --shape and --input "
                "out"
            )
        return None
    sources = [
        *([from_shapes(shape, dtype)] if shape else []),
        *([from_file(Path(file))] if file is not None else []),
        *from_module(named),
    ]
    if len(sources) > 1:
        told = " and from ".join(source.told for source in sources)
        raise JacbenchError(f"{named.text}: x comes from {told}: leave all but one out")
    arguments = _Arguments(named, signature.of(named.object), argnum)
    # f(t, x) beside t = ... and x = ... means each by its own name
    if not sources or (sources[0].expression == "x" and arguments.all_by_name):
        return arguments.by_names()
    return arguments.out_of(sources[0])


class _Arguments:
    """The arguments of the named function, out of what was found and what its module holds."""

    def __init__(self, named: Named, takes: Signature, argnum: int) -> None:
        self.named, self.takes, self.argnum = named, takes, argnum
        if argnum < 0:
            raise JacbenchError(f"argument {argnum}: count the arguments from 0")
        self.count = max(takes.required, argnum + 1)

    @property
    def all_by_name(self) -> bool:
        """Whether there are several arguments, and the module has each under its own name."""
        names = self.takes.positional[: self.count]
        return len(names) > 1 and all(holds(self.named.module, name) for name in names)

    def by_names(self) -> Inputs:
        """Return them from the module, each under the argument's own name."""
        names = self.takes.positional[: self.count]
        missing = [name for name in names if not holds(self.named.module, name)]
        if missing or not names:
            raise self._missing(missing or ["x"])
        told = f"{', '.join(names)} of {self.named.place}"
        return self._inputs(names, [getattr(self.named.module, n) for n in names], names, (), told)

    def out_of(self, source: Source) -> Inputs:
        """Return those that ``source`` holds, the others from the module by their names."""
        value, takes = source.value, self.takes
        if isinstance(value, dict) and self._by_name(value):
            names = list(itertools.takewhile(value.__contains__, takes.positional))
            own = [self._free(name) for name in names]
            lines = [f"given = {source.expression}"]
            lines += [f"{o} = {_item(name)}" for o, name in zip(own, names, strict=True)]
            rest = {key: value[key] for key in value if key not in names}
            return self._of_source(own, [value[name] for name in names], source, lines, rest)
        if type(value) is tuple and self._one_by_one(len(value)):
            own = [self._free(takes.name(i)) for i in range(len(value))]
            left = f"({own[0]},)" if len(own) == 1 else ", ".join(own)
            return self._of_source(own, list(value), source, [f"{left} = {source.expression}"])
        return self._single(source)

    def _single(self, source: Source) -> Inputs:
        """Return what ``source`` holds as x itself."""
        names = [self.takes.name(i) for i in range(self.count) if i != self.argnum]
        missing = [name for name in names if not holds(self.named.module, name)]
        if missing:
            raise self._missing(missing)
        values = [getattr(self.named.module, name) for name in names]
        x = self._free(self.takes.name(self.argnum) if "x" in names else "x")
        lines = [] if x == source.expression else [f"{x} = {source.expression}"]
        others = tuple(names)
        names.insert(self.argnum, x)
        values.insert(self.argnum, source.value)
        return self._of_source(names, values, source, lines, imported=others)

    def _by_name(self, value: Mapping[str, Any]) -> bool:
        """Say whether the keys of ``value`` are names of arguments, and all that are needed."""
        known = {*self.takes.positional, *self.takes.keywords}
        needed = {*self.takes.positional[: self.takes.required], *self.takes.needed}
        return bool(value) and set(value) <= known and needed <= set(value)

    def _one_by_one(self, count: int) -> bool:
        """Say whether a tuple of ``count`` is the arguments, where f(x, scale=2) takes x alone."""
        required = self.takes.required
        return self.takes.takes(count) and (required != 1 or count == 1)

    def _free(self, name: str) -> str:
        """Return a name for the code to paste, that is not taken there."""
        function = self.named.expression.partition(".")[0].strip("()")
        return f"{name}_" if name in {function, "given", "rng", "np"} else name

    def _of_source(
        self,
        names: Sequence[str],
        values: Sequence[Any],
        source: Source,
        lines: Sequence[str],
        keywords: Mapping[str, Any] | None = None,
        imported: tuple[str, ...] = (),
    ) -> Inputs:
        setup = (*source.setup, *lines)
        imported = (*source.imported, *imported)
        return self._inputs(names, values, imported, setup, source.told, keywords)

    def _inputs(
        self,
        names: Sequence[str],
        values: Sequence[Any],
        imported: Sequence[str],
        setup: Sequence[str],
        told: str,
        keywords: Mapping[str, Any] | None = None,
    ) -> Inputs:
        given = dict(keywords or {})
        spelled = {name: _item(name) for name in given}
        by_module = [name for name in self.takes.needed if name not in given]
        missing = [name for name in by_module if not holds(self.named.module, name)]
        if missing:
            raise self._missing(missing)
        given |= {name: getattr(self.named.module, name) for name in by_module}
        spelled |= {name: name for name in by_module}
        if self.argnum >= len(values):
            raise JacbenchError(
                f"{self.named.text}: argument {self.argnum} is not among the {len(values)} that "
                f"come from {told}: count from 0"
            )
        return Inputs(
            arguments=tuple(values),
            names=tuple(names),
            argnum=self.argnum,
            keywords=given,
            keyword_names=spelled,
            imported=tuple(dict.fromkeys((*imported, *by_module))),
            setup=tuple(setup),
            convertible=True,
            told=told,
        )

    def _missing(self, missing: Sequence[str]) -> JacbenchError:
        every = ", ".join(self.takes.positional[: self.takes.required]) or "x"
        return JacbenchError(
            f"{self.named.expression}{self.takes} of {self.named.place} needs "
            f"{', '.join(missing)}: put {missing[0]} = ... or def inputs(): return {every} there, "
            "or give --shape 32,6 or --input FILE.npy"
        )


def _item(name: str) -> str:
    return f'given["{name}"]'
