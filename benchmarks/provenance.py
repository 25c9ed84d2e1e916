"""Where figures come from: what every file of them says, and the caption of every table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jacbench.results import fingerprint


def provenance(settings: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return machine, versions, settings and load, as they stand in a file of figures.

    Parameters
    ----------
    settings
        What each library was set to, by its name; None where a process of its own measured.
    """
    known: dict[str, Any] = {"machine": fingerprint.machine(), "versions": fingerprint.versions()}
    if settings is not None:
        known["settings"] = dict(settings)
    return {**known, "load": fingerprint.load()}


def write(file: Path, settings: Mapping[str, Any] | None = None, **figures: Any) -> None:
    """Write ``figures`` after where they come from, as JSON."""
    content = {**provenance(settings), **figures}
    file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def caption() -> str:
    """Return the processor and the versions in a line, for what ran on one thread."""
    machine = fingerprint.machine()
    versions = ", ".join(f"{name} {version}" for name, version in fingerprint.versions().items())
    return f"{machine['cpu']}, {machine['cores']} cores, 1 thread; {versions}"
