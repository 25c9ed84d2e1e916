"""One worker: a pytest session of its own that runs cells as its driver says."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from jacbench import environment
from jacbench.cell import Cell
from jacbench.channel import Downward
from jacbench.settings import Settings


class Worker(Downward):
    """A worker for ``cells``, all of one backend and one number of threads."""

    def __init__(self, cells: Sequence[Cell], settings: Settings, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        asked = write_cells(folder / "cells.json", dict.fromkeys(cells, (0,)))
        threads = cells[0].threads
        words = settings.pytest_words(asked, folder, threads, worker=True)
        super().__init__(
            [sys.executable, "-m", "pytest", *words], folder, _environment(threads, folder)
        )


def write_cells(path: Path, visits: Mapping[Cell, Iterable[int]]) -> Path:
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
