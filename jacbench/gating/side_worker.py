"""The driver's end of one arm: a persistent worker that is asked and answers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jacbench.core.cell import Cell, Verdict
from jacbench.core.errors import JacbenchError
from jacbench.gating.settings import GateSettings
from jacbench.gating.side import Side
from jacbench.gating.worker import PROTOCOL
from jacbench.measuring.memory import parse_size
from jacbench.workers.channel import Downward
from jacbench.workers.memory_limit import MemoryLimit

POLL_S = 0.05
"""How often the memory of a worker that has a limit is looked at, seconds."""
WATCHED = ("settle", "memory")
"""What the limit on memory holds for: not loading, nor blocks, whose timing looks would disturb."""


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
        self._loads = False
        """Whether the worker knows ``load``: an older jacbench does not."""
        self._loaded: set[str] = set()
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
        self._loads = bool(ready.get("loads"))
        if files:
            self.cells({"problems": []}, files)

    def cells(self, selection: dict[str, Any], files: list[str]) -> dict[str, Any]:
        """Return the cells that this side has, and the backends that are absent."""
        places = [str(self.side.root / file) for file in files]
        return self._ask("cells", selection=selection, files=places)

    def settle(self, cell: Cell, spoilt: float = 0.0) -> dict[str, Any]:
        """Prepare and check the cell afresh; importing its library is not counted as its memory."""
        if cell.backend not in self._loaded:
            self._loaded.add(cell.backend)
            if not self._loads:  # an older one imports while it settles: not told apart, not held
                return self._ask("settle", watched=False, cell=asdict(cell), spoilt=spoilt)
            self._ask("load", backend=cell.backend)
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

    def _ask(self, what: str, *, watched: bool = True, **fields: Any) -> dict[str, Any]:
        worker = self._worker
        allowed = self._settings.memory
        limit_bytes = None if allowed is None else parse_size(allowed)
        watch = MemoryLimit(worker.pid, limit_bytes) if watched and what in WATCHED else None
        worker.forget()
        worker.send(do=what, **fields)
        limit = self._settings.timeout_s
        late = f"took longer than {limit:g} s: allow more with --timeout"
        answer = self._receive(limit, late, "timed out", watch)
        if answer["event"] == "refused":
            raise JacbenchError(f"{self._who}: {answer['reason']}")
        if answer["event"] == "failed":
            raise ArmError(self._who, answer["verdict"], answer["reason"])
        del answer["event"]
        return answer

    def _receive(
        self,
        seconds: float,
        late: str,
        verdict: str = "crashed",
        watch: MemoryLimit | None = None,
    ) -> dict[str, Any]:
        until = time.monotonic() + seconds
        poll_s = 1.0 if watch is None else POLL_S
        while (left := until - time.monotonic()) > 0:
            event = self._worker.receive(min(left, poll_s))
            if event is not None:
                return event
            if self._worker.ended():
                self._worker.wait(5.0)
                raise ArmError(self._who, "crashed", self._worker.epitaph())
            if watch is not None and (told := watch.broken()) is not None:
                self._worker.kill()
                raise ArmError(self._who, str(Verdict.TOO_LARGE), told)
        raise ArmError(self._who, verdict, late)

    def kill(self) -> None:
        """End the worker and all that it started."""
        self._worker.kill()
