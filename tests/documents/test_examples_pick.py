"""Each example file is picked for, and what is to be pasted runs as it stands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jacbench.backend import registry

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "pick"
FILES = {
    "torch_module.py:model": ("torch", "dense"),
    "jax_function.py:residuals": ("jax", "dense"),
    "autograd_function.py:imbalance": ("autograd", "dense"),
    "pde.py:rate": ("jax", "csr"),
    "batch.py:flow": ("torch", "blocks"),
}
"""What is named, the library that it is written for, and the format that suits it."""


def run(words: list[str], folder: Path) -> str:
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("named", FILES)
def test_the_lines_to_paste_run_as_they_stand(named: str, tmp_path: Path) -> None:
    library, form = FILES[named]
    reason = registry.descriptors()[library].absent()
    if reason is not None:
        pytest.skip(reason)
    command = "from jacbench.cli import main; main()"
    options = ["--no-compile", "--time-limit", "10", "--json", "-"]
    answer = json.loads(run(["-c", command, "pick", named, *options], FOLDER))
    assert {"dense", form} <= set(answer["picks"])
    assert all(answer["code"][form] for form in answer["picks"])
    shapes = {}
    for made, lines in answer["code"].items():
        shown = (
            f"import numpy\nprint(numpy.prod(J.shape), file=open({str(tmp_path / made)!r}, 'w'))"
        )
        run(["-c", "\n".join([*lines, shown])], FOLDER)
        shapes[made] = int((tmp_path / made).read_text())
    # all of J, but per sample the blocks alone
    assert shapes["dense"] == answer["m"] * answer["n"]
    assert shapes[form] == np.prod([answer["m"], answer["n"]]) // (128 if form == "blocks" else 1)
