"""What a third party writes: conversion, and one class per method."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from jacbench.backend import Backend, Descriptor, Method, MethodInfo, Prepared, Target
from jacbench.core import layouts
from jacbench.core.layouts import Layout
from jacbench_tiny import descriptor


def complex_step(target: Target) -> Callable[[Any], Any]:
    """Return x -> the (m, n) Jacobian of the target's function, for an x that is one array."""

    def call(x: Any) -> Any:
        columns = []
        for j in range(x.size):
            moved = x.astype(complex)
            moved.reshape(-1)[j] += 1e-30j
            columns.append(np.imag(target.function(moved, *target.constants)).reshape(-1) / 1e-30)
        return np.stack(columns, axis=1)

    return call


class TinyMethod(Method):
    """A named method whose result is the canonical matrix."""

    def __init__(self, info: MethodInfo, make: Callable[[Target], Callable[[Any], Any]]) -> None:
        self.info = info
        self.make = make

    def layout(self, target: Target) -> Layout:
        """Return (m, n)."""
        del target
        return layouts.MATRIX

    def prepare(self, target: Target) -> Prepared:
        """Make the call."""
        return Prepared(self.make(target))


class NumpyArrays(Backend):
    """Arrays of NumPy, functions over NumPy itself."""

    xp = np
    descriptor: Descriptor
    made: Mapping[str, Callable[[Target], Callable[[Any], Any]]]

    def methods(self) -> Sequence[Method]:
        """Return every method."""
        return [TinyMethod(info, self.made[info.name]) for info in self.descriptor.methods]

    def configure(self, threads: int) -> Mapping[str, str | int | bool]:
        """Have nothing to set; if asked, write down the processors that may be used."""
        if sign := os.environ.get("TINY_BOUND"):
            Path(sign).write_text(str(os.sched_getaffinity(0)), encoding="ascii")
        return {"tiny_threads": threads}

    def put(self, array: Any, device: str, dtype: str) -> Any:
        """Return a copy."""
        del device
        return np.array(array).astype(dtype)

    def to_numpy(self, array: Any) -> Any:
        """Return a copy."""
        return np.array(array)


def _wrong(target: Target) -> Callable[[Any], Any]:
    right = complex_step(target)
    return lambda x: right(x) * (1 + 1e-6)


def _slow_prepare(target: Target) -> Callable[[Any], Any]:
    """Be slow; if asked, also take 400 MiB and keep them while a driver looks."""
    kept = []
    if os.environ.get("TINY_GREEDY") and target.x.size > 2:
        kept.append(np.ones(50 * 2**20))
        time.sleep(30)
    time.sleep(0.3)
    return complex_step(target)


class TinyBackend(NumpyArrays):
    """One right method, one wrong, one that is long in preparing."""

    descriptor = descriptor
    made: ClassVar = {
        "tiny.right": complex_step,
        "tiny.wrong": _wrong,
        "tiny.slow-prepare": _slow_prepare,
    }
