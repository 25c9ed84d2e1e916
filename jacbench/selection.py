"""From patterns on a command line to cells, with one clear line for what cannot be had."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from jacbench import problems, registry
from jacbench.backend import Descriptor
from jacbench.cell import Cell
from jacbench.errors import JacbenchError, unknown

DTYPES = ("float64", "float32")


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What to run: patterns over names; an empty list means all (dtypes: float64; devices: cpu).

    Attributes
    ----------
    problems, methods
        Shell patterns: ``basics/*``, ``torch.*``, ``jax.jacrev``.
    devices
        ``cpu``, ``cuda``, ``cuda:1``, or ``all`` for every device that a backend sees.
    dtypes
        ``float64``, ``float32``, or ``all``.
    threads
        Threads that every library may use, at least 1.
    operator
        What is computed.
    """

    problems: Sequence[str] = field(default_factory=list)
    methods: Sequence[str] = field(default_factory=list)
    devices: Sequence[str] = field(default_factory=list)
    dtypes: Sequence[str] = field(default_factory=list)
    threads: int = 1
    operator: str = "jacobian"

    def over(self, patterns: Sequence[str]) -> Selection:
        """Return the same selection over other problems."""
        return replace(self, problems=patterns)


def cells(selection: Selection, *, given: Iterable[str] = ()) -> list[Cell]:
    """Return the selected cells of every installed backend, problem by problem.

    ``given`` names problems that are passed as objects; they take the place of the catalogue.
    A method that was named and is not installed is an error; absent backends that were not
    named are left out, see :func:`absent`.
    """
    if selection.threads < 1:
        raise JacbenchError(f"--threads {selection.threads}: give a whole number of at least 1")
    names = list(given) or problems.matching(selection.problems or ["*"])
    dtypes = _dtypes(selection.dtypes)
    methods = _methods(selection.methods)
    devices = _devices(selection.devices, [descriptor for descriptor, _ in methods])
    return [
        Cell(name, selection.operator, method, descriptor.name, device, dtype, selection.threads)
        for name in names
        for descriptor, method in methods
        for device in devices[descriptor.name]
        for dtype in dtypes
    ]


def absent() -> dict[str, str]:
    """Return why each backend that cannot be used cannot, by name."""
    reasons = {name: d.absent() for name, d in registry.descriptors().items()}
    return registry.broken() | {name: why for name, why in reasons.items() if why is not None}


def _methods(patterns: Sequence[str]) -> list[tuple[Descriptor, str]]:
    every = [
        (descriptor, info.name)
        for descriptor in registry.descriptors().values()
        for info in descriptor.methods
    ]
    if not patterns:
        return [(d, name) for d, name in every if d.absent() is None]
    chosen: dict[str, Descriptor] = {}
    for pattern in patterns:
        matched = [(d, name) for d, name in every if fnmatch.fnmatchcase(name, pattern)]
        if not matched:
            raise unknown("method", pattern, [name for _, name in every])
        present = [(d, name) for d, name in matched if d.absent() is None]
        if not present:
            raise JacbenchError(str(matched[0][0].absent()))
        chosen.update((name, d) for d, name in present)
    return [(d, name) for d, name in every if name in chosen]


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
