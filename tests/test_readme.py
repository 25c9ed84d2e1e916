"""What the README shows works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

README = Path(__file__).resolve().parents[1] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def test_there_is_something_to_run() -> None:
    assert len(BLOCKS) == 4


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_python_blocks_run_one_after_the_other() -> None:
    for library in ("torch", "jax", "autograd"):
        pytest.importorskip(library)
    variables: dict[str, Any] = {}
    for code in BLOCKS:
        exec(compile(code, str(README), "exec"), variables)  # noqa: S102 - our own text
        run = variables["run"]
        assert run.ok
        assert run.cells
        assert all(cell.median_s for cell in run.cells)
    assert variables["J"].shape == (3, 5)
