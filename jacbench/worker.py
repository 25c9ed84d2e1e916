"""One worker: a pytest session of its own, in a process group of its own, that streams events."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jacbench import environment, scrub
from jacbench.cell import Cell
from jacbench.events import EventReader
from jacbench.settings import Settings


class Worker:
    """A running worker."""

    def __init__(
        self, visits: Mapping[Cell, Sequence[int]], settings: Settings, scratch: Path
    ) -> None:
        scratch.mkdir(parents=True, exist_ok=True)
        asked = write_cells(scratch / "cells.json", visits)
        events = scratch / "events.jsonl"
        self._output = scratch / "output.txt"
        self._reader = EventReader(events)
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "pytest"),
                    *settings.pytest_words(asked, scratch, events),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=scratch,
                env=_environment(settings.threads, scratch),
                start_new_session=True,
            )

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield the events since the last look."""
        return iter(self._reader)

    def running(self) -> bool:
        """Say whether the process still runs."""
        return self._process.poll() is None

    def wait(self, seconds: float) -> None:
        """Wait until the process ends, or for ``seconds``."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)

    def kill(self) -> None:
        """Kill the process with all that it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()
        self._process.wait()

    def epitaph(self) -> str:
        """Return how the process ended and the last thing it said, in one line."""
        said = self._last_words()
        return f"the worker {self._end()}" + (f": {said}" if said else "")

    def _end(self) -> str:
        code = self._process.returncode
        if code is None or code >= 0:
            return f"exited with status {code}"
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"was killed by signal {-code}"

    def _last_words(self) -> str:
        try:
            text = self._output.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        telling = [line.strip() for line in text.splitlines() if _tells(line)]
        return scrub.text(telling[-1])[:300] if telling else ""


def _tells(line: str) -> bool:
    return line.startswith(
        ("Fatal Python error", "ERROR", "INTERNALERROR>", "terminate called")
    ) or ("Error" in line or "Killed" in line)


def write_cells(path: Path, visits: Mapping[Cell, Sequence[int]]) -> Path:
    """Write the file that tells a session which cells and visits to measure."""
    rows = [{"cell": asdict(cell), "visits": list(which)} for cell, which in visits.items()]
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def _environment(threads: int, scratch: Path) -> dict[str, str]:
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    # A relative entry would mean another folder in the worker.
    entries = filter(None, env.get("PYTHONPATH", "").split(os.pathsep))
    if path := [str(Path(entry).absolute()) for entry in entries]:
        env["PYTHONPATH"] = os.pathsep.join(path)
    env.update(environment.pins(threads))
    env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    # Beside the workers' own folders: a relaunched worker may use what the first one compiled.
    env["TORCHINDUCTOR_CACHE_DIR"] = str(scratch.parent / "inductor")
    return env
