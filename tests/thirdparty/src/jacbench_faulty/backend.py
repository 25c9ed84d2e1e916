"""The faults. Each shows only for problems of more than two inputs: the warm-up stays whole."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from jacbench_tiny.backend import NumpyArrays, TinyMethod, complex_step

from jacbench.backend import Method, Prepared, Target
from jacbench_faulty import descriptor

Fault = Callable[[], None]


def _before_each_call(fault: Fault) -> Callable[[Target], Callable[[Any], Any]]:
    def make(target: Target) -> Callable[[Any], Any]:
        right = complex_step(target)

        def call(x: Any) -> Any:
            if x.size > 2:
                fault()
            return right(x)

        return call

    return make


def _sleep() -> None:
    if sign := os.environ.get("FAULTY_SIGN"):
        Path(sign).write_text(str(os.getpid()), encoding="ascii")
    time.sleep(600)


def _hold_the_gil() -> None:
    re.match(r"(a+)+$", "a" * 40 + "b")


def _say_much() -> None:
    print('{"event": "done"}', flush=True)
    os.write(1, b"written past Python\n")
    os.write(2, b"Error of nobody\n")
    sys.stderr.write("\x1b[31mred\x1b[0m\n")


def _tell_paths() -> None:
    name = "/home/alice-of-the-tests/secret/data.bin"
    raise FileNotFoundError(f"{name} not in /srv/alice-private/lib:/home/alice-of-the-tests/lib")


def _prepare_raises(target: Target) -> Callable[[Any], Any]:
    if target.x.size > 2:
        raise RuntimeError("no kernel\nfor this")
    return complex_step(target)


def _raises_late(target: Target) -> Callable[[Any], Any]:
    right, calls = complex_step(target), [0]

    def call(x: Any) -> Any:
        calls[0] += 1
        if calls[0] >= 50:
            raise ArithmeticError("the 50th call")
        return right(x)

    return call


class OddNotes(TinyMethod):
    """Notes that JSON cannot hold as they are."""

    def prepare(self, target: Target) -> Prepared:
        """Note a NaN and a NumPy number."""
        return Prepared(
            complex_step(target), {"loss": float("nan"), "graphs": np.int64(3), "s": np.float64(2)}
        )


class FaultyBackend(NumpyArrays):
    """NumPy arrays, and what may go wrong with them."""

    descriptor = descriptor
    made: ClassVar = {
        "faulty.first": complex_step,
        "faulty.sleeps": _before_each_call(_sleep),
        "faulty.holds-gil": _before_each_call(_hold_the_gil),
        "faulty.exits": _before_each_call(lambda: os._exit(3)),
        "faulty.sigkill": _before_each_call(lambda: os.kill(os.getpid(), signal.SIGKILL)),
        "faulty.segfaults": _before_each_call(lambda: os.kill(os.getpid(), signal.SIGSEGV)),
        "faulty.prepare-raises": _prepare_raises,
        "faulty.raises-late": _raises_late,
        "faulty.prints": _before_each_call(_say_much),
        "faulty.tells-paths": _before_each_call(_tell_paths),
        "faulty.odd-notes": complex_step,
        "faulty.last": complex_step,
    }

    def methods(self) -> Sequence[Method]:
        """Return every method, the one with odd notes as a class of its own."""
        return [
            OddNotes(m.info, complex_step) if m.info.name == "faulty.odd-notes" else m
            for m in super().methods()
        ]
