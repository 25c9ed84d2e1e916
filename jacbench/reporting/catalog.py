"""What there is: backends, methods, problems, devices; what is absent, and how to get it."""

from __future__ import annotations

from typing import Any

from jacbench import problems
from jacbench.backend import registry
from jacbench.core import operators

SCHEMA = 2
"""Version of the object that ``jacbench list --json`` prints."""


def everything() -> dict[str, Any]:
    """Return the whole list; imports neither NumPy nor an autodiff library."""
    descriptors = registry.descriptors()
    reasons = {name: descriptor.absent() for name, descriptor in descriptors.items()}
    backends: list[dict[str, Any]] = [
        _with_reason(
            {
                "name": d.name,
                "version": d.version() if reasons[d.name] is None else None,
                "oracle": d.oracle,
                "install": d.install,
            },
            reasons[d.name],
        )
        for d in descriptors.values()
    ]
    backends += [{"name": name, "reason": why} for name, why in registry.broken().items()]
    methods = [
        _with_reason(
            {
                "name": info.name,
                "backend": d.name,
                "operator": info.operator,
                "summary": info.summary,
            },
            reasons[d.name],
        )
        for d in descriptors.values()
        for info in d.methods
    ]
    entries = [
        {
            "name": e.name,
            "m": e.m,
            "n": e.n,
            "parameters": dict(e.parameters),
            "operators": list(operators.offered(batch=e.batch)),
            "summary": e.summary,
            "source": e.source,
        }
        for e in problems.CATALOGUE
    ]
    return {
        "schema": SCHEMA,
        "backends": backends,
        "operators": [
            {"name": name, "summary": summary} for name, summary in operators.SUMMARIES.items()
        ],
        "methods": methods,
        "problems": entries,
        "devices": _devices(),
    }


def _devices() -> list[dict[str, Any]]:
    seen: dict[str, list[str]] = {}
    for name, descriptor in registry.descriptors().items():
        if descriptor.absent() is None:
            for device in descriptor.devices():
                seen.setdefault(device, []).append(name)
    devices: list[dict[str, Any]] = [
        {"name": device, "backends": names} for device, names in seen.items()
    ]
    if not any(device.startswith("cuda") for device in seen):
        reason = (
            "no installed backend sees a CUDA device: on a machine with an NVIDIA GPU run "
            'pip install "jacbench[cuda]"'
        )
        devices.append({"name": "cuda", "backends": [], "reason": reason})
    return devices


def _with_reason(entry: dict[str, Any], reason: str | None) -> dict[str, Any]:
    return entry if reason is None else {**entry, "reason": reason}
