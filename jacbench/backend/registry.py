"""Backends, found by the entry-point group ``jacbench.backends`` and loaded on first use."""

from __future__ import annotations

import functools
from importlib import metadata

from jacbench.backend import Backend, Descriptor, Method
from jacbench.core import redaction
from jacbench.core.errors import JacbenchError, unknown

GROUP = "jacbench.backends"


@functools.cache
def _entries() -> tuple[dict[str, Descriptor], dict[str, str]]:
    found: dict[str, Descriptor] = {}
    broken: dict[str, str] = {}
    for entry in sorted(metadata.entry_points(group=GROUP), key=lambda entry: entry.name):
        try:
            descriptor = entry.load()
        except (Exception, SystemExit) as exc:  # noqa: BLE001 - a broken third party must not take the rest down
            told = redaction.text(" ".join(str(exc).split()))
            broken[entry.name] = f"backend {entry.name!r} is broken: {type(exc).__name__}: {told}"
            continue
        if not isinstance(descriptor, Descriptor):
            broken[entry.name] = (
                f"backend {entry.name!r}: {entry.value} is a {type(descriptor).__name__}: "
                "the entry point must name a jacbench.backend.Descriptor"
            )
        elif descriptor.name in found:
            broken[entry.name] = (
                f"backend {descriptor.name!r} is offered twice; {entry.value} is left out"
            )
        else:
            found[descriptor.name] = descriptor
    # of two backends over one library, that which is called like it owns its arrays
    ranked = sorted(found.values(), key=lambda d: (d.oracle, d.name != d.module))
    return {descriptor.name: descriptor for descriptor in ranked}, broken


def descriptors() -> dict[str, Descriptor]:
    """Return every backend's descriptor by name; imports no library.

    Contestants first, and of those the ones that are called as their library is.
    """
    found, _ = _entries()
    if not found:
        raise JacbenchError(
            f"no backend is registered under {GROUP!r}: install jacbench, e.g. pip install -e ."
        )
    return dict(found)


def broken() -> dict[str, str]:
    """Return why each entry point that gave no descriptor gave none."""
    return dict(_entries()[1])


def descriptor_of(method: str) -> Descriptor:
    """Return the descriptor of the backend that offers ``method``."""
    for descriptor in descriptors().values():
        if any(info.name == method for info in descriptor.methods):
            return descriptor
    raise unknown("method", method, method_names(), hint="jacbench list shows them all")


def method_names() -> list[str]:
    """Return the name of every method, installed or not."""
    return [info.name for descriptor in descriptors().values() for info in descriptor.methods]


@functools.cache
def load(name: str) -> Backend:
    """Import the library of backend ``name`` and return the backend; the same one each time."""
    known = descriptors()
    if name not in known:
        raise unknown("backend", name, known)
    return known[name].load()


@functools.cache
def method(name: str) -> Method:
    """Return the method ``name``, importing its library."""
    backend = load(descriptor_of(name).name)
    for candidate in backend.methods():
        if candidate.info.name == name:
            return candidate
    raise JacbenchError(
        f"method {name!r} is listed by its backend but not offered: report it to the backend"
    )


def absent() -> dict[str, str]:
    """Return why each backend that cannot be used cannot, by name."""
    reasons = {name: d.absent() for name, d in descriptors().items()}
    return broken() | {name: why for name, why in reasons.items() if why is not None}
