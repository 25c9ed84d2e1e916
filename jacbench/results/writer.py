"""Results files are written whole or not at all, and never into nothing."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jacbench.core.errors import JacbenchError
from jacbench.results import run as results
from jacbench.results.run import Run


def check_folder(folder: Path) -> None:
    """Raise, before anything is computed, where no file can be written into ``folder``."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as exc:
        raise JacbenchError(
            f"output folder {str(folder)!r} cannot be written: {exc.strerror or exc}: "
            "choose another with --output"
        ) from None


def new_path(folder: Path) -> Path:
    """Reserve a file name in ``folder`` that no other run has, from the time in UTC."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    for suffix in ("", *(f"-{i}" for i in range(2, 1000))):
        path = folder / f"jacbench-{stamp}{suffix}.json"
        try:
            # Exclusive: of two runs that start in one second, one takes the next name.
            path.touch(exist_ok=False)
        except FileExistsError:
            continue
        return path
    raise JacbenchError(f"output folder {str(folder)!r} is full of results of this second")


class Store:
    """Where one run is written, again and again while it goes on.

    Parameters
    ----------
    folder
        Gets a file of its own; it is an error, before anything is computed, if it cannot.
    options
        How the run measures, as the file keeps it.
    path
        A file to write over instead, whole each time.
    """

    def __init__(self, folder: Path, options: Mapping[str, Any], path: Path | None = None) -> None:
        check_folder(folder)
        self._path = new_path(folder) if path is None else path
        self._options = options

    def __call__(self, run: Run, *, final: bool) -> None:
        """Write ``run``; what cannot be written on the way may be written at the end."""
        try:
            self._path = run.path = write(self._path, results.document(run, self._options))
        except JacbenchError:
            if final:
                raise


def write(path: Path, content: Mapping[str, Any]) -> Path:
    """Write ``content`` as JSON: whole or not at all.

    Where the disk does not take it, it is written to a temporary folder instead, so that nothing
    measured is lost. Returns the path really written.
    """
    text = json.dumps(content, allow_nan=False, ensure_ascii=True, separators=(",", ":")) + "\n"
    # A line for each row; within strings the quotation marks are escaped.
    text = text.replace('},{"group"', '},\n{"group"').replace('},{"problem"', '},\n{"problem"')
    try:
        replace(path, text)
    except OSError as exc:
        try:
            elsewhere = Path(tempfile.mkdtemp(prefix="jacbench-results-")) / path.name
            replace(elsewhere, text)
        except OSError:
            raise JacbenchError(
                f"results could not be written to {str(path)!r}: {exc.strerror or exc}: free some "
                "room and run again"
            ) from None
        return elsewhere
    return path


def replace(path: Path, text: str) -> None:
    """Write ``text``, in ASCII, in place of what the file holds: whole or not at all."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".jacbench-", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
