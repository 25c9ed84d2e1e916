"""What a check or a run in the caller's own process leaves behind: nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jacbench as jb
from jacbench.backend import registry
from jacbench.checking import process_state
from jacbench.checking.verdict import settle
from tests.driving import QUICK, problem

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")

METHODS = ["torch.func.jacrev", "jax.jacrev"]


@pytest.fixture
def unusual(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let every setting be another one than a check would choose, and give the way to read all."""
    backends = [registry.load(name) for name in ("torch", "jax", "autograd")]
    first = [process_state.take(backend) for backend in backends]
    jax.config.update("jax_enable_x64", False)
    jax.config.update("jax_default_matmul_precision", "bfloat16")
    torch.set_float32_matmul_precision("medium")
    torch.set_num_threads(2)
    torch.use_deterministic_algorithms(True, warn_only=True)

    def read() -> list[Any]:
        return [
            (dict(b.state()), {k: bytes(v) for k, v in b.generators().items()}) for b in backends
        ]

    yield read
    for state in first:
        process_state.put_back(state)


def drawn(xp: Any, x: Any) -> Any:
    np.random.random()  # noqa: NPY002 - the global one
    torch.rand(2)
    return xp.sin(x)


@pytest.mark.parametrize("timed", [False, True])
def test_the_process_is_left_as_it_was(unusual: Callable[[], Any], timed: bool) -> None:
    before, numpys = unusual(), np.random.get_state(legacy=False)  # noqa: NPY002
    mine = problem(function=drawn, jacobian=lambda x: np.diag(np.cos(x)))
    if timed:
        run = jb.run(mine, **{**QUICK, "methods": METHODS}, output=None)
    else:
        run = jb.check(mine, methods=METHODS)
    assert len(run.cells) == 2
    assert unusual() == before
    now = np.random.get_state(legacy=False)  # noqa: NPY002
    assert np.array_equal(now["state"]["key"], numpys["state"]["key"])
    assert now["state"]["pos"] == numpys["state"]["pos"]


def test_an_interrupted_check_leaves_the_process_as_it_was_too(
    unusual: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: Any, **kwargs: Any) -> Any:
        settle(*args, **kwargs)
        raise KeyboardInterrupt

    before = unusual()
    monkeypatch.setattr("jacbench.running.prepared_cells.settle", interrupted)
    with pytest.raises(KeyboardInterrupt):
        jb.check(problem(), methods=METHODS)
    assert unusual() == before


def test_a_pick_leaves_the_process_as_it_was(unusual: Callable[[], Any]) -> None:
    before = unusual()
    jb.pick(lambda x: torch.sin(x) * x, torch.ones(3), time_limit_s=3.0)
    assert unusual() == before
