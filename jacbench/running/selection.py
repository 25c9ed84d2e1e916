"""From patterns on a command line to cells, with one clear line for what cannot be had."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from jacbench import problems
from jacbench.backend import Descriptor, MethodInfo, registry
from jacbench.core import operators
from jacbench.core.cell import Cell
from jacbench.core.errors import JacbenchError, unknown

if TYPE_CHECKING:  # `jacbench list` does without NumPy
    from jacbench.problems.problem import Problem

DTYPES = ("float64", "float32")


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What to run: patterns over names; an empty list means all (dtypes: float64; devices: cpu).

    Attributes
    ----------
    problems, methods
        Shell patterns: ``basics/*``, ``torch.*``, ``jax.jacrev``. A problem may say its sizes in
        brackets, ``nn/digits-cnn[batch=64]``.
    devices
        ``cpu``, ``cuda``, ``cuda:1``, or ``all`` for every device that a backend sees.
    dtypes
        ``float64``, ``float32``, or ``all``.
    threads
        Threads that every library may use, at least 1; several numbers: each cell with each.
    operators
        Names of operators, or ``all``; empty: all that a problem has.
    """

    problems: Sequence[str] = field(default_factory=list)
    methods: Sequence[str] = field(default_factory=list)
    devices: Sequence[str] = field(default_factory=list)
    dtypes: Sequence[str] = field(default_factory=list)
    threads: int | Sequence[int] = 1
    operators: Sequence[str] = field(default_factory=list)

    def every_number_of_threads(self) -> list[int]:
        """Return the numbers of threads, each once."""
        asked = (self.threads,) if isinstance(self.threads, int) else self.threads
        return list(dict.fromkeys(asked))

    def over(self, patterns: Sequence[str]) -> Selection:
        """Return the same selection over other problems."""
        return replace(self, problems=patterns)


def cells(selection: Selection, *, given: Mapping[str, Problem] | None = None) -> list[Cell]:
    """Return the selected cells of every installed backend, problem by problem.

    ``given`` are problems that are passed as objects; they take the place of the catalogue. A
    method that was named and is not installed is an error; absent backends that were not named are
    left out, see :func:`absent`. So is what makes no sense for a problem, unless it was named: an
    operator that the problem has not, or a hook on an intermediate value where x is none.
    """
    every = selection.every_number_of_threads()
    for threads in every:
        if threads < 1:
            raise JacbenchError(f"--threads {threads}: give a whole number of at least 1")
    offers = _offers(selection, given or {})
    dtypes = _dtypes(selection.dtypes)
    asked = _operators(selection.operators)
    methods = _methods(selection.methods, asked)
    devices = _devices(selection.devices, [descriptor for descriptor, _ in methods])
    named = set(selection.methods)
    return [
        Cell(name, operator, info.name, descriptor.name, device, dtype, threads)
        for name, (has, by_intermediate) in offers.items()
        for operator in asked
        if operator in has or operator in selection.operators
        for descriptor, info in methods
        if info.operator == operator
        if by_intermediate or not info.by_intermediate or info.name in named
        for device in devices[descriptor.name]
        for dtype in dtypes
        for threads in every
    ]


def _offers(
    selection: Selection, given: Mapping[str, Problem]
) -> dict[str, tuple[tuple[str, ...], bool]]:
    """Return for each problem its operators, and whether its x shifts an intermediate value."""
    if given:
        return {
            name: (problem.operators, problem.intermediate is not None)
            for name, problem in given.items()
        }
    entries = [problems.entry(name) for name in problems.matching(selection.problems or ["*"])]
    return {e.name: (operators.offered(batch=e.batch), e.intermediate) for e in entries}


def _methods(patterns: Sequence[str], asked: Sequence[str]) -> list[tuple[Descriptor, MethodInfo]]:
    every = [
        (descriptor, info)
        for descriptor in registry.descriptors().values()
        for info in descriptor.methods
    ]
    if not patterns:
        return [(d, info) for d, info in every if d.absent() is None]
    chosen: set[str] = set()
    for pattern in patterns:
        matched = [(d, info) for d, info in every if fnmatch.fnmatchcase(info.name, pattern)]
        if not matched:
            raise unknown("method", pattern, [info.name for _, info in every])
        present = [(d, info) for d, info in matched if d.absent() is None]
        if not present:
            raise JacbenchError(str(matched[0][0].absent()))
        chosen.update(info.name for _, info in present)
    kept = [(d, info) for d, info in every if info.name in chosen]
    if not any(info.operator in asked for _, info in kept):
        raise JacbenchError(
            f"no method that matches {', '.join(map(repr, patterns))} computes "
            f"{' or '.join(asked)}: {kept[0][1].name} computes {kept[0][1].operator}"
        )
    return kept


def _operators(asked: Sequence[str]) -> list[str]:
    if not asked or "all" in asked:
        return list(operators.NAMES)
    for operator in asked:
        if operator not in operators.NAMES:
            raise unknown("operator", operator, [*operators.NAMES, "all"])
    return [operator for operator in operators.NAMES if operator in asked]


def _dtypes(asked: Sequence[str]) -> list[str]:
    if "all" in asked:
        return list(DTYPES)
    for dtype in asked:
        if dtype not in DTYPES:
            raise unknown("dtype", dtype, DTYPES)
    return [dtype for dtype in DTYPES if dtype in asked] or ["float64"]


def _devices(asked: Sequence[str], chosen: Sequence[Descriptor]) -> dict[str, list[str]]:
    """Return for each chosen backend the asked-for devices that it has."""
    seen = {descriptor.name: descriptor.devices() for descriptor in chosen}
    if "all" in asked:
        return seen
    wanted = {"cuda:0" if device == "cuda" else device: device for device in asked or ["cpu"]}
    known = sorted({device for devices in seen.values() for device in devices})
    for device, as_asked in wanted.items():
        if device in known:
            continue
        if device.startswith("cuda:") and device.removeprefix("cuda:").isdigit():
            raise JacbenchError(
                f"device {as_asked!r}: {', '.join(seen)} see{'s' if len(seen) == 1 else ''} "
                f"{_cuda_count(known)} here: use --device cpu, or install a CUDA build "
                '(pip install "jacbench[cuda]") on a machine with an NVIDIA GPU'
            )
        raise unknown("device", as_asked, [*known, "cuda", "all"])
    return {name: [d for d in devices if d in wanted] for name, devices in seen.items()}


def _cuda_count(known: Sequence[str]) -> str:
    count = sum(device.startswith("cuda:") for device in known)
    return f"only {count} CUDA device{'s' * (count > 1)}" if count else "no CUDA device"
