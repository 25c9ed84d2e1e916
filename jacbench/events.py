"""What a worker tells its driver: one JSON object per line, written and flushed at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class EventWriter:
    """Appends events to a file; without a file it does nothing.

    The kinds: ``ready`` (settings of the process), ``start`` (a visit of a cell begins),
    ``settled`` (its verdict), ``timed`` (its samples), ``done`` (the visit ends), ``memory-start``
    and ``memory``.
    """

    def __init__(self, path: Path | None) -> None:
        # Kept open for the whole process: one line is one write.
        self._file = None if path is None else path.open("a", buffering=1, encoding="utf-8")

    def __call__(self, kind: str, **fields: Any) -> None:
        """Write one event."""
        if self._file is not None:
            self._file.write(json.dumps({"event": kind, **fields}) + "\n")
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


class EventReader:
    """Reads the events that have been written since it last looked."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield each new whole line; a line still being written waits for the next look."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                yield json.loads(line)
