"""One arm of the gate: ``python -m jacbench.gating.worker``, driven by commands on its channel.

It settles cells and times blocks of calls for as long as its driver lives. The protocol has a
version of its own, since base and head may bring two versions of jacbench.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jacbench.core.cell import Cell, CellResult, Verdict
from jacbench.core.errors import JacbenchError
from jacbench.measuring import affinity
from jacbench.measuring import threads as environment
from jacbench.measuring.warm_up import warm_up
from jacbench.workers.channel import Upward

PROTOCOL = 1
"""A driver refuses a worker that speaks another one."""
WARM_S = 0.1
"""A fifth of this, seconds, goes into the first estimate of a call's time."""


class DisprovedError(Exception):
    """A cell that was timed, and is not what was checked: its result has the verdict."""

    def __init__(self, result: CellResult) -> None:
        super().__init__(result.reason)
        self.result = result


class Arm:
    """The cells of one process, and how it answers commands."""

    def __init__(self, threads: int, memory: str | None) -> None:
        from jacbench.measuring.clock import Clock  # noqa: PLC0415 - after the pins
        from jacbench.measuring.memory import parse_size  # noqa: PLC0415
        from jacbench.problems.problem import Problem  # noqa: PLC0415
        from jacbench.running.prepared_cells import Harness, Limits  # noqa: PLC0415

        limits = Limits(None, None if memory is None else parse_size(memory))
        self.given: dict[str, Problem] = {}
        self.harness = Harness(threads, limits, self.given, verify_pins=True)
        self.clock = Clock()
        self.call_s: dict[Cell, float] = {}
        self.timed: set[Cell] = set()
        """Cells whose clock ran since they were settled, or asked again."""
        self.tidy = False

    def answer(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Do what ``command`` says and return the fields of the answer."""
        does: dict[str, Callable[..., dict[str, Any]]] = {
            "cells": self.cells,
            "load": self.load,
            "settle": self.settle,
            "block": self.block,
            "memory": self.memory,
            "about": self.about,
            "bind": self.bind,
        }
        rest = {key: value for key, value in command.items() if key != "do"}
        if "cell" in rest:
            rest["cell"] = Cell(**rest["cell"])
        return does[command["do"]](**rest)

    def cells(self, selection: Mapping[str, Any], files: list[str]) -> dict[str, Any]:
        """Return the cells that this environment has."""
        from jacbench import problems  # noqa: PLC0415
        from jacbench.backend.registry import absent  # noqa: PLC0415
        from jacbench.problems import from_file  # noqa: PLC0415
        from jacbench.running.selection import Selection  # noqa: PLC0415
        from jacbench.running.selection import cells as selected  # noqa: PLC0415

        for file in files:
            for problem in from_file.problems(file):
                self.given[problem.name] = problem
        self.harness.given.update(self.given)
        asked = Selection(**selection)
        found = selected(asked.over(()), given=self.given) if self.given else []
        if asked.problems or not files:
            named = selected(asked)
            problems.check_brackets([*dict.fromkeys(cell.problem for cell in named)])
            found = [*named, *found]
        return {"cells": [asdict(cell) for cell in found], "absent": absent()}

    def load(self, backend: str) -> dict[str, Any]:
        """Import and configure a library, whose memory is no cell's."""
        self.harness.backend(backend)
        return {}

    def settle(self, cell: Cell, spoilt: float = 0.0) -> dict[str, Any]:
        """Settle the cell afresh; return its result and the time of a warm call."""
        _fresh_compiler_cache()
        self.harness.settled.pop(cell, None)
        self.timed.discard(cell)
        settled = self.harness.settle(cell)
        prepare_s = settled.result.prepare_s
        if prepare_s is not None and spoilt:
            started = self.clock.start()
            _burn(prepare_s * spoilt)
            prepare_s += self.clock.since(started)[0]
        call_s = None
        if settled.prepared is not None:
            call_s = warm_up(settled.prepared.call, settled.x, WARM_S)
            self.call_s[cell] = call_s
        self.tidy = False
        return {
            "result": settled.result.to_json(),
            "call_s": call_s,
            "prepare_s": prepare_s,
            "probe": None if call_s is None else self._probe(cell),
            "settings": self.harness.settings,
        }

    def _probe(self, cell: Cell) -> list[float]:
        """Return the norm of the Jacobian and what it is between a few fixed random vectors.

        Base and head are each held against a reference of their own; where these are not the same,
        the function itself was changed.
        """
        import numpy as np  # noqa: PLC0415 - after the pins

        J = self.harness.reference_jacobian(cell)
        rng = np.random.default_rng(0)
        m, n = J.shape
        products = [rng.standard_normal(m) @ J @ rng.standard_normal(n) for _ in range(3)]
        return [float(np.linalg.norm(J)), *map(float, products)]

    def _tidy(self) -> None:
        """Collect garbage once all is settled, and spare the blocks from it.

        What is prepared lives as long as the worker: no later collection need look at it.
        """
        if not self.tidy:
            gc.unfreeze()
            gc.collect()
            gc.freeze()
            self.tidy = True

    def block(
        self, cell: Cell, samples: int, iterations: int, extra: float = 0.0
    ) -> dict[str, Any]:
        """Time a block: one call to warm up, then ``samples`` of ``iterations`` calls each.

        Parameters
        ----------
        cell
            A settled cell that agrees.
        samples, iterations
            How many.
        extra
            Share of more work than is owned up to, for the self-test: 0.1 makes every sample 10 %
            longer, by further calls and, for the rest, by computing.
        """
        settled = self.harness.settled[cell]
        assert settled.prepared is not None  # noqa: S101 - the driver asks for settled cells
        call, x = settled.prepared.call, settled.x
        self._tidy()
        more = iterations * extra
        further, rest_s = int(more + 1e-9), (more - int(more + 1e-9)) * self.call_s[cell]
        call(x)
        seconds, waited = [], 0.0
        cpu = time.process_time()
        wall = time.perf_counter()
        for _ in range(samples):
            started = self.clock.start()
            for _ in range(iterations + further):
                call(x)
            if extra:
                _burn(rest_s)
            elapsed, waiting = self.clock.since(started)
            seconds.append(elapsed / iterations)
            waited += waiting
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        self.timed.add(cell)
        return {"seconds": seconds, "waited_s": waited, "wall_s": wall, "cpu_s": cpu}

    def memory(self, cell: Cell) -> dict[str, Any]:
        """Return the peak memory of one call; only once every block of the worker is timed.

        What was timed is asked again first.

        Raises
        ------
        DisprovedError
            Where that is not what was checked.
        """
        settled = self.harness.settled[cell]
        if cell in self.timed and settled.prepared is not None:
            self.timed.discard(cell)
            last = settled.prepared.call(settled.x)
            found = self.harness.ask_again(cell, last, whole=True)
            if found.verdict is not Verdict.AGREES:
                raise DisprovedError(found)
        return {"peak_bytes": self.harness.measure_memory(cell)}

    def bind(self, cpus: list[int]) -> dict[str, Any]:
        """Bind every thread of this process to ``cpus``."""
        affinity.bind_every_thread(cpus)
        return {}

    def about(self) -> dict[str, Any]:
        """Return the fingerprint of this environment."""
        from jacbench.results import run  # noqa: PLC0415

        return {
            "fingerprint": run.json_safe(run.describe(self.harness.settings)),
            "discounts_waiting": self.clock.discounts_waiting,
        }


def _burn(seconds: float) -> None:
    """Compute for ``seconds`` of this thread's own time, whatever neighbours do meanwhile."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def _fresh_compiler_cache() -> None:
    """Give torch.compile an empty cache on disk: a warm one falsifies the preparation's time."""
    with contextlib.suppress(KeyError, OSError):
        root = Path(os.environ["JACBENCH_GATE_SCRATCH"])
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = tempfile.mkdtemp(prefix="inductor-", dir=root)


def main() -> None:
    """Answer commands until there are no more."""
    channel = Upward()
    environment.die_with_parent()
    # A terminal sends Ctrl-C to a whole group; the driver decides what becomes of its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    first = channel.receive()
    if first is None:
        return
    try:
        arm = Arm(int(first["threads"]), first["memory"])
    except JacbenchError as exc:
        channel.send("refused", reason=str(exc))
        return
    channel.send("ready", protocol=PROTOCOL, python=sys.version.split()[0], loads=True)
    while (command := channel.receive()) is not None:
        try:
            channel.send("answer", **arm.answer(command))
        except JacbenchError as exc:
            channel.send("refused", reason=str(exc))
        except DisprovedError as exc:
            told = exc.result
            channel.send(
                "failed",
                reason=told.reason,
                verdict=str(told.verdict),
                traceback=told.traceback,
            )
        except Exception as exc:  # noqa: BLE001 - a call that fails only after many
            from jacbench.core import redaction  # noqa: PLC0415

            channel.send(
                "failed",
                reason=redaction.text(f"{type(exc).__name__}: {redaction.one_line(exc, 300)}"),
                verdict=str(Verdict.FAILED),
                traceback=redaction.traceback_text(exc),
            )


if __name__ == "__main__":
    main()
