"""What is pasted for a function that returns a tree gives a Jacobian for each of its arrays."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from jacbench.backend import registry
from jacbench.core.cell import Verdict
from jacbench.picking.benches.local import LocalBench
from jacbench.picking.candidate import Candidate
from jacbench.picking.loading import by_name, inputs, subject

X = np.array([0.3, -0.2, 0.5])
PLACED = {
    "torch": "import torch as xp\nx = xp.tensor({})",
    "jax": "import jax.numpy as xp\nimport numpy as np\nx = np.array({})",
    "autograd": "import autograd.numpy as xp\nx = xp.array({})",
}
TREES = {
    "plain": "return {'b': xp.sum(x * x), 'a': (xp.sin(x),)}",
    "constants": "return {'b': xp.sum(x * x), 'a': (xp.sin(x),), 'n': 3, 'none': None}",
}
METHODS = {
    "torch": ("torch.func.jacrev", "torch.func.jacfwd", "torch.functional", "torch.grad-batched"),
    "jax": ("jax.jacrev", "jax.jacfwd-eager", "jax.map-vjp"),
    "autograd": ("autograd.jacobian", "autograd.jvp"),
}
TRANSFORMS = {"torch.func.jacrev", "torch.func.jacfwd", "jax.jacrev", "jax.jacfwd-eager"}
"""Those that take a tree themselves, where all of it has a derivative."""


@pytest.fixture(autouse=True)
def unfrozen() -> Iterator[None]:
    yield
    gc.unfreeze()


def bench_of(library: str, kind: str, folder: Path) -> LocalBench:
    if (absent := registry.descriptors()[library].absent()) is not None:
        pytest.skip(absent)
    lines = [PLACED[library].format(X.tolist()), "def f(x):", f"    {TREES[kind]}"]
    (folder / f"{library}_{kind}.py").write_text("\n".join(lines), encoding="utf-8")
    named = by_name.load(f"{library}_{kind}.py:f")
    found = LocalBench(subject.of_named(named, inputs.find(named)), library, configure=False)
    found.examine(20.0)
    return found


@pytest.mark.parametrize(
    ("library", "kind"), [*((x, "plain") for x in PLACED), ("torch", "constants")]
)
def test_pasted_lines_give_a_jacobian_for_each_array(
    library: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    bench = bench_of(library, kind, tmp_path)
    script = ["import json", "from jacbench import tree", "found = {}"]
    for method in METHODS[library]:
        candidate = Candidate("jacobian", method)
        assert bench.enter(candidate).result.verdict is Verdict.AGREES
        code = bench.code(candidate)
        through = any("jacbench.prepare(" in line for line in code)
        assert through is (method not in TRANSFORMS or kind == "constants")
        blocks = "[None if b is None else b.tolist() for b in tree.leaves(J)]"
        script += [*code, "assert type(J) is dict", "assert type(J['a']) is tuple"]
        script.append(f"found[{method!r}] = {blocks}")
    bench.close()
    script.append("print(json.dumps(found))")
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(script)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert tuple(found) == METHODS[library]
    for blocks in found.values():
        assert np.allclose(blocks[0], np.diag(np.cos(X)), atol=1e-6)
        assert np.allclose(blocks[1], 2 * X, atol=1e-6)
        assert blocks[2:] == ([None, None] if kind == "constants" else [])
