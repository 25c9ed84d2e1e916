"""What the tests of the driver share: workers that are counted, and a problem as an object."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from jacbench import Problem
from jacbench.running import backend_worker
from jacbench.running.worker_process import Worker

posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    state = Path(f"/proc/{pid}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z"


class Watched(Worker):
    """A worker that is counted from its start until it has been killed."""

    alive: ClassVar[set[int]] = set()
    started: ClassVar[list[int]] = []
    most: ClassVar[int] = 0

    def __init__(self, *words: Any) -> None:
        super().__init__(*words)
        self.alive.add(self.pid)
        self.started.append(self.pid)
        Watched.most = max(self.most, len(self.alive))

    def kill(self) -> None:
        super().kill()
        self.alive.discard(self.pid)


def watch(monkeypatch: pytest.MonkeyPatch) -> type[Watched]:
    """Have every worker of a run counted, from none on."""
    monkeypatch.setattr(backend_worker, "Worker", Watched)
    monkeypatch.setattr(Watched, "alive", set())
    monkeypatch.setattr(Watched, "started", [])
    monkeypatch.setattr(Watched, "most", 0)
    return Watched


TWO_BACKENDS = {"methods": ["numpy.*", "autograd.j*", "autograd.v*", "autograd.make*"]}


def cube(xp: Any, x: Any) -> Any:
    return x * x * x


def problem(name: str = "mine/cube", **parts: Any) -> Problem:
    known: dict[str, Any] = {
        "function": cube,
        "x": np.array([1.0, 2.0, 3.0]),
        "jacobian": lambda x: np.diag(3 * x**2),
    }
    return Problem(name=name, **known | parts)


ANALYTIC = {"methods": ["numpy.analytic"]}
QUICK = {**ANALYTIC, "budget_s": 0.01, "visits": 2}
