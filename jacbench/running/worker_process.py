"""One worker: a pytest session of its own that runs cells as its driver says."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from jacbench.core.cell import Cell
from jacbench.measuring import threads as environment
from jacbench.running.settings import Settings
from jacbench.workers.channel import Downward


class Worker(Downward):
    """A worker for ``cells``, all of one backend and one number of threads."""

    def __init__(self, cells: Sequence[Cell], settings: Settings, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        asked = write_cells(folder / "cells.json", dict.fromkeys(cells, (0,)))
        threads = cells[0].threads
        words = settings.pytest_words(asked, folder, threads, worker=True)
        super().__init__(
            [sys.executable, "-m", "pytest", *words],
            folder,
            environment.of_worker(threads, folder.parent),
        )


def write_cells(path: Path, visits: Mapping[Cell, Iterable[int]]) -> Path:
    """Write the file that tells a session which cells and visits to measure."""
    rows = [{"cell": asdict(cell), "visits": list(which)} for cell, which in visits.items()]
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path
