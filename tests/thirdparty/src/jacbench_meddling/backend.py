"""What they do. Each shows only for problems of more than two inputs: the warm-up stays whole."""

from __future__ import annotations

import itertools
import os
import random
import tempfile
import time
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from jacbench_tiny.backend import NumpyArrays, complex_step

from jacbench.backend import Target
from jacbench_meddling import descriptor

MIB = 2**20
_held: list[Any] = []
"""What is leaked."""


class Elsewhere(np.ndarray):  # type: ignore[type-arg]
    """An array that says that it lies on a GPU."""


def _afterwards(meddle: Callable[[Any], Any]) -> Callable[[Target], Callable[[Any], Any]]:
    """Return what makes the right call, whose result goes through ``meddle``."""

    def make(target: Target) -> Callable[[Any], Any]:
        right = complex_step(target)

        def call(x: Any) -> Any:
            J = right(x)
            return meddle(J) if x.size > 2 else J

        return call

    return make


def _besides(meddle: Callable[[], object]) -> Callable[[Target], Callable[[Any], Any]]:
    def after(J: Any) -> Any:
        meddle()
        return J

    return _afterwards(after)


def _change_folder() -> None:
    os.chdir(tempfile.gettempdir())


def _change_folder_late(target: Target) -> Callable[[Any], Any]:
    right, calls = complex_step(target), itertools.count(1)

    def call(x: Any) -> Any:
        if next(calls) == 50 and x.size > 2:
            _change_folder()
        return right(x)

    return call


def _vary(J: Any) -> Any:
    return J * (1 + 1e-3 * np.random.default_rng().uniform(-1, 1, J.shape))


def _vary_in_last_bits(J: Any) -> Any:
    return J * (1 + 1e-15 * np.random.default_rng().uniform(-1, 1, J.shape))


def _raise_memory_error() -> None:
    raise MemoryError("Unable to allocate 7.28 TiB")


def _grow() -> None:
    """Take 3 GiB in steps, slowly enough for who watches the process."""
    steps = []
    for _ in range(48):
        steps.append(np.ones(64 * MIB // 8))
        time.sleep(0.02)


def _loop_forever() -> None:
    while True:
        pass


class MeddlingBackend(NumpyArrays):
    """NumPy arrays, some of which say that they lie elsewhere."""

    descriptor = descriptor
    made: ClassVar = {
        "meddling.first": complex_step,
        "meddling.changes-folder": _besides(_change_folder),
        "meddling.ignores-numpy-errors": _besides(lambda: np.seterr(all="ignore")),
        "meddling.sets-environment": _besides(lambda: os.environ.update(MEDDLED="secret")),
        "meddling.reseeds-random": _besides(lambda: random.seed(0)),
        "meddling.leaks": _besides(lambda: _held.append(np.ones(MIB // 8))),
        "meddling.lies-elsewhere": _afterwards(lambda J: J.view(Elsewhere)),
        "meddling.varies": _afterwards(_vary),
        "meddling.varies-in-last-bits": _afterwards(_vary_in_last_bits),
        "meddling.memory-error": _besides(_raise_memory_error),
        "meddling.grows": _besides(_grow),
        "meddling.loops-forever": _besides(_loop_forever),
        "meddling.changes-folder-late": _change_folder_late,
        "meddling.last": complex_step,
    }

    def is_array(self, value: Any) -> bool:
        """Say whether ``value`` is an array, wherever it says that it lies."""
        return isinstance(value, (np.ndarray, np.generic))

    def device_of(self, array: Any) -> str:
        """Believe the array."""
        return "cuda:0" if isinstance(array, Elsewhere) else "cpu"
