"""Text fit to be shared: no absolute path, user name or host name in a results file."""

from __future__ import annotations

import getpass
import platform
import re
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

_FRAME = re.compile(r'File "([^"]+)"')
_ABSOLUTE = re.compile(r"(?:\bfile://|(?<![\w./-]))(?:/[\w.+@-]+){2,}/?|\b[A-Za-z]:\\[^\s\"']+")


def traceback_text(exc: BaseException) -> str:
    """Return the whole traceback of ``exc``, its files named relative to the import path."""
    return text("".join(traceback.format_exception(exc)))


def text(raw: str) -> str:
    """Return ``raw`` with absolute paths made relative and personal names taken out."""
    shortened = _FRAME.sub(lambda match: f'File "{_relative(match[1])}"', raw)
    shortened = _ABSOLUTE.sub(lambda match: _relative(match[0].removeprefix("file://")), shortened)
    for personal in _personal():
        shortened = re.sub(rf"\b{re.escape(personal)}\b", "…", shortened)
    return shortened


def one_line(value: object, limit: int) -> str:
    """Return ``value`` as text in one line of at most about ``limit`` characters."""
    line = " ".join(str(value).split())
    return line if len(line) <= limit else f"{line[:limit]}…"


def _relative(name: str) -> str:
    path = Path(name)
    if not path.is_absolute():
        return name
    roots = [Path(entry) for entry in (*sys.path, sys.base_prefix, tempfile.gettempdir()) if entry]
    return relative(path, roots)


def relative(path: Path, roots: Sequence[Path]) -> str:
    """Return ``path`` from the deepest of ``roots`` that holds it, else from its package."""
    for root in sorted(roots, key=lambda root: len(str(root)), reverse=True):
        if path.is_relative_to(root):
            return path.relative_to(root).as_posix()
    return path.relative_to(_above_package(path)).as_posix()


def _above_package(path: Path) -> Path:
    """Return the folder that a module's package stands in: an editable install is on no path."""
    folder = path.parent
    while (folder / "__init__.py").is_file() and folder != folder.parent:
        folder = folder.parent
    return folder


def _personal() -> list[str]:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = ""
    # "root" and the like say nothing of anyone and would eat ordinary words.
    return [name for name in (user, platform.node()) if len(name) > 3 and name not in _COMMON]


_COMMON = {"root", "user", "runner", "ubuntu", "localhost", "admin"}
