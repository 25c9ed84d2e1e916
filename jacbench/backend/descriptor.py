"""A backend as it is known before its library is imported."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata

from jacbench.backend.backend import Backend
from jacbench.backend.method import MethodInfo
from jacbench.core.errors import JacbenchError


@dataclass(frozen=True, kw_only=True)
class Descriptor:
    """A backend as the registry sees it: all of it is known without importing the library.

    Attributes
    ----------
    name
        The backend's name, the first part of its methods' names.
    module
        The library's import name; the backend is absent where it cannot be found.
    distribution
        The library's name on the package index, for its version.
    install
        The command that installs an absent library, ``pip install "jacbench[torch]"``.
    methods
        Every method, in the order in which they are listed.
    loader
        ``package.module:Class``, a :class:`Backend` without arguments.
    cuda_devices
        How many CUDA devices the library would see, found without importing it.
    oracle
        True for references, which are shown apart from the contestants and not ranked.
    model_classes
        Base classes of the models that the backend adapts, as ``module.Class`` in their own
        spelling: a model is recognised without importing its library.
    """

    name: str
    module: str
    distribution: str
    install: str
    methods: tuple[MethodInfo, ...]
    loader: str
    cuda_devices: Callable[[], int] = field(default=lambda: 0)
    oracle: bool = False
    model_classes: tuple[str, ...] = ()

    def recognises(self, model: object) -> bool:
        """Say whether ``model`` is an instance of one of ``model_classes``."""
        bases = {f"{base.__module__}.{base.__qualname__}" for base in type(model).__mro__}
        return not bases.isdisjoint(self.model_classes)

    def absent(self) -> str | None:
        """Return why the backend cannot be used and how to get it, or None where it can."""
        try:
            found = importlib.util.find_spec(self.module) is not None
        except (ImportError, ValueError):
            found = False
        return None if found else f"backend {self.name!r} is not installed: run {self.install}"

    def version(self) -> str | None:
        """Return the library's version, or None where it is absent."""
        try:
            return metadata.version(self.distribution)
        except metadata.PackageNotFoundError:
            return None

    def devices(self) -> list[str]:
        """Return ``cpu`` and each CUDA device that the library would see."""
        return ["cpu", *(f"cuda:{index}" for index in range(self.cuda_devices()))]

    def load(self) -> Backend:
        """Import the library and return the backend."""
        reason = self.absent()
        if reason is not None:
            raise JacbenchError(reason)
        module, _, name = self.loader.partition(":")
        backend: Backend = getattr(importlib.import_module(module), name)()
        return backend
