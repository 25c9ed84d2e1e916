"""What the README shows works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from jacbench.backend import registry
from jacbench.picking import auto

README = Path(__file__).resolve().parents[2] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def test_there_is_something_to_run() -> None:
    assert len(BLOCKS) == 5


def test_the_methods_are_counted_right() -> None:
    contestants = [
        d for d in registry.descriptors().values() if d.name in ("torch", "jax", "autograd")
    ]
    infos = [(d.name, info) for d in contestants for info in d.methods]
    plain = [
        name
        for name, i in infos
        if i.operator == "jacobian" and not i.by_intermediate and not i.structure
    ]
    torch, jax, autograd = (plain.count(name) for name in ("torch", "jax", "autograd"))
    told = " ".join(README.read_text(encoding="utf-8").split())
    assert f"{torch} PyTorch, {jax} JAX and {autograd} HIPS autograd ways" in told
    assert f"and {len(infos) - len(plain)} more: to its products" in told
    for _, info in infos:
        short = info.name.partition(".")[2]
        assert info.name in told or f"`{short}`" in told or f"-{short.rpartition('-')[2]}`" in told


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_python_blocks_run_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    for library in ("torch", "jax", "autograd"):
        pytest.importorskip(library)
    variables: dict[str, Any] = {}
    assert "time_limit_s=10" in BLOCKS[-1]
    monkeypatch.setattr(auto, "TIME_LIMIT_S", 3.0)
    for code in [block.replace("time_limit_s=10", "time_limit_s=4") for block in BLOCKS]:
        exec(compile(code, str(README), "exec"), variables)  # noqa: S102 - our own text
        run = variables["run"]
        assert run.ok
        assert run.cells
        assert all(cell.median_s or cell.verdict == "unsupported" for cell in run.cells)
    assert variables["J"].shape == (64, 64)
