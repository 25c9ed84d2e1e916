"""The threads of NumPy's BLAS, where the library tells them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from jacbench.measuring import blas, hardware
from tests.runs import environment, run

CODE = """
import sys
from jacbench.measuring import blas
import numpy
first = blas.threads()
blas.set_threads(1)
blas.set_threads(None)
print(first, blas.threads())
"""


def test_the_library_tells_what_the_environment_asked_for(tmp_path: Path) -> None:
    if blas.threads() is None:
        pytest.skip("this NumPy's BLAS does not tell its threads")
    env = environment(OPENBLAS_NUM_THREADS="2", OMP_NUM_THREADS="2")
    done = run([sys.executable, "-c", CODE], tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    before, after = done.stdout.split()
    assert before in ("1", "2")  # no more than the machine has
    assert after == "1"


def test_another_blas_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "read", lambda path: "7f00-7fff r-xp 0 08:01 1 /lib/libmkl.so\n")
    blas._library.cache_clear()
    try:
        assert blas.threads() is None
        blas.set_threads(1)
    finally:
        blas._library.cache_clear()
