"""Lines of JSON between a driver and its workers: commands go down, events come up.

Commands travel by the worker's standard input and events by its standard output, both taken over
before anything else can read or write there: whatever a method prints goes to the worker's own
output file, and whatever it reads finds nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from jacbench.core import redaction

_TELLING = ("Fatal Python error", "ERROR", "INTERNALERROR>", "terminate called")
_LAST_BYTES = 65536
"""How much of a worker's output is searched for its last words."""
_DRAIN_S = 2.0
"""How long the last events of a process that has died may be on their way."""


class Upward:
    """The worker's end: made once per process, before anything reads or prints."""

    def __init__(self) -> None:
        sys.stdout.flush()
        self._commands = os.fdopen(os.dup(0), encoding="utf-8")
        self._events = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
        with Path(os.devnull).open("rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        os.dup2(2, 1)

    def send(self, kind: str, **fields: Any) -> None:
        """Write one event, at once."""
        self._events.write(json.dumps({"event": kind, **fields}) + "\n")

    def receive(self) -> dict[str, Any] | None:
        """Wait for the next command; None once the driver has no more."""
        line = self._commands.readline()
        if not line:
            return None
        command: dict[str, Any] = json.loads(line)
        return command


class Downward:
    """The driver's end: a process of its own group, its events, and how it ended.

    Parameters
    ----------
    words
        The command.
    folder
        Where it runs; its output is kept there, in ``output.txt``.
    env
        Its whole environment.
    """

    def __init__(self, words: Sequence[str], folder: Path, env: Mapping[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._output = folder / "output.txt"
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                cwd=folder,
                env=dict(env),
                start_new_session=True,
            )
        self._events: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._ended = False
        self._forgotten = 0
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def pid(self) -> int:
        """The process, which leads a group of its own."""
        return self._process.pid

    def _listen(self) -> None:
        stream = self._process.stdout
        assert stream is not None  # noqa: S101 - Popen was asked for a pipe
        with stream:
            for line in stream:
                event = _event(line)
                if event is not None:
                    self._events.put(event)
        self._events.put(None)

    def send(self, **command: Any) -> None:
        """Give the worker a command; one that has died will not take it, and its end is told."""
        with contextlib.suppress(OSError, ValueError):
            stream = self._stream()
            stream.write(json.dumps(command).encode() + b"\n")
            stream.flush()

    def no_more(self) -> None:
        """Tell the worker that no command will follow: it ends by itself."""
        with contextlib.suppress(OSError):
            self._stream().close()

    def _stream(self) -> IO[bytes]:
        stream = self._process.stdin
        assert stream is not None  # noqa: S101 - Popen was asked for a pipe
        return stream

    def receive(self, seconds: float) -> dict[str, Any] | None:
        """Return the next event, waiting for up to ``seconds``; None where there was none."""
        if self._ended:
            return None
        try:
            event = self._events.get(timeout=max(0.0, seconds))
        except queue.Empty:
            if self._process.poll() is None:
                return None
            event = self._left_behind()
        self._ended = event is None
        return event

    def _left_behind(self) -> dict[str, Any] | None:
        """Return the next event of a process that has died; None where there are no more.

        What it forked may hold the channel open for as long as it lives: no end comes then.
        """
        try:
            return self._events.get(timeout=_DRAIN_S)
        except queue.Empty:
            return None

    def ended(self) -> bool:
        """Say whether every event has been read and none will come."""
        return self._ended

    def kill(self) -> None:
        """Kill the process with all that it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()
        self._process.wait()
        self.no_more()

    def wait(self, seconds: float) -> bool:
        """Wait for the process to end, for up to ``seconds``; say whether it has."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return self._process.poll() is not None

    def forget(self) -> None:
        """Leave what was said so far out of the epitaph: it is of what is done by now."""
        with contextlib.suppress(OSError):
            self._forgotten = self._output.stat().st_size

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
            with self._output.open("rb") as file:
                file.seek(max(self._forgotten, self._output.stat().st_size - _LAST_BYTES))
                text = file.read().decode("utf-8", "replace")
        except OSError:
            return ""
        telling = [line.strip() for line in text.splitlines() if _tells(line)]
        return redaction.text(telling[-1])[:300] if telling else ""


def _event(line: bytes) -> dict[str, Any] | None:
    """Return the event in ``line``; None for what was printed before the channel was taken."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None


def _tells(line: str) -> bool:
    return line.startswith(_TELLING) or "Error" in line or "Killed" in line
