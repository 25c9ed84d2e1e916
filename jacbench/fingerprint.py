"""The machine and the versions that figures belong to; nothing that names a person or a host."""

from __future__ import annotations

import os
import platform
import re
from importlib import metadata
from pathlib import Path
from typing import Any

from jacbench import registry

DISTRIBUTIONS = ("jacbench", "numpy", "pytest", "pytest-benchmark")
"""Versions recorded besides those of the backends' libraries."""


def machine() -> dict[str, Any]:
    """Return what stays the same from run to run: processor, memory, system, GPUs."""
    return {
        "cpu": _cpu_model(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "cores_usable": usable_cores(),
        "memory_bytes": _memory(),
        "system": platform.system(),
        "release": platform.release(),
        "python": platform.python_version(),
        "python_implementation": platform.python_implementation(),
        "gpus": _gpus(),
    }


def versions() -> dict[str, str]:
    """Return the version of each distribution that a figure depends on."""
    found = {}
    for descriptor in registry.descriptors().values():
        version = descriptor.version()
        if version is not None and descriptor.absent() is None:
            found[descriptor.distribution] = version
    for name in (*DISTRIBUTIONS, "jaxlib"):
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


def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or "unknown"
    match = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return match[1].strip() if match else platform.processor() or "unknown"


def usable_cores() -> int | None:
    """Return how many logical processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _memory() -> int | None:
    try:
        text = Path("/proc/meminfo").read_text()
    except OSError:
        return None
    match = re.search(r"^MemTotal:\s+(\d+) kB", text, re.MULTILINE)
    return int(match[1]) * 1024 if match else None


def _gpus() -> list[str]:
    found = []
    for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        match = re.search(r"^Model:\s*(.+)$", path.read_text(), re.MULTILINE)
        found.append(match[1].strip() if match else "NVIDIA GPU")
    return found
