"""The driver's end of one arm: a persistent worker that is asked and answers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jacbench.core.cell import Cell
from jacbench.core.errors import JacbenchError
from jacbench.gating.settings import GateSettings
from jacbench.gating.side import Side
from jacbench.gating.worker import PROTOCOL
from jacbench.workers.channel import Downward


class ArmError(Exception):
    """The worker of ``side`` did not answer: it died, or took too long."""

    def __init__(self, side: str, verdict: str, reason: str) -> None:
        super().__init__(f"{side}: {reason}")
        self.side = side
        self.verdict = verdict
        self.reason = reason


class Arm:
    """A worker of one side, for one backend.

    Parameters
    ----------
    side, settings
        What runs, and how.
    folder
        Its own scratch folder.
    """

    def __init__(self, side: Side, settings: GateSettings, folder: Path) -> None:
        self.side = side
        self._settings = settings
        self._who = f"{side.name} ({side.label})"
        folder.mkdir(parents=True)
        env = side.environment(settings.threads) | {
            "JACBENCH_GATE_SCRATCH": str(folder),
            "TMPDIR": str(folder),
        }
        words = [side.python, "-m", "jacbench.gating.worker"]
        try:
            self._worker = Downward(words, folder, env)
        except OSError as exc:
            raise JacbenchError(f"{self._who} does not start: {exc.strerror or exc}") from None

    def start(self, files: list[str]) -> None:
        """Wait until the worker is ready, and name the user's files to it."""
        self._worker.send(threads=self._settings.threads, memory=self._settings.memory)
        limit = self._settings.start_timeout_s
        ready = self._receive(limit, f"did not start within {limit:g} s")
        if ready["event"] == "refused":
            raise JacbenchError(f"{self._who}: {ready['reason']}")
        if ready.get("protocol") != PROTOCOL:
            raise JacbenchError(
                f"{self._who} speaks version {ready.get('protocol')} of "
                f"the gate, not {PROTOCOL}: install the same jacbench on both sides"
            )
        if files:
            self.cells({"problems": []}, files)

    def cells(self, selection: dict[str, Any], files: list[str]) -> dict[str, Any]:
        """Return the cells that this side has, and the backends that are absent."""
        places = [str(self.side.root / file) for file in files]
        return self._ask("cells", selection=selection, files=places)

    def settle(self, cell: Cell, spoilt: float = 0.0) -> dict[str, Any]:
        """Prepare and check the cell afresh."""
        return self._ask("settle", cell=asdict(cell), spoilt=spoilt)

    def bind(self, cpus: Sequence[int]) -> None:
        """Bind the worker to processors."""
        self._ask("bind", cpus=list(cpus))

    def block(self, cell: Cell, samples: int, iterations: int, extra: float) -> dict[str, Any]:
        """Time one block of calls."""
        return self._ask(
            "block", cell=asdict(cell), samples=samples, iterations=iterations, extra=extra
        )

    def memory(self, cell: Cell) -> int | None:
        """Measure the peak memory of a call."""
        peak: int | None = self._ask("memory", cell=asdict(cell))["peak_bytes"]
        return peak

    def about(self) -> dict[str, Any]:
        """Return the fingerprint of this side."""
        return self._ask("about")

    def _ask(self, what: str, **fields: Any) -> dict[str, Any]:
        self._worker.forget()
        self._worker.send(do=what, **fields)
        limit = self._settings.timeout_s
        answer = self._receive(
            limit, f"took longer than {limit:g} s: allow more with --timeout", "timed out"
        )
        if answer["event"] == "refused":
            raise JacbenchError(f"{self._who}: {answer['reason']}")
        if answer["event"] == "failed":
            raise ArmError(self._who, answer["verdict"], answer["reason"])
        del answer["event"]
        return answer

    def _receive(self, seconds: float, late: str, verdict: str = "crashed") -> dict[str, Any]:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            event = self._worker.receive(min(left, 1.0))
            if event is not None:
                return event
            if self._worker.ended():
                self._worker.wait(5.0)
                raise ArmError(self._who, "crashed", self._worker.epitaph())
        raise ArmError(self._who, verdict, late)

    def kill(self) -> None:
        """End the worker and all that it started."""
        self._worker.kill()
