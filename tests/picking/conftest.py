"""Files as users write them, put back what importing them changes; Jacobians taken for large."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jacbench.picking.reference import choice

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write a file below the working directory and return its name."""
    path, modules = list(sys.path), set(sys.modules)
    monkeypatch.chdir(tmp_path)

    def file(text: str, name: str = "model.py") -> str:
        place = tmp_path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(textwrap.dedent(text), encoding="utf-8")
        return name

    yield file
    sys.path[:] = path
    for added in set(sys.modules) - modules:
        origin = getattr(sys.modules[added], "__file__", None)
        if added.startswith("jacbench_user_") or str(tmp_path) in str(origin):
            del sys.modules[added]


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat every Jacobian as too large to compare entry by entry."""
    monkeypatch.setattr(choice, "SMALL", 0)
