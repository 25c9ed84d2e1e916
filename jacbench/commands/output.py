"""What the commands share: the console, and results as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jacbench.core.errors import JacbenchError

if TYPE_CHECKING:
    from rich.console import Console

INTERRUPTED = 130
"""Exit status of an interrupted command; what was measured is written."""
WIDTH = 150
"""Columns of a table where standard output is no terminal."""


def console(*, stderr: bool = False) -> Console:
    """Return the console of standard output, or of standard error."""
    from rich.console import Console  # noqa: PLC0415

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else WIDTH)


def writable(file: str | None, option: str = "--json") -> None:
    """Say before anything is computed that a file cannot be written."""
    if file in (None, "-"):
        return
    path = Path(file)
    existed = path.exists()
    try:
        with path.open("a", encoding="utf-8"):
            pass
        if not existed:
            path.unlink()
    except OSError as exc:
        raise JacbenchError(
            f"{option} {file!r} cannot be written: {exc.strerror or exc}: choose another file"
        ) from None


def printed_as_json(content: dict[str, Any], file: str | None) -> bool:
    """Write ``content`` where it was asked for; say whether standard output is taken by it."""
    if file is None:
        return False
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    if file == "-":
        sys.stdout.write(text)
        return True
    Path(file).write_text(text, encoding="utf-8")
    return False
