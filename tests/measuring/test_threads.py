"""The pins are set before libraries are imported, and what they hold is recorded."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from jacbench.measuring import threads
from tests.runs import environment as inherited
from tests.runs import run


def test_every_pool_is_sized_alike() -> None:
    counted = {k: v for k, v in threads.pins(3).items() if v == "3"}
    for name in ("OPENBLAS", "OMP", "MKL"):
        assert f"{name}_NUM_THREADS" in counted
    assert {"NPROC", "PJRT_NPROC"} <= set(counted)


def test_pin_sets_this_process_and_tells_what_came_too_early(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in threads.pins(1):
        monkeypatch.setenv(name, "before")
    monkeypatch.setitem(sys.modules, "torch", sys)
    monkeypatch.delitem(sys.modules, "jax", raising=False)
    early = threads.pin(2)
    assert "torch" in early
    assert "jax" not in early
    assert threads.os.environ["OMP_NUM_THREADS"] == "2"


CODE = """
import json, sys
from jacbench.measuring import threads as environment
early = environment.pin(1)
from jacbench import registry
backend = registry.load(sys.argv[1])
settings = dict(backend.configure(1))
cores = min(environment.measured_cores(backend, 0.1) for _ in range(3))
print(json.dumps({"early": early, "cores": cores, "settings": settings}))
"""


@pytest.mark.parametrize("name", ["numpy", "torch", "jax"])
def test_one_thread_is_one_core(tmp_path: Path, name: str) -> None:
    pytest.importorskip(name)
    done = run([sys.executable, "-c", CODE, name], tmp_path, env=inherited())
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["early"] == []
    # Two pools would use the time of about two cores; on a machine of one they cannot.
    assert told["cores"] < 1.3
