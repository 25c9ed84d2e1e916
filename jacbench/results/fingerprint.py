"""The machine and the versions that figures belong to; nothing that names a person or a host."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from jacbench.backend import registry
from jacbench.core.redaction import one_line
from jacbench.measuring import hardware

DISTRIBUTIONS = (
    *("jacbench", "numpy", "pytest", "pytest-benchmark", "jaxlib", "triton"),
    *("jax-cuda12-plugin", "jax-cuda13-plugin"),
)
"""Versions recorded besides those of the backends' libraries."""

_OF_NO_MATTER = ("jacbench", "pytest")
"""Distributions whose version changes no time."""

_MACHINE = (
    *("cpu", "architecture", "cpu_flags", "cores", "cores_usable", "cpu_quota", "cpu_max_mhz"),
    *("cpu_governor", "memory_bytes", "system", "virtual", "gpus", "gpu_driver"),
)
_VERSIONS = ("python", "python_implementation", "blas")
_NEARLY = {"memory_bytes": 0.05, "cpu_max_mhz": 0.02}
"""What is measured, and by how much of itself it may differ on one machine."""

_CORES = 0.3
"""Two measurements of the cores that a matrix product uses differ by less, of one machine."""

_STOLEN = 0.01
"""The share of stolen time that is worth telling."""

_DEPTH = 3
"""Settings stand under a backend, and that under a part of the run; a file may nest anything."""


def machine() -> dict[str, Any]:
    """Return what stays the same from run to run: processor, memory, system, GPUs.

    What this system does not tell is None.
    """
    return {
        "cpu": hardware.cpu_model(),
        "cpu_flags": hardware.cpu_flags(),
        "cpu_max_mhz": hardware.cpu_max_mhz(),
        "cpu_governor": hardware.cpu_governor(),
        "cpu_quota": hardware.cpu_quota(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "cores_usable": usable_cores(),
        "memory_bytes": hardware.memory_bytes(),
        "virtual": hardware.virtual(),
        "system": platform.system(),
        "release": platform.release(),
        "python": platform.python_version(),
        "python_implementation": platform.python_implementation(),
        "blas": _blas(),
        "gpus": hardware.gpus(),
        "gpu_driver": hardware.gpu_driver(),
    }


def versions() -> dict[str, str]:
    """Return the version of each distribution that a figure depends on."""
    found = {}
    for descriptor in registry.descriptors().values():
        version = descriptor.version()
        if version is not None and descriptor.absent() is None:
            found[descriptor.distribution] = version
    for name in DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return dict(sorted(found.items()))


def load() -> list[float] | None:
    """Return the load averages over 1, 5 and 15 minutes, where the system keeps them."""
    try:
        return [round(value, 2) for value in os.getloadavg()]
    except (OSError, AttributeError):
        return None


def usable_cores() -> int | None:
    """Return how many logical processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _blas() -> str | None:
    """Return name and version of the BLAS that NumPy was built with.

    Asked of a NumPy that is imported already: it reads its threads' variables only once.
    """
    numpy = sys.modules.get("numpy")
    try:
        found = numpy.show_config(mode="dicts")["Build Dependencies"]["blas"]  # type: ignore[union-attr]
        return f"{found['name']} {found['version']}"
    except (AttributeError, KeyError, TypeError):
        return None


# Comparing


@dataclass(frozen=True)
class Differences:
    """What differs between two fingerprints, a short line each.

    Attributes
    ----------
    machine
        Another processor, memory, GPU or driver: times cannot be compared.
    versions
        Python, NumPy's BLAS, libraries: ``torch: 2.12 → 2.13``.
    settings
        Threads and precision that backends reported.
    other
        What is worth telling and makes no other machine: the kernel, the load, jacbench's own
        version.
    """

    machine: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    other: tuple[str, ...] = ()


def differences(base: Mapping[str, Any], new: Mapping[str, Any]) -> Differences:
    """Return what differs between the fingerprints of two results files.

    What either does not say, as a file of an older schema, is no difference.
    """
    machines = _part(base, "machine"), _part(new, "machine")
    versions = _part(base, "versions"), _part(new, "versions")
    libraries = sorted(versions[0].keys() & versions[1].keys())
    settings = dict(_settings(_part(base, "settings"))), dict(_settings(_part(new, "settings")))
    return Differences(
        machine=tuple(_changed(*machines, _MACHINE)),
        versions=(
            *_changed(*machines, _VERSIONS),
            *_changed(*versions, [name for name in libraries if name not in _OF_NO_MATTER]),
        ),
        settings=tuple(_changed(*settings, sorted(settings[0].keys() & settings[1].keys()))),
        other=(
            *_changed(*machines, ("release",)),
            *_changed(*versions, _OF_NO_MATTER),
            *_busier(base, new),
        ),
    )


def same(base: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return what makes times of the two fingerprints incomparable; nothing where they are one."""
    found = differences(base, new)
    return [*found.machine, *found.versions, *found.settings]


def notable(base: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return what differs without making times incomparable."""
    return list(differences(base, new).other)


def _part(fingerprint: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = fingerprint.get(name)
    return found if isinstance(found, Mapping) else {}


def _settings(
    settings: Mapping[str, Any], prefix: str = "", depth: int = _DEPTH
) -> Iterator[tuple[str, Any]]:
    """Yield each setting by a name that tells whose it is."""
    for name, value in settings.items():
        backend = prefix.rpartition(" ")[2]
        # torch_num_threads tells it by itself; measured_cores does not.
        full = name if backend and name.startswith(f"{backend}_") else f"{prefix} {name}".strip()
        if not isinstance(value, Mapping):
            yield full, value
        elif depth > 1:
            yield from _settings(value, full, depth - 1)


def _changed(
    base: Mapping[str, Any], new: Mapping[str, Any], names: Iterable[str]
) -> Iterator[str]:
    for name in names:
        if name not in base or name not in new:
            continue
        one, other = base[name], new[name]
        if name == "cpu_flags" and isinstance(one, list) and isinstance(other, list):
            yield from _flags(one, other)
        elif not _alike(name, one, other):
            yield f"{one_line(name, 80)}: {_told(one)} → {_told(other)}"


def _alike(name: str, one: Any, other: Any) -> bool:
    if one == other:
        return True
    if name == "cpu_quota":  # none is as much of a quota as any
        return False
    if one is None or other is None:
        return True
    if not (_is_number(one) and _is_number(other)):
        return False
    if name.endswith("measured_cores"):
        return bool(abs(one - other) < _CORES)
    return bool(abs(one - other) <= _NEARLY.get(name, 0.0) * max(abs(one), abs(other)))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _flags(base: list[Any], new: list[Any]) -> Iterator[str]:
    one, other = set(map(str, base)), set(map(str, new))
    told = [*(f"-{flag}" for flag in sorted(one - other)), *(f"+{f}" for f in sorted(other - one))]
    if told:
        yield one_line(f"cpu_flags: {' '.join(told)}", 200)


def _busier(base: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Say where the load before the runs differs by a process or more, or time was stolen."""
    before, after = (_first(fingerprint.get("load_before")) for fingerprint in (base, new))
    if before is not None and after is not None and abs(before - after) >= 1:
        yield f"load before the run: {before:g} → {after:g}"
    one, other = (_first([fingerprint.get("steal")]) for fingerprint in (base, new))
    if one is not None and other is not None and max(one, other) >= _STOLEN:
        yield f"time stolen by the hypervisor: {one:.1%} → {other:.1%}"


def _first(loads: Any) -> float | None:
    number = loads[0] if isinstance(loads, (list, tuple)) and loads else None
    return float(number) if number is not None and _is_number(number) else None


def _told(value: Any) -> str:
    if value is None or value in ([], ""):
        return "none"
    if isinstance(value, (list, tuple)):
        return one_line(", ".join(map(str, value)), 80)
    return one_line(f"{value:g}" if isinstance(value, float) else value, 80)
